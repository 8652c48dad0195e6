"""Files that a power cut left empty, cut off or full of zeros: mended from the others, or named with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from ground_tools.export.bundle_writer import read_trained
from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.training.origins import describe_origin
from ground_tools.training.progress import read_log
from ground_tools.training.resumption import read_identity, repair

_MIOUS = (0.3, 0.5, 0.4)


def write_state(path: Path, value: float) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/conv/vars/0", data=np.full((64, 64), value))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """What a training of three epochs leaves, the second one the best."""
    columns = ["epoch", "loss", "seconds", "val_miou", *(f"val_iou_{name}" for name in CLASS_NAMES)]
    rows = [[str(epoch), "1.5", "9.0", *[str(miou)] * (1 + len(CLASS_NAMES))] for epoch, miou in enumerate(_MIOUS)]
    (tmp_path / "log.csv").write_text("".join(",".join(row) + "\r\n" for row in (columns, *rows)))
    (tmp_path / "started.json").write_text(json.dumps({"recipe": {"seed": 1}}))
    best = {"epoch": 2, "miou": 0.5, "iou": dict.fromkeys(CLASS_NAMES, 0.5)}
    (tmp_path / "unet.weights.best.json").write_text(json.dumps(best))
    write_state(tmp_path / "unet.weights.h5", 2.0)
    backup = tmp_path / "backup"
    backup.mkdir()
    for epoch, ending in ((2, ".bkp"), (3, "")):
        write_state(backup / f"latest.weights.h5{ending}", float(epoch))
        (backup / f"training_metadata.json{ending}").write_text(json.dumps({"epoch": epoch, "batch": 0}))
    return tmp_path


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.write_bytes({"empty": b"", "zeros": bytes(len(content)), "cut": content[: len(content) // 2]}[how])


every_damage = pytest.mark.parametrize("how", ["empty", "zeros", "cut"])


def test_a_whole_folder_is_left_as_it_is(out: Path) -> None:
    before = contents(out)
    repair(out)
    assert contents(out) == before
    assert read_identity(out) == {"recipe": {"seed": 1}}


def test_an_empty_folder_is_none(tmp_path: Path) -> None:
    repair(tmp_path)
    assert read_identity(tmp_path) is None


@every_damage
def test_the_best_figures_are_made_again_from_the_log(out: Path, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = json.loads((out / "unet.weights.best.json").read_text())
    damage(out / "unet.weights.best.json", how)
    repair(out)
    assert json.loads((out / "unet.weights.best.json").read_text()) == before
    assert "unet.weights.best.json: damaged" in capsys.readouterr().err


@every_damage
@pytest.mark.parametrize("name", ["latest.weights.h5", "training_metadata.json"])
def test_the_state_before_is_used_where_the_last_is_damaged(out: Path, name: str, how: str) -> None:
    damage(out / "backup" / name, how)
    repair(out)
    assert json.loads((out / "backup" / "training_metadata.json").read_text())["epoch"] == 2
    with h5py.File(out / "backup" / "latest.weights.h5") as file:
        assert float(file["layers/conv/vars/0"][0, 0]) == 2.0


def test_without_a_state_before_the_first_epoch_is_done_again(out: Path) -> None:
    for path in (out / "backup").glob("*.bkp"):
        path.unlink()
    damage(out / "backup" / "latest.weights.h5", "cut")
    repair(out)
    assert not list((out / "backup").iterdir())


@every_damage
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("started.json", "remove it to go on"),
        ("unet.weights.h5", "remove it and unet.weights.best.json"),
        ("log.csv", "expected 3 epochs in it, got .*choose another --out"),
    ],
)
def test_what_cannot_be_mended_is_named_with_what_to_do(out: Path, name: str, advice: str, how: str) -> None:
    damage(out / name, how)
    with pytest.raises(ValueError, match=rf"{name}: damaged.*{advice}"):
        (read_identity if name == "started.json" else repair)(out)


def test_two_damaged_states_are_named(out: Path) -> None:
    for path in (out / "backup").glob("latest*"):
        damage(path, "empty")
    with pytest.raises(
        ValueError, match=r"latest\.weights\.h5: damaged, as is the state before it; choose another --out"
    ):
        repair(out)


def test_a_row_that_was_cut_off_is_taken_out_of_the_log(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The epoch was logged, its state not yet written: it is done again."""
    with (out / "log.csv").open("a") as log:
        log.write("3,1.2,")
    repair(out)
    assert [row["epoch"] for row in read_log(out)] == ["0", "1", "2"]
    assert (out / "log.csv").read_text().splitlines()[-1].startswith("2,")
    assert "log.csv: damaged" in capsys.readouterr().err


@every_damage
def test_damaged_records_are_named_by_who_reads_them(out: Path, how: str) -> None:
    (out / "training.json").write_text(json.dumps({"recipe": {"role": "UNetS"}}))
    read_trained(out)
    damage(out / "training.json", how)
    with pytest.raises(ValueError, match=r"training\.json: damaged .*; remove it and go on with the training"):
        read_trained(out)
    with pytest.raises(ValueError, match=r"training\.json: damaged"):
        describe_origin(out / "unet.weights.h5")
