"""The pages and figures that commands have written into docs/ and models/ are read and written again as they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ground_tools.datasets import report as datasets
from ground_tools.datasets.figures import DatasetFigures
from ground_tools.evaluation import covariance, navigation
from ground_tools.evaluation import report as evaluation
from ground_tools.evaluation.navigation_figures import NavigationFigures
from ground_tools.evaluation.results import Results
from ground_tools.export import accelerator_page
from ground_tools.export.accelerator_figures import AcceleratorFigures
from ground_tools.export.card import card
from ground_tools.export.figures import figures_of, plain_metrics
from ground_tools.foundation.json_records import from_plain, read_json
from ground_tools.training import comparison_figures
from tests.flight.gnc import measure

ROOT = Path(__file__).parents[3]


def again(kind: type, file: str, write: Callable[..., object]) -> Callable[[Path], object]:
    """What reads figures from a folder of documents and writes them there, with their page."""
    return lambda docs: write(from_plain(kind, read_json(docs / file), file), docs)


WRITTEN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "accelerators": (
        "accelerators.md",
        again(AcceleratorFigures, "accelerators.json", accelerator_page.write_figures),
    ),
    "results": ("results.md", lambda docs: evaluation.write_docs(docs, docs, Results())),
    "datasets": ("datasets.md", again(DatasetFigures, "datasets.json", datasets.write_figures)),
    "comparisons": ("training.md", lambda docs: comparison_figures.write_comparisons({}, docs)),
    "covariance": ("gnc.md", again(covariance.CovarianceFigures, "covariance.json", covariance.write_figures)),
    "gnc": ("gnc.md", again(NavigationFigures, "gnc.json", navigation.write_figures)),
    "gnc_client": ("gnc.md", again(dict, "gnc_client.json", measure.write_figures)),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_figures_and_their_page_are_written_alike(name: str, tmp_path: Path) -> None:
    page, write = WRITTEN[name]
    files = (page, f"{name}.json")
    for file in files:
        shutil.copy(ROOT / "docs" / file, tmp_path)
    write(tmp_path)
    for file in files:
        assert (tmp_path / file).read_text() == (ROOT / "docs" / file).read_text()


@pytest.mark.parametrize("manifest", sorted(ROOT.glob("models/*/manifest.json")), ids=lambda path: path.parent.name)
def test_a_card_is_that_of_its_manifest(manifest: Path) -> None:
    stated = json.loads(manifest.read_text())
    assert card(stated) == (manifest.parent / "card.md").read_text()
    assert json.dumps(plain_metrics(figures_of(stated))) == json.dumps(stated["metrics"])
