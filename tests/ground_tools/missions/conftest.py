"""Small sets of missions, imported once, and a network that is trained on one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ground_tools.datasets.store import write_description
from ground_tools.missions.importers import import_set
from ground_tools.missions.layouts import ImportOptions
from tests.ground_tools.conftest import ground_tools
from tests.ground_tools.missions.folders import (
    craft_image,
    craft_mask,
    write_ai4mars,
    write_color,
    write_lunar_landscapes,
    write_spacecraft,
)
from tests.ground_tools.training.small_segmenter import SMALL
from tests.shared_folders import share_folder


@pytest.fixture(scope="session")
def moon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 colour pairs of 32 px."""

    def make(folder: Path) -> None:
        options = ImportOptions(size=(32, 32), shares=(0.5, 0.25, 0.25))
        made = import_set("lunar-landscapes", write_lunar_landscapes(folder / "published", 20), folder / "set", options)
        # Drawn ones may be passed on.
        write_description(folder / "set", made | {"publish_images": True})

    return share_folder(tmp_path_factory, "moon", make) / "set"


@pytest.fixture(scope="session")
def trained_on_moon(moon: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of twelve epochs on the set `moon`."""

    def train(folder: Path) -> None:
        folder.mkdir()
        (folder / "small.toml").write_text(SMALL)
        start = ("train", "--recipe", folder / "small.toml", "--dataset", moon, "--epochs", 12)
        done = ground_tools(*start, "--out", folder / "net")
        assert done.returncode == 0, done.stderr

    return share_folder(tmp_path_factory, "trained_on_moon", train) / "net"


@pytest.fixture(scope="session")
def mars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 grey pairs of 32 px of two cameras, a quarter of the pixels without a label."""

    def make(folder: Path) -> None:
        import_set("ai4mars", write_ai4mars(folder / "published", 30), folder / "set", ImportOptions())

    return share_folder(tmp_path_factory, "mars", make) / "set"


@pytest.fixture(scope="session")
def spacecraft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen colour pairs of 32 x 64 px, in three splits."""

    def make(folder: Path) -> None:
        options = ImportOptions(size=(32, 64), shares=(0.6, 0.2, 0.2))
        made = import_set("spacecraft", write_spacecraft(folder / "published"), folder / "set", options)
        # Drawn ones may be passed on.
        write_description(folder / "set", made | {"publish_images": True})

    return share_folder(tmp_path_factory, "spacecraft", make) / "set"


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colour images of 36 x 64 px without masks, in pieces of 32 px."""

    def make(folder: Path) -> None:
        for number in range(3):
            write_color(folder / "published" / f"{number}.png", craft_image(craft_mask(number)))
        options = ImportOptions(size=(32, 32), part="spacecraft")
        import_set("frames", folder / "published", folder / "set", options)

    return share_folder(tmp_path_factory, "frames", make) / "set"
