"""A three-hundredth of every set of the reference paper: distributions, masks, and golden samples.

Golden samples with the shape models and height maps themselves are compared where RUBBLEMAP_SHAPES and
RUBBLEMAP_CRATER_MAPS name their folders. `python -m tests.ground_tools.rendering.test_sets` writes the golden files
anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import stats

from ground_tools.datasets.integrity import verify
from ground_tools.datasets.store import LoadedSet, load, read_description
from ground_tools.labels.classes import BOULDERS, CRATERS, TERMINATOR
from ground_tools.labels.terminator import acceptance_mask
from ground_tools.rendering.campaign import load_campaign
from ground_tools.rendering.geometry import SHELL
from tests.ground_tools.conftest import ground_tools_process

# Rendering the sets takes a minute or two on two free cores.
pytestmark = pytest.mark.timeout(900)
SETS = ("d1", "d2a", "d2b", "d3")
GOLDEN = Path(__file__).with_name("golden")
# Where rays just meet or miss an edge, processors with other vector units may round to the other side.
PIXELS_OF_DOUBT = 8
GREY_TOLERANCE = 3.0


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A three-hundredth of every set, with stand-ins for all files: a folder of sets."""
    out = tmp_path_factory.mktemp("rendered")
    # Of two workers each would make a model of most bodies.
    campaigns = ("--campaign", *SETS, "--procedural", "--fraction", 0.0033, "--workers", 1)
    done = ground_tools_process("render", *campaigns, "--out", out, timeout=900)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def sets(rendered: Path) -> dict[str, LoadedSet]:
    return {name: load(rendered / name, identifiers=True) for name in SETS}


def test_counts_and_splits_are_the_papers() -> None:
    d1 = load_campaign("d1").bodies
    assert d1["67p"] == (1350, 150, 150)
    assert d1["didymos"] == (1750, 150, 150)
    assert d1["lutetia"] == (1700, 150, 150)
    assert d1["bennu"] == d1["hygiea"] == (1850, 150, 150)
    assert d1["golevka"] == d1["hartley2"] == (1500, 150, 150)
    assert tuple(sum(counts) for counts in zip(*d1.values(), strict=True)) == (11500, 1050, 1050)
    assert load_campaign("d2a").bodies == {"1996hw1": (0, 0, 1500)}
    assert load_campaign("d2b").bodies == {"interamnia": (0, 0, 1500)}
    assert load_campaign("d3").bodies == {"interamnia": (0, 0, 56)}


def test_a_three_hundredth_of_every_set_is_whole(rendered: Path, sets: dict[str, LoadedSet]) -> None:
    assert {name: len(loaded) for name, loaded in sets.items()} == {"d1": 55, "d2a": 5, "d2b": 5, "d3": 3}
    for name in SETS:
        assert verify(rendered / name) == []
        assert all(not body["sha256"] for body in read_description(rendered / name)["bodies"].values())


def test_ranges_and_sun_angles_follow_the_stated_distributions(sets: dict[str, LoadedSet]) -> None:
    loaded = sets["d1"]
    low, high = (fraction**3 for fraction in SHELL)
    assert stats.kstest(loaded.ranges_d0**3, stats.uniform(low, high - low).cdf).pvalue > 1e-3
    assert stats.kstest(loaded.phase_angles_deg, stats.uniform(0.0, 90.0).cdf).pvalue > 1e-3
    directions = loaded.cameras_km / np.linalg.norm(loaded.cameras_km, axis=1, keepdims=True)
    for axis in range(3):
        assert stats.kstest(directions[:, axis], stats.uniform(-1.0, 2.0).cdf).pvalue > 1e-3


def test_a_flyby_begins_and_ends_far_outside_the_shell(sets: dict[str, LoadedSet]) -> None:
    loaded = sets["d3"]
    assert loaded.times_s.tolist() == [-900.0, 0.0, 900.0]
    assert loaded.ranges_d0[[0, 2]].min() > 2.5 * SHELL[1]
    assert loaded.ranges_d0[1] == pytest.approx(0.75, abs=0.03)


def test_masks_are_true_to_what_the_pixels_show(sets: dict[str, LoadedSet]) -> None:
    """Craters and boulders lie on the body; the terminator keeps off the band that the erosion removes."""
    for loaded in sets.values():
        for mask, identifiers in zip(loaded.masks, loaded.identifiers, strict=True):
            body = identifiers > 0
            assert body[np.isin(mask, (CRATERS, BOULDERS, TERMINATOR))].all()
            assert acceptance_mask(body)[mask == TERMINATOR].all()
    masks = sets["d1"].masks
    assert all((masks == index).any(axis=(1, 2)).mean() > 0.5 for index in range(5))


def test_the_terminator_is_dim_on_one_side_and_bright_on_the_other(sets: dict[str, LoadedSet]) -> None:
    """On average over a set: within the region the image is darker than the day and brighter than the night."""
    loaded = sets["d2b"]
    means: dict[str, list[float]] = {"terminator": [], "day": []}
    for image, mask, phase in zip(loaded.images, loaded.masks, loaded.phase_angles_deg, strict=True):
        region = mask == TERMINATOR
        if region.sum() > 100 and phase > 30.0:
            means["terminator"].append(float(image[region].mean()))
            means["day"].append(float(np.percentile(image[mask > 0], 90)))
    assert len(means["day"]) >= 3
    assert all(t < 0.75 * d for t, d in zip(means["terminator"], means["day"], strict=True))
    assert min(means["terminator"]) > 5.0


def _golden(name: str) -> tuple[dict[str, str], np.ndarray, np.ndarray]:
    record = json.loads((GOLDEN / f"{name}.json").read_text())
    mask = cv2.imread(str(GOLDEN / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    return record, mask, np.asarray(record["grey_16x16"])


def _first_samples(loaded: LoadedSet) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    first = {}
    for body, image, mask in zip(loaded.bodies, loaded.images, loaded.masks, strict=True):
        first.setdefault(str(body), (image, mask))
    return first


def _grey(image: np.ndarray) -> np.ndarray:
    return image.reshape(16, 8, 16, 8).mean(axis=(1, 3))


def _compare(kind: str, found: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    for body, (image, mask) in found.items():
        record, golden, grey = _golden(f"{kind}_{body}")
        if hashlib.sha256(mask.tobytes()).hexdigest() != record["mask_sha256"]:
            assert (mask != golden).sum() <= PIXELS_OF_DOUBT, body
        assert np.abs(_grey(image) - grey).max() < GREY_TOLERANCE, body


def test_every_body_gives_its_golden_sample(sets: dict[str, LoadedSet]) -> None:
    train = sets["d1"].chosen(sets["d1"].splits == "train")
    found = _first_samples(train) | _first_samples(sets["d2a"]) | _first_samples(sets["d2b"])
    assert len(found) == 9
    _compare("procedural", found)


@pytest.fixture(scope="module")
def with_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    folders = [os.environ.get(name) for name in ("RUBBLEMAP_SHAPES", "RUBBLEMAP_CRATER_MAPS")]
    if not all(folders):
        pytest.skip("RUBBLEMAP_SHAPES and RUBBLEMAP_CRATER_MAPS name no folders of shape models and height maps")
    return _render_first(tmp_path_factory.mktemp("files"), ["--shapes", *folders[:1], "--crater-maps", *folders[1:]])


def _render_first(out: Path, arguments: list[str | None]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    names = SETS[:3]
    campaigns = ("--campaign", *names, "--fraction", 0.0001)
    done = ground_tools_process("render", *campaigns, *arguments, "--out", out, timeout=900)
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name in names:
        split = "train" if name == "d1" else "test"
        found |= _first_samples(load(out / name, split))
    return found


def test_every_body_gives_its_golden_sample_with_its_files(
    with_files: dict[str, tuple[np.ndarray, np.ndarray]],
) -> None:
    assert len(with_files) == 9
    _compare("files", with_files)


def _write_golden() -> None:
    import tempfile

    GOLDEN.mkdir(exist_ok=True)
    kinds: dict[str, list[str | None]] = {"procedural": ["--procedural"]}
    if "RUBBLEMAP_SHAPES" in os.environ:
        folders = [os.environ["RUBBLEMAP_SHAPES"], os.environ["RUBBLEMAP_CRATER_MAPS"]]
        kinds["files"] = ["--shapes", folders[0], "--crater-maps", folders[1]]
    for kind, arguments in kinds.items():
        with tempfile.TemporaryDirectory() as scratch:
            for body, (image, mask) in _render_first(Path(scratch), arguments).items():
                cv2.imwrite(str(GOLDEN / f"{kind}_{body}.png"), mask, [cv2.IMWRITE_PNG_COMPRESSION, 9])
                record = {
                    "mask_sha256": hashlib.sha256(mask.tobytes()).hexdigest(),
                    "grey_16x16": np.round(_grey(image), 1).tolist(),
                }
                (GOLDEN / f"{kind}_{body}.json").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    sys.exit(_write_golden())
