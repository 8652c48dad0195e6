"""Three scenarios of the shipped flyby on the board, each with a verdict: nominal, worker crash, power cut."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import subprocess
import time
from typing import Any

from tests.hil.board.campaign import HERE, PYTHON, READY_S, ROOT, UNIT, Campaign

FRAMES = 4
# The frame at which something happens.
DISTURBED = 1
PASSES = 4
EPOCH = 1
# Of the pixels, on the mean of all frames; of a shipped bundle's maps, others do not know the flyby's classes.
LEAST_AS_TRUTH = 0.9


def flyby(campaign: Campaign) -> dict[str, Any]:
    """Run the scenarios. The same frames with the same seed must give the same maps, whatever happens in between."""
    bundle = campaign.extent.flight_bundle or campaign.tiny
    campaign.serve(bundle)
    _send_frames(campaign)
    with campaign.relay() as relay:
        relay.ask("set_parameters", values={"passes": PASSES})
    nominal = _nominal(campaign)
    if bundle.parent == ROOT / "models":
        nominal["passed"] = nominal["passed"] and (nominal["as_truth"] or 0.0) >= LEAST_AS_TRUTH
    scenarios = {"nominal": nominal}
    scenarios["worker_crash"] = _worker_crash(campaign, nominal["maps"])
    scenarios["power_cut"] = _power_cut(campaign, nominal["maps"])
    return {
        "scenarios_passed": sum(scenario["passed"] for scenario in scenarios.values()),
        "scenarios": {
            name: {key: value for key, value in scenario.items() if key != "maps"}
            for name, scenario in scenarios.items()
        },
        "scenario_frames": FRAMES,
        "scenario_bundle": bundle.name,
    }


def _send_frames(campaign: Campaign) -> None:
    folder = campaign.work / "flyby"
    shutil.rmtree(folder, ignore_errors=True)
    every = sorted((ROOT / "hil/flyby/frames").glob("*.png"))
    for path in every[:: len(every) // FRAMES][:FRAMES]:
        for kind in ("frames", "masks"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(path.parents[1] / kind / path.name, folder / kind)
    campaign.send(folder, HERE / "on_board_flyby.py")


def _restart(campaign: Campaign) -> None:
    """A service that has not seen the frames yet: it takes their numbers again."""
    campaign.shell(f"sudo systemctl restart {UNIT}", timeout_s=READY_S)
    campaign.wait_active()


def _command(campaign: Campaign, first: int, count: int, kill_at: int = -1) -> list[str]:
    words = [*map(str, ("flyby", EPOCH, first, count, kill_at))]
    remote = f"sudo {PYTHON} -u on_board_flyby.py {shlex.join(words)}"
    return [*campaign.ssh, remote]


def _fly(campaign: Campaign, first: int, count: int, kill_at: int = -1) -> list[dict[str, Any]]:
    """Send frames, and take what came back of each."""
    done = subprocess.run(
        _command(campaign, first, count, kill_at), capture_output=True, text=True, check=False, timeout=3600.0
    )
    if done.returncode:
        raise RuntimeError(f"on_board_flyby.py: {(done.stderr.strip().splitlines() or ['nothing said'])[-1]}")
    return _read_answers(done.stdout)


def _read_answers(text: str) -> list[dict[str, Any]]:
    answers = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):  # the last line before a cut
            answers.append(json.loads(line))
    return [answer for answer in answers if "frame" in answer]


def _status(campaign: Campaign) -> dict[str, Any]:
    with campaign.relay() as relay:
        return relay.wait_ready()


def judge(answers: list[dict[str, Any]], expected: list[str] | None) -> dict[str, Any]:
    """The verdict on a scenario.

    Args:
        answers: of all frames.
        expected: hashes of the maps of an undisturbed flight; None if this is it.

    Returns:
        passed, and what it is made of.
    """
    mapped = [answer for answer in answers if answer["status"] in ("valid", "degraded")]
    maps = [answer.get("sha256", "") for answer in answers]
    truths = [answer["as_truth"] for answer in mapped if "as_truth" in answer]
    same = len(maps) if expected is None else sum(a == b for a, b in zip(maps, expected, strict=False))
    return {
        "passed": len(mapped) == FRAMES and same == FRAMES,
        "frames_answered": len(mapped),
        "maps_as_undisturbed": same,
        "as_truth": round(sum(truths) / len(truths), 4) if truths else None,
        "longest_answer_s": max((answer["seconds"] for answer in mapped), default=None),
        "maps": maps,
    }


def _nominal(campaign: Campaign) -> dict[str, Any]:
    _restart(campaign)
    return judge(_fly(campaign, 0, FRAMES), None)


def _worker_crash(campaign: Campaign, expected: list[str]) -> dict[str, Any]:
    """The worker is killed with a frame at hand: the next worker answers it."""
    _restart(campaign)
    verdict = judge(_fly(campaign, 0, FRAMES, kill_at=DISTURBED), expected)
    restarts = _status(campaign)["counters"]["worker_restarts"]
    verdict["passed"] = verdict["passed"] and restarts == 1
    return verdict | {"worker_restarts": restarts}


def _power_cut(campaign: Campaign, expected: list[str]) -> dict[str, Any]:
    """The power is cut with a frame at hand; after the boot that frame is sent again, and the others follow."""
    _restart(campaign)
    with subprocess.Popen(_command(campaign, 0, FRAMES), stdout=subprocess.PIPE, text=True) as flight:
        assert flight.stdout is not None
        said = ""
        while json.dumps({"sent": DISTURBED}) not in said:
            line = flight.stdout.readline()
            if not line:
                raise RuntimeError("on_board_flyby.py ended before the cut")
            said += line
        campaign.machine.cut_power()
        said += flight.stdout.read()
    before = _read_answers(said)
    began = time.monotonic()
    campaign.power_on()
    campaign.wait_active()
    ready_s = round(time.monotonic() - began, 1)
    status = _status(campaign)
    after = _fly(campaign, len(before), FRAMES - len(before))
    verdict = judge(before + after, expected)
    kept = status["parameters"]["passes"] == PASSES
    # What was answered a moment before the cut may have been told, or not.
    verdict["passed"] = verdict["passed"] and kept and DISTURBED <= len(before) < FRAMES
    return verdict | {"frames_before_the_cut": len(before), "parameters_kept": kept, "power_on_to_ready_s": ready_s}
