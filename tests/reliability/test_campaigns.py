"""The reliability campaigns in short: the same code, a few of everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.reliability.__main__ import CAMPAIGNS, run_campaign
from tests.reliability.report import write_report

# What each campaign must find, whatever its length; figures that depend on the machine's load are not among them.
EXPECTED: dict[str, dict[str, Any]] = {
    "decoders": {"inputs_tried": 20_000, "inputs_crashed": 0},
    "live_sockets": {"live_inputs_tried": 3_000, "live_inputs_crashed": 0, "products_from_bad_frames": 0},
    "flips": {"flips": 60, "flips_detected": 60, "flips_served": 0, "live_flips_detected": 1},
    "power_cuts": {"power_cuts": 3, "mixtures": 0},
    "nonsense": {"nonsense_frames": 40, "circles_on_nonsense": 0, "real_refused": 0},
    "kills": {"kills": 6, "wrong_maps": 0, "commands_lost": 0},
    "pause": {"pauses": 4, "pause_workers_lost": 0, "pause_wrong_maps": 0},
    "swap": {"swaps": 6, "swaps_answered": 6, "swap_wrong_maps": 0},
    "upsets": {"upsets": 4, "upsets_wrong_after_self_test": 0},
    "flood": {"flood_seconds": 10},
    "handshakes": {},
    "soak": {"frames_soaked": 600, "descriptor_growth": 0, "sequence_gaps": 0, "soak_worker_restarts": 0},
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", list(CAMPAIGNS))
def test_a_short_campaign_finds_nothing_wrong(name: str, tiny_bundle: Path) -> None:
    if name == "decoders":
        pytest.importorskip("atheris")
    figures = run_campaign(name, CAMPAIGNS[name][3], tiny_bundle)
    assert {key: figures[key] for key in EXPECTED[name]} == EXPECTED[name], figures
    if name == "flood":
        assert figures["flood_frames_answered"] > 0
        assert figures["flood_frames_superseded"] > figures["flood_frames_answered"]
    if name == "handshakes":
        measured = figures["handshakes"]
        assert measured["failed_per_second"] > 20
        # Beyond the ratio that is promised: on a busy computer each of few frames may meet with another load.
        assert measured["attacked_p50_ms"] <= 5.0 * measured["quiet_p50_ms"] + 100.0


def test_the_report_says_what_was_not_run(tmp_path: Path) -> None:
    write_report(tmp_path, {"decoders": {"inputs_tried": 5, "inputs_crashed": 0, "minutes": 0.1}}, "x86_64")
    text = (tmp_path / "reliability.md").read_text(encoding="utf-8")
    assert "| inputs over the decoders | 5 |" in text
    assert "not run" in text
