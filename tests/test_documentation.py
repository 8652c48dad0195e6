"""The pages as a site, with the reference of the public modules: built without a warning, and nothing left out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import flight.client

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # of the theme, about its own future
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_every_page_is_there(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file()
    assert not list(site.rglob("*.py"))


@pytest.mark.slow
def test_the_reference_has_the_public_names(site: Path) -> None:
    clients = (site / "api" / "client.html").read_text(encoding="utf-8")
    for name in flight.client.__all__:
        assert f'id="flight.client.{name}"' in clients, name
    contract = (site / "api" / "icd.html").read_text(encoding="utf-8")
    assert all(
        name in contract for name in ("CommandDefinition", "EventDefinition", "FlagDefinition", "decode_message")
    )
    assert 'id="flight.inference.engine.Engine.segment"' in (site / "api" / "engine.html").read_text(encoding="utf-8")
    assert 'id="ground_tools.datasets.store.load"' in (site / "api" / "datasets.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_links_to_the_source_tree_are_their_text(site: Path) -> None:
    page = (site / "datasets.html").read_text(encoding="utf-8")
    assert "](../" not in page
    assert "catalogue.toml" in page
