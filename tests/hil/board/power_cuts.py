"""The power cut in the middle of commands: what was confirmed is there afterwards, and never a mixture.

The host sends one command at a time, so that at a cut there is one command at most of which it does not know whether
it was carried out. A tiny bundle serves: what is written, and in which order, is the same with every bundle.
"""

from __future__ import annotations

import hashlib
import json
import random
import statistics
import time
from pathlib import Path
from typing import Any

from tests.hil.board.campaign import READY_S, STATE_FOLDER, Campaign, Relay

KINDS = ("set_parameters", "load_bundle", "activate_bundle")
UPLINK = "/srv/rubblemap/uplink"
# Beyond the command's usual time, so that some cuts follow the confirmation at once.
MOST_OF_A_COMMAND = 1.3
# Of what serves after the campaign.
_AFTERWARDS = {"passes": 4, "gamma": 2.0}


def power_cuts(campaign: Campaign) -> dict[str, Any]:
    """Cut so often, in the middle of the three kinds of commands in turn; what was cut before counts."""
    log = campaign.work / "power_cuts.jsonl"
    cuts = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    if len(cuts) >= campaign.extent.cuts:
        return summarise(cuts)
    campaign.serve(campaign.tiny)
    names = _put_into_uplink(campaign)
    relay = campaign.relay()
    try:
        durations = _time_commands(relay, names, _observe(relay)["active"])
        before = _observe(relay)
        while len(cuts) < campaign.extent.cuts:
            chosen = random.Random(len(cuts))
            cut = _cut(campaign, relay, KINDS[len(cuts) % len(KINDS)], names, before, durations, chosen)
            relay.close()
            began = time.monotonic()
            boot_s = campaign.power_on()
            relay = campaign.relay()
            relay.wait_ready()
            ready_s = round(time.monotonic() - began, 1)
            after = _observe(relay)
            cut |= {"boot_to_ssh_s": boot_s, "power_on_to_ready_s": ready_s, **relay.ask("look_back"), **after}
            cut |= judge(cut, before, after)
            cuts.append(cut)
            before = after
            with log.open("a") as file:
                file.write(json.dumps(cut) + "\n")
            print(f"cut {len(cuts)}: {json.dumps(cut)}", flush=True)
        relay.ask("set_parameters", values=_AFTERWARDS)
    finally:
        relay.close()
    return summarise(cuts)


def _put_into_uplink(campaign: Campaign) -> dict[str, str]:
    """Two bundles besides the factory's; returns their names by the hash of their manifest."""
    folders = [campaign.make_tiny("one", ("Tiny",)), campaign.make_tiny("two", ("Tiny", "TinyTwo"))]
    campaign.send(*folders)
    campaign.shell(f"sudo cp -r one two {UPLINK}/ && sudo chmod -R a+rX {UPLINK} && sync")
    return {_manifest_hash(folder): folder.name for folder in folders}


def _manifest_hash(folder: Path) -> str:
    return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()


def _observe(relay: Relay) -> dict[str, Any]:
    """What survives a restart, as the service tells it, and as it lies on the storage."""
    status = relay.ask("get_status")
    values = status["parameters"]
    return {
        "pair": [values["passes"], round(values["gamma"], 2)],
        "active": status["bundle"]["sha256"],
        "record_copies": status["record_copies"],
        "bundles": relay.ask("read_bundles"),
    }


def _other(names: dict[str, str], active: str) -> str:
    return next(sha256 for sha256 in names if sha256 != active)


def _pair(number: int) -> dict[str, Any]:
    """Two values that belong together."""
    return {"passes": 1 + number % 100, "gamma": round(1.0 + (number % 90) / 10, 2)}


def _time_commands(relay: Relay, names: dict[str, str], active: str) -> dict[str, float]:
    """How long the commands take when nothing comes between."""
    other = _other(names, active)
    calls: list[tuple[str, dict[str, Any]]] = [
        ("set_parameters", {"values": _pair(0)}),
        ("set_parameters", {"values": _pair(1)}),
        ("load_bundle", {"path": names[other]}),
        ("validate_bundle", {}),
        ("activate_bundle", {}),
    ]
    durations = {}
    for name, arguments in calls:
        began = time.monotonic()
        relay.ask(name, **arguments)
        durations[name] = time.monotonic() - began
    return durations


def _cut(
    campaign: Campaign,
    relay: Relay,
    kind: str,
    names: dict[str, str],
    before: dict[str, Any],
    durations: dict[str, float],
    chosen: random.Random,
) -> dict[str, Any]:
    """Begin a command and cut the power; returns what was asked for and whether it was confirmed.

    Where values were confirmed just before, `before` is changed to them.
    """
    other = _other(names, before["active"])
    asked: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    if kind == "set_parameters":
        start = chosen.randrange(1000)
        for number in range(start, start + chosen.randint(1, 12)):
            relay.ask("set_parameters", values=_pair(number))
            before["pair"] = list(_pair(number).values())
        arguments = {"values": _pair(number + 1)}
        asked["pair"] = list(_pair(number + 1).values())
    elif kind == "load_bundle":
        arguments = {"path": names[other]}
    else:
        relay.ask("load_bundle", path=names[other])
        relay.ask("validate_bundle")
        asked["active"] = other
    delay_s = chosen.uniform(0.0, MOST_OF_A_COMMAND * durations[kind])
    relay.begin(kind, **arguments)
    time.sleep(delay_s)
    campaign.machine.cut_power()
    answer = relay.answer(READY_S)
    if answer is not None and "error" in answer:
        raise RuntimeError(f"{kind}: {answer['error']}")
    return {"kind": kind, "cut_after_s": round(delay_s, 3), "asked": asked, "confirmed": answer is not None}


def judge(cut: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Compare what was found after a cut with what may be there.

    Args:
        cut: `asked` by the command that was under way, and whether it was `confirmed`.
        before: `pair` and `active` as confirmed before it.
        after: the same after the power came back, and `bundles` and `record_copies` on the storage.

    Returns:
        mixture: values that were never asked for together, or a bundle that is not what its name says; lost_write:
        another value than the confirmed one; took_effect: of a command that was not confirmed.
    """
    possible = {name: [before[name], cut["asked"].get(name, before[name])] for name in ("pair", "active")}
    mixture = any(after[name] not in values for name, values in possible.items()) or bool(after["bundles"]["damaged"])
    changed = any(after[name] != before[name] for name in cut["asked"])
    return {
        "mixture": mixture,
        "lost_write": cut["confirmed"] and any(after[name] != value for name, value in cut["asked"].items()),
        "took_effect": changed and not cut["confirmed"],
    }


def summarise(cuts: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all cuts."""

    def count(name: str) -> int:
        return sum(bool(cut[name]) for cut in cuts)

    ready = [cut["power_on_to_ready_s"] for cut in cuts]
    return {
        "power_cuts": len(cuts),
        "power_cuts_by_command": {kind: sum(cut["kind"] == kind for cut in cuts) for kind in KINDS},
        "power_cuts_bundle": "tiny, of the tests",
        "mixtures": count("mixture"),
        "lost_confirmed_writes": count("lost_write"),
        "confirmed_before_the_cut": count("confirmed"),
        "carried_out_unconfirmed": count("took_effect"),
        "ready_after_every_cut": all(cut["restarts"] == 0 for cut in cuts),
        "record_copies_after": sorted({cut["record_copies"] for cut in cuts}),
        "damage_told_by_the_service": [text for cut in cuts for text in cut["damage_told"]],
        "file_systems_recovered": count("file_system_recovered"),
        "unfinished_bundles_left": sum(len(cut["bundles"]["unfinished"]) for cut in cuts),
        "power_on_to_ready_s": {"median": statistics.median(ready), "longest": max(ready)},
        "state_folder": STATE_FOLDER,
    }
