"""Maps larger than the networks, over the wire."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flight.bundle import load_bundle
from flight.inference.engine import Engine
from flight.settings import default_settings
from tests.flight.service_process import running_service
from tests.tiled_bundle import write_network

SIZES = {"1024 x 512": (512, 1024), "1280 x 720": (720, 1280)}
TOPICS = ("map.navigation", "map.hazard", "map.full")


@pytest.mark.parametrize("size", SIZES)
def test_a_large_frame_is_answered_as_a_network_of_its_size_would(tmp_path: Path, size: str) -> None:
    height, width = SIZES[size]
    frame = np.random.default_rng(4).integers(0, 256, (height, width)).astype(np.uint8)
    tiles = {"height": height // 4, "width": width // 4, "overlap": 24, "margin": 2}
    tiled = write_network(tmp_path / "tiled", height, width, tiles)
    whole = Engine(load_bundle(write_network(tmp_path / "whole", height, width)))
    settings = default_settings(whole.bundle)
    expected = whole.segment(frame, bit_depth=8, centered=True, seed=1, settings=settings)
    with (
        running_service(tmp_path, tiled, "[parameters]\npublish_full = true\n") as service,
        service.subscriber(*TOPICS, newest=False) as products,
        service.camera() as camera,
    ):
        camera.send(frame, centered=True)
        received = {}
        for _ in TOPICS:
            product = products.receive(60)
            assert product is not None
            assert product.status != "invalid"
            received[product.topic] = product
    for product in received.values():
        assert all(plane.shape[-2:] == (height, width) for plane in product.planes.values())
        assert product.header["map_to_sensor"] == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    full = received["map.full"].planes
    assert np.abs(full["mean_probability"].astype(np.float32) - expected.mean_probability).max() < 2e-3
    assert np.mean(received["map.navigation"].planes["class_map"] == expected.enhanced_class_map) > 0.999
