"""Campaigns as files: what is read, what is malformed, and parts of a campaign."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ground_tools.foundation.descriptions import parse
from ground_tools.rendering.campaign import CAMPAIGNS, Campaign, Counts, Flyby, load_campaign
from tests.ground_tools.foundation.structure_strategy import NAMES, as_read, structures

VIEWS = """
name = "x"
seed = 1
samples = 4
[bodies]
b = [10, 1, 0]
"""
FLYBY = """
name = "x"
seed = 1
samples = 4
[flyby]
body = "b"
frames = 5
closest = 1
farthest = 2.5
duration_s = 9
"""
FIELDS, FLYBY_FIELDS = "name, seed, samples, bodies, flyby, close_range", "body, frames, closest, farthest, duration_s"
COUNT_ROWS = st.builds(Counts, st.integers(0, 2**62), st.integers(0, 2**62), st.integers(0, 2**62))
COUNTS = "[train, validation, test], whole numbers >= 0"


def read(tmp_path: Path, text: str) -> Campaign:
    path = tmp_path / "c.toml"
    path.write_text(text)
    return load_campaign(str(path))


def test_what_a_campaign_says(tmp_path: Path) -> None:
    assert read(tmp_path, VIEWS) == Campaign("x", 1, 4, {"b": (10, 1, 0)})
    flyby = read(tmp_path, FLYBY)
    assert flyby == Campaign("x", 1, 4, flyby=Flyby("b", 5, 1.0, 2.5, 9.0))
    assert flyby.bodies == {"b": (0, 0, 5)}


def test_parts_of_a_campaign(tmp_path: Path) -> None:
    views, flyby = read(tmp_path, VIEWS), read(tmp_path, FLYBY)
    assert views.fraction(0.25).bodies == {"b": (3, 1, 0)}
    assert flyby.fraction(0.1).bodies == {"b": (0, 0, 3)}
    assert views.only(["train"]).bodies == {"b": (10, 0, 0)}
    assert flyby.only(["validation", "test"]) == flyby
    for campaign, split in ((views, "test"), (flyby, "train")):
        with pytest.raises(ValueError, match=f"campaign x: expected samples in split {split}, got none"):
            campaign.only([split])


def test_a_campaign_is_found_by_name_or_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # A folder of that name, as of a set, is no campaign.
    (tmp_path / "d1").mkdir()
    assert load_campaign("d1") == load_campaign("d1.toml") == load_campaign(str(CAMPAIGNS / "d1.toml"))
    (tmp_path / "d1.toml").write_text(VIEWS)
    assert load_campaign("d1.toml").name == "x"


@pytest.mark.parametrize(
    ("text", "before", "after", "message"),
    [
        (VIEWS, "seed = 1", "seed = true", "seed: expected a whole number >= 0, got true"),
        (VIEWS, "seed = 1", "seed = -1", "seed: expected a whole number >= 0, got -1"),
        (VIEWS, "seed = 1\n", "", "seed: expected a whole number >= 0, got nothing"),
        (VIEWS, "= 4", "= 0", "samples: expected a whole number 1..4096, got 0"),
        (VIEWS, "= 4", "= 4.0", "samples: expected a whole number 1..4096, got 4.0"),
        (VIEWS, '"x"', '""', 'name: expected a string that is not empty, got ""'),
        (VIEWS, "seed", "sead", f"sead: expected one of {FIELDS}, got an unknown field"),
        (VIEWS, "10, 1, 0", "10, 1", f"bodies.b: expected {COUNTS}, got [10, 1]"),
        (VIEWS, "10,", "-1,", f"bodies.b: expected {COUNTS}, got [-1, 1, 0]"),
        (VIEWS, "10,", "true,", f"bodies.b: expected {COUNTS}, got [true, 1, 0]"),
        (VIEWS, "[10, 1, 0]", "10", f"bodies.b: expected {COUNTS}, got 10"),
        (VIEWS, "b = [10, 1, 0]\n", "", f"bodies: expected a table of one or more lists {COUNTS}, got {{}}"),
        (VIEWS, "[bodies]\nb = [10, 1, 0]\n", "", "expected either bodies or flyby, got neither"),
        (FLYBY, "[flyby]", "bodies.b = [1, 1, 1]\n[flyby]", "expected either bodies or flyby, got both"),
        (FLYBY, "frames = 5", "frames = 1", "flyby.frames: expected a whole number 2..100000, got 1"),
        (FLYBY, "closest = 1", "closest = 0", "flyby.closest: expected a number > 0, got 0"),
        (FLYBY, "closest = 1", "closest = 3", "flyby.farthest: expected more than closest, 3.0, got 2.5"),
        (FLYBY, "= 9", "= inf", "flyby.duration_s: expected a finite number, got Infinity"),
        (FLYBY, "duration_s = 9\n", "", "flyby.duration_s: expected a number > 0, got nothing"),
        (FLYBY, "[flyby]", "[flyby]\nsun = 3", f"flyby.sun: expected one of {FLYBY_FIELDS}, got an unknown field"),
    ],
)
def test_a_malformed_campaign_is_named(tmp_path: Path, text: str, before: str, after: str, message: str) -> None:
    assert before in text
    with pytest.raises(ValueError, match="campaign ") as caught:
        read(tmp_path, text.replace(before, after, 1))
    assert str(caught.value) == f"campaign {tmp_path / 'c.toml'}: {message}"


@given(
    structures(
        Campaign, name=NAMES, flyby=st.none(), random_views=st.dictionaries(NAMES, COUNT_ROWS, min_size=1, max_size=4)
    )
    | structures(Campaign, name=NAMES, random_views=st.none(), flyby=structures(Flyby, body=NAMES))
)
def test_what_is_written_is_read_back(campaign: Campaign) -> None:
    assert parse("campaign", as_read(campaign), Campaign) == campaign
