"""Products made again offline: the same frame, bundle, seed and parameters give the same bits on the same machine."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.bundle import load_bundle
from flight.icd.products import Product
from flight.inference.engine import Engine, Maps
from flight.inference.planes import topic_planes
from flight.risk_thresholds import DEFAULT_RISK
from flight.settings import Settings, settings_from

# Older than any deadline.
_LONG_AGO_S = 1e6


class Recomputer:
    """A bundle's networks, to make products again.

    Args:
        bundle: folder of the bundle.
        threads: as many as the service has, `inference.threads`: the sums of a pass depend on them.

    Raises:
        BundleError: the bundle does not validate.
        LibraryError: the TFLite runtime does not work here.

    Attributes:
        sha256: of the bundle, as in the products' headers.
    """

    def __init__(self, bundle: Path, threads: int = 2) -> None:
        self._engine = Engine(load_bundle(bundle), threads)
        self.sha256 = self._engine.bundle.sha256
        self._latest: tuple[object, Maps, Settings] | None = None

    def close(self) -> None:
        """Stop the engine's threads."""
        self._engine.close()

    def digest(
        self,
        pixels: NDArray[np.uint8] | NDArray[np.uint16],
        bit_depth: int,
        centered: bool,
        header: dict[str, Any],
        parameters: dict[str, Any],
    ) -> str:
        """Digest of the planes that a product must have; see planes_digest.

        Args:
            pixels: (H, W) or (H, W, 3) of the frame.
            bit_depth: bits per channel in use.
            centered: as the frame said.
            header: of the product. Its topic, seed, mode, gamma, threshold, engine and passes are taken, those used
                too: a deadline may have ended them early.
            parameters: that were in force, by name; the header's take their place.

        Raises:
            ValueError: the bundle does not have the header's mode.
        """
        settings = _settings_of(header, parameters)
        # The topics of a frame are asked for one after another.
        key = (header["source"], header["epoch"], header["frame_id"], header["seed"], settings)
        if self._latest is None or self._latest[0] != key:
            maps = self._engine.segment(
                pixels,
                bit_depth=bit_depth,
                centered=centered,
                seed=header["seed"],
                settings=settings,
                started=time.monotonic() - _LONG_AGO_S,
            )
            self._latest = (key, maps, settings)
        maps = self._latest[1]
        planes = topic_planes(maps, self._engine.bundle.classes, header["topic"], settings)
        return planes_digest({name: plane for name, plane, _ in planes}, list(maps.map_to_sensor))


def _settings_of(header: dict[str, Any], parameters: dict[str, Any]) -> Settings:
    """The settings of a product. A deadline ends the passes where it ended them then, however fast this machine is."""
    engine = {"engine": "passes" if header.get("engine") == "passes" else "auto"}
    named = {name: header[name] for name in ("mode", "gamma", "uncertainty_threshold")}
    rule = {"uncertain_rule": header.get("uncertain_rule", "relative"), "risk": header.get("risk", DEFAULT_RISK)}
    settings = settings_from({**parameters, **engine, **named, **rule})
    requested, used = header["passes_requested"], header["passes_used"]
    return replace(settings, passes=requested, minimum_passes=used, deadline_ms=1 if used < requested else 0)


def product_digest(product: Product) -> str:
    """Digest of a product's planes; see planes_digest."""
    return planes_digest(product.planes, product.header["map_to_sensor"])


def planes_digest(planes: dict[str, NDArray[Any]], affine: list[float]) -> str:
    """SHA-256 over planes and affine, hexadecimal.

    Args:
        planes: by name.
        affine: map_to_sensor.
    """
    digest = hashlib.sha256(repr([float(value) for value in affine]).encode("ascii"))
    for name in sorted(planes):
        digest.update(name.encode("ascii"))
        digest.update(planes[name].tobytes())
    return digest.hexdigest()
