"""Frame sources: the same interface for all, truth and geometry where they are known."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest

from hil.runs.measures import outline_centroid
from hil.scenarios.source_tables import DatasetSource, DrawnSource, FlybySource, FolderSource, RecordingSource
from hil.sources.frames import TRUTH_CLASSES, spread
from hil.sources.registry import SourceError, open_frames


def test_stored_frames_are_spread_evenly() -> None:
    assert [spread(index, 5, 56) for index in range(5)] == [0, 14, 28, 41, 55]
    assert [spread(index, 3, 3) for index in range(3)] == [0, 1, 2]
    assert spread(0, 1, 9) == 4
    assert {spread(index, 100, 3) for index in range(100)} == {0, 1, 2}


def test_the_flyby_has_truth_and_geometry() -> None:
    frames = list(open_frames(FlybySource(), Path(), 5))
    assert len(frames) == 5
    assert [frame.time_s for frame in frames][::4] == [-900.0, 900.0]
    for frame in frames:
        assert frame.pixels.shape == frame.truth.shape == (128, 128)
        assert frame.geometry.keys() == {"range_km", "sun_direction_camera"}
        # But for the pixel that the renderer's filter spreads the body over.
        assert cv2.dilate(frame.truth, np.ones((3, 3), np.uint8))[frame.pixels > 100].min() >= 1


def test_a_folder_may_have_truth_and_may_have_none(tmp_path: Path) -> None:
    image, mask = np.full((40, 50), 90, np.uint8), np.ones((40, 50), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    stream = open_frames(FolderSource(path=tmp_path.name), tmp_path.parent, 2)
    assert stream.classes == ()
    assert stream.frame(1).truth is None
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), mask)
    stream = open_frames(FolderSource(path=str(tmp_path)), Path("/"), 2)
    assert stream.classes == TRUTH_CLASSES
    assert np.array_equal(stream.frame(0).truth, mask)
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), mask[:8])
    with pytest.raises(ValueError, match=r"masks/a\.png: expected uint8 classes below 5"):
        stream.frame(0)


def test_a_rendered_set_is_read_without_the_ground_tools(tmp_path: Path) -> None:
    from ground_tools.datasets import store

    rng = np.random.default_rng(3)
    rows = []
    for index, split in enumerate(("train", "test", "test")):
        image, mask = (rng.integers(0, high, (32, 32)).astype(np.uint8) for high in (256, 5))
        rows.append(
            {
                "body": "eros", "split": split, "index": index, "seed": 1, "camera_km": [1.0, 2.0, 3.0],
                "sun_direction": [0.0, 0.0, 1.0], "range_km": 5.0 + index, "range_d0": 1.0, "phase_angle_deg": 9.0,
                "time_s": None, "class_pixels": [1] * 5, "sha256": "00", "image": store.webp_bytes(image),
                "mask": store.webp_bytes(mask), "identifiers": b"", "ground": b"",
            }
        )  # fmt: skip
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "0.parquet").write_bytes(store.shard_bytes(rows))
    store.write_description(tmp_path, {"format": store.FORMAT_VERSION, "name": "set"})
    stream = open_frames(DatasetSource(path=str(tmp_path), split="test"), Path("/"), 2)
    assert np.array_equal(stream.frame(1).pixels, image)
    assert np.array_equal(stream.frame(1).truth, mask)
    assert stream.frame(0).geometry == {"range_km": 6.0}
    with pytest.raises(ValueError, match="expected samples of split all, body bennu, got none"):
        open_frames(DatasetSource(path=str(tmp_path), body="bennu"), Path("/"), 2)
    (tmp_path / "dataset.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(ValueError, match="expected a set of format 2, got 1"):
        open_frames(DatasetSource(path=str(tmp_path)), Path("/"), 2)


def test_a_recording_gives_its_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ModuleType("hil.recording.reader")
    header = {"capture_time_ns": 5_000_000_000, "range_km": 7.0, "source": "navcam"}
    frames = [SimpleNamespace(pixels=np.full((20, 20), level), bit_depth=8, header=header) for level in (1, 2, 3)]
    reader.read_frames = lambda path: iter(frames)
    monkeypatch.setitem(sys.modules, "hil.recording.reader", reader)
    stream = open_frames(RecordingSource(path="a.mcap"), tmp_path, 3)
    assert [frame.pixels[0, 0] for frame in stream] == [1, 2, 3]
    assert (stream.frame(0).time_s, stream.frame(0).geometry) == (5.0, {"range_km": 7.0})


def test_what_reads_a_source_and_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "hil.sources.dataset", raising=False)
    with pytest.raises(SourceError, match=r"source\.kind: dataset: expected the package pyarrow to be installed"):
        open_frames(DatasetSource(path="x"), Path(), 1)


@pytest.mark.parametrize(("range_d0", "diameter"), [(40.0, 6.4), (4.0, 64.0), (1.6, 160.0)])
def test_a_drawn_body_is_as_large_and_where_it_should_be(range_d0: float, diameter: float) -> None:
    stream = open_frames(DrawnSource(range_d0=(range_d0,) * 2, drift_px=10.0), Path(), 5)
    for index, offset in ((0, 0.0), (1, 10.0)):
        frame = stream.frame(index)
        centroid = outline_centroid(frame.truth, TRUTH_CLASSES)
        assert centroid == pytest.approx((127.5 + offset, 127.5 - 0.4 * offset), abs=0.3)
        assert 2.0 * np.sqrt(np.count_nonzero(frame.truth) / np.pi) == pytest.approx(diameter, rel=0.06)
        assert frame.pixels.max() > 60
        # Nothing but noise where no body is.
        assert frame.pixels[frame.truth == 0].mean() < 7.0


def test_a_drawn_bodys_night_is_dark_and_its_terminator_between(tmp_path: Path) -> None:
    stream = open_frames(DrawnSource(range_d0=(1.4, 1.4), phase_deg=(90.0, 90.0), craters=0, boulders=0), Path(), 1)
    frame = stream.frame(0)
    sun = np.array(frame.geometry["sun_direction_camera"])
    v, u = np.indices(frame.truth.shape) - 127.5
    towards_sun = u * sun[0] + v * sun[1]
    body = frame.truth > 0
    assert frame.pixels[body & (towards_sun < -8)].mean() < 6.0
    assert frame.pixels[body & (towards_sun > 30)].mean() > 100.0
    assert np.abs(towards_sun[frame.truth == 4]).max() < 10.0
    assert np.count_nonzero(frame.truth == 4) > 300


def test_drawn_features_are_in_image_and_truth_and_the_same_again() -> None:
    source = DrawnSource(range_d0=(1.2, 1.2), second_body=0.0)
    stream = open_frames(source, Path(), 3)
    first, again = stream.frame(1), open_frames(source, Path(), 3).frame(1)
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.truth, again.truth)
    plain = open_frames(DrawnSource(range_d0=(1.2, 1.2), craters=0, boulders=0), Path(), 3).frame(1)
    changed = np.abs(first.pixels.astype(int) - plain.pixels) > 12
    for index in (2, 3):
        assert np.count_nonzero(first.truth == index) > 500
        assert changed[first.truth == index].mean() > 2 * changed[first.truth == 1].mean()


def test_a_second_drawn_body_stands_apart() -> None:
    truth = open_frames(DrawnSource(range_d0=(4.0, 4.0), second_body=0.4), Path(), 1).frame(0).truth
    count, _, statistics, _ = cv2.connectedComponentsWithStats((truth > 0).astype(np.uint8), connectivity=8)
    assert count == 3
    small, large = sorted(statistics[1:, cv2.CC_STAT_AREA])
    assert small / large == pytest.approx(0.16, abs=0.02)


def test_nearer_than_its_radius_the_ground_fills_the_frame() -> None:
    frame = open_frames(DrawnSource(range_d0=(0.1, 0.1), phase_deg=(35.0, 35.0)), Path(), 1).frame(0)
    assert (frame.truth > 0).all()
    assert frame.pixels.mean() > 100
