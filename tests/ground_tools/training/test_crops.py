"""Networks that are trained on parts of larger images, judged and flown on whole ones, tile by tile."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flight.bundle import load_bundle
from flight.inference.engine import Engine
from flight.inference.self_test import run_self_test
from flight.settings import default_settings
from ground_tools.datasets.store import load
from ground_tools.missions.evaluation import evaluate_on, open_evaluated
from ground_tools.training.crops import choose_crop, recipe_tiling
from ground_tools.training.pixels import Pixels
from ground_tools.training.recipe_tables import Crop
from ground_tools.training.recipes import load_recipe
from ground_tools.training.segmenter import SegmenterBatches
from tests.ground_tools.conftest import ground_tools
from tests.ground_tools.fresh_segmenter import write_fresh_training
from tests.ground_tools.missions.conftest import mars, spacecraft  # noqa: F401
from tests.ground_tools.missions.folders import write_mini_test
from tests.ground_tools.training.small_segmenter import SMALL

CROPS = SMALL + "crop = { height = 16, width = 32, about_classes = 0.5, overlap = 6 }\nfilm = 2\n"
CROPS = CROPS.replace('flips = "mirror"', 'flips = "both"')


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "crops.toml"
    # Lines after a table's would be the table's.
    lines = CROPS.splitlines()
    path.write_text("\n".join(sorted(lines, key=lambda line: line.startswith(("segmenter", "loss", "augmentation")))))
    return path


def test_parts_lie_in_the_image_and_about_any_class() -> None:
    mask = np.zeros((60, 90), dtype=np.uint8)
    mask[50:52, 80:83] = 2
    mask[:5] = 255
    generator = np.random.default_rng(1)
    crop = Crop(16, 32, about_classes=1.0)
    places = np.array([choose_crop(mask, crop, generator) for _ in range(300)])
    assert places.min() >= 0
    assert (places <= (60 - 16, 90 - 32)).all()
    held = [(mask[row : row + 16, column : column + 32] == 2).any() for row, column in places]
    # Half are laid about the small class, of 6 of 5,400 pixels; the others about the background hold it rarely.
    assert 0.4 < np.mean(held) < 0.75
    anywhere = np.array([choose_crop(mask, Crop(16, 32), generator) for _ in range(300)])
    held = [(mask[row : row + 16, column : column + 32] == 2).any() for row, column in anywhere]
    assert np.mean(held) < 0.4
    assert {0, 44} <= set(anywhere[:, 0])
    nothing = np.full((60, 90), 255, dtype=np.uint8)
    assert choose_crop(nothing, crop, generator)[0] <= 44


def test_batches_are_of_the_parts_size_with_their_masks(recipe: Path) -> None:
    masks = np.random.default_rng(0).integers(0, 4, (6, 32, 64)).astype(np.uint8)
    pixels = Pixels(np.repeat(masks[..., None] * np.uint8(60), 3, axis=3), masks, noisy=False)
    images, labels = SegmenterBatches(pixels, load_recipe(str(recipe), {"augmentation.flips": "none"}))[0]
    assert images.shape == (4, 16, 32, 3)
    assert labels.shape == (4, 16, 32)
    for image, label in zip(images, labels, strict=True):
        assert np.corrcoef(image[..., 0].ravel(), label.ravel())[0, 1] > 0.99


def test_tiles_follow_from_the_recipe(recipe: Path) -> None:
    tiling = recipe_tiling(load_recipe(str(recipe)))
    assert tiling is not None
    assert (tiling.size, tiling.overlap, tiling.align) == ((16, 32), 6, 4)
    usual = recipe_tiling(load_recipe(str(recipe), {"crop.overlap": 0}))
    assert usual is not None
    assert usual.overlap == 4
    with pytest.raises(ValueError, match=r"crop\.overlap: expected more than twice the margin of 3, got 6"):
        load_recipe(str(recipe), {"crop.margin": 3})


@pytest.fixture
def trained(recipe: Path, spacecraft: Path, tmp_path: Path) -> Path:  # noqa: F811
    longer = ("--epochs", 20, "--set", "batch=2")
    done = ground_tools("train", "--recipe", recipe, "--dataset", spacecraft, *longer, "--out", tmp_path / "net")
    assert done.returncode == 0, done.stderr
    return tmp_path / "net"


@pytest.mark.slow
def test_a_network_for_tiles_is_trained_and_evaluated(trained: Path, spacecraft: Path, tmp_path: Path) -> None:  # noqa: F811
    record = json.loads((trained / "training.json").read_text())
    assert record["input"] == [16, 32, 3]
    assert record["validation"]["iou"]["body"] > 0.5
    # A picture after every epoch: two images beside each other; image, truth and map below each other.
    pictures = sorted((trained / "film").glob("epoch_*.png"))
    assert len(pictures) == 20
    with Image.open(pictures[0]) as picture:
        assert picture.size == (2 * 64 + 4, 3 * 32 + 8)
    with Image.open(trained / "film" / "film.gif") as film:
        assert 1 < getattr(film, "n_frames", 1) <= 20
    with open_evaluated(trained, passes=1) as evaluated:
        result = evaluate_on(evaluated, spacecraft, "validation", 0)
    # What the training itself found of its best weights.
    assert result.figures.miou == pytest.approx(record["validation"]["miou"], abs=1e-4)


@pytest.mark.slow
def test_a_bundle_states_the_tiles_and_answers_by_them(recipe: Path, spacecraft: Path, tmp_path: Path) -> None:  # noqa: F811
    """Of fresh weights: what the network says does not matter here."""
    folder = write_fresh_training(recipe, spacecraft, tmp_path / "net", (16, 32, 3))
    few = ("--passes", 2, "--parity-images", 1, "--parity-passes", 2, "--images", 2, "--force")
    done = ground_tools("export", "--network", folder, "--dataset", spacecraft, *few, "--out", tmp_path / "bundle")
    assert done.returncode == 0, done.stderr
    bundle = load_bundle(tmp_path / "bundle")
    assert (bundle.height, bundle.width) == (32, 64)
    assert bundle.tiles is not None
    assert (bundle.tiles.height, bundle.tiles.width, bundle.tiles.overlap, bundle.tiles.align) == (16, 32, 6, 4)
    engine = Engine(bundle)
    run_self_test(engine)
    loaded, settings = load(spacecraft, "test"), replace(default_settings(bundle), passes=2)
    flown = [
        engine.segment(image, bit_depth=8, centered=True, seed=seed, settings=settings).class_map
        for seed, image in enumerate(loaded.images)
    ]
    engine.close()
    assert flown[0].shape == (32, 64)
    with open_evaluated(tmp_path / "bundle", passes=2) as evaluated:
        assert np.array_equal(evaluate_on(evaluated, spacecraft, "test", 0).maps, flown)


@pytest.mark.slow
def test_images_that_tiles_do_not_fit_are_refused(mars: Path, recipe: Path, tmp_path: Path) -> None:  # noqa: F811
    higher = ("--recipe", recipe, "--set", "crop.height=64")
    done = ground_tools("train", *higher, "--dataset", mars, "--out", tmp_path / "x")
    assert done.returncode == 2
    assert "images: expected at least 64 x 32 px, as recipe crops cuts, got 32 x 32" in done.stderr


@pytest.mark.slow
def test_a_network_without_tiles_answers_for_larger_images_with_an_overlap(
    spacecraft: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Of fresh weights: what the network says does not matter here."""
    (tmp_path / "small.toml").write_text(SMALL)
    write_fresh_training(tmp_path / "small.toml", spacecraft, tmp_path / "net", (32, 64, 3))
    larger = tmp_path / "larger"
    folder = write_mini_test(tmp_path / "published", height=64, width=128)
    assert ground_tools("mission", "import", "spacecraft-curated", folder, "--out", larger).returncode == 0
    evaluate = ("evaluate", "--bundle", tmp_path / "net", "--dataset", larger, "--out", tmp_path / "out")
    done = ground_tools(*evaluate)
    assert done.returncode == 2
    assert "images: expected 32 x 64 px, got 64 x 128; --overlap answers for larger ones in tiles" in done.stderr
    done = ground_tools(*evaluate, "--overlap", 8, "--coarser", 1, 2)
    assert done.returncode == 0, done.stderr
    assert "net on spacecraft_mini_test: accuracy" in done.stdout
    assert "net on spacecraft_mini_test_coarser_2: accuracy" in done.stdout


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *((f"bodies-{part}", (128, 128)) for part in ("half", "quarter", "any")),
        *((f"aerial-{part}", (256, 256)) for part in ("half", "quarter")),
        *((f"spacecraft-{part}", (512, 1024)) for part in ("light", "flex-unet")),
    ],
)
def test_the_networks_of_recipes_take_the_images_of_their_sets(name: str, size: tuple[int, int]) -> None:
    recipe = load_recipe(name)
    assert recipe.segmenter is not None
    tiling = recipe_tiling(recipe)
    taken = size if tiling is None else tiling.size
    assert not any(side % recipe.segmenter.shrinks for side in taken)
    if tiling is not None:
        layout = tiling.lay(*size)
        assert layout is not None
        assert len(layout.corners) == 3
    assert recipe.guided == name.startswith(("bodies", "aerial"))
