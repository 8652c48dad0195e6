"""Writing docs/reliability.json and docs/reliability.md from the campaigns' figures."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from ground_tools.pages.blocks import Block, Heading, Table, Text
from ground_tools.pages.markdown import markdown

_INTRODUCTION = """\
Written by `make reliability` (`python -m tests.reliability --write docs`); `make test` runs every campaign in short.
The figures are in [reliability.json](reliability.json) for machines. Measured on 2 cores of a shared {machine}
computer, with real service and worker processes; "aim" is what was asked for before the measurement."""
# campaign: (heading, what is done, rows of (label, key, aim))
_SECTIONS: dict[str, tuple[str, str, tuple[tuple[str, str, str], ...]]] = {
    "decoders": (
        "Inputs over the decoders",
        "Coverage-guided fuzzing (atheris) of frames, products, commands, replies, events, housekeeping, bundle "
        "manifests, SHA256SUMS and record copies; anything but the decoder's own error counts as a crash.",
        (
            ("inputs over the decoders", "inputs_tried", ">= 1,000,000"),
            ("of these, crashes, hangs and memory errors", "inputs_crashed", "0"),
            ("growth of resident memory", "decoder_rss_growth", "flat"),
        ),
    ),
    "live_sockets": (
        "Inputs over the live sockets",
        "Mutated frames (judged by an oracle of its own: the jsonschema package, sizes, zlib), garbage commands, "
        "subscriptions and raw TCP connections against a running service.",
        (
            ("inputs over live sockets", "live_inputs_tried", ">= 100,000"),
            ("service or worker lost", "live_inputs_crashed", "0"),
            ("products from bad frames", "products_from_bad_frames", "0"),
            ("frames among them that were valid after all, and answered", "valid_frames_among_them", ""),
            ("growth of the service's resident memory while frames were tried", "live_rss_growth", "flat"),
        ),
    ),
    "nonsense": (
        "Frames without a body",
        "Twenty kinds of frames without a body, or with one that is spoiled beyond use, drawn anew: none of them was "
        "seen when the bundle's input monitor was fitted. A frame is missed when a navigation fix or a landing circle "
        "may be made of its products. The frames of bodies are those of the flyby; results.md has all sets, and the "
        "kinds.",
        (
            ("frames without a body", "nonsense_frames", ">= 3,000"),
            ("of these, missed", "nonsense_missed", "<= 0.5 %"),
            ("landing circles on them", "circles_on_nonsense", "0"),
            ("frames of bodies", "real_frames", ""),
            ("of these, refused", "real_refused", "<= 0.5 %"),
        ),
    ),
    "kills": (
        "Worker kills",
        "SIGKILL, SIGSEGV and SIGSTOP in turn under frames at 5 Hz and commands at 5 Hz. Every product is compared "
        "with the offline answer for its frame and seed.",
        (
            ("kills", "kills", "200"),
            ("answered again within 3 s", "kills_recovered", "all"),
            ("seconds to the next valid product of a frame sent after the kill", "kill_recovery_s", "< 3"),
            ("products compared", "products_compared", ""),
            ("wrong maps", "wrong_maps", "0"),
            ("commands sent", "commands_sent", ""),
            ("commands lost", "commands_lost", "0"),
        ),
    ),
    "pause": (
        "Standstills",
        "Service and worker stopped together for 1.5 to 3 s, longer than any limit on a worker's silence, and "
        "continued one 50 ms after the other, in either order: as of a paused virtual machine. Half of them under "
        "frames, whose products are compared with the offline answer.",
        (
            ("standstills", "pauses", "40"),
            ("workers lost", "pause_workers_lost", "0"),
            ("products compared", "pause_products", ""),
            ("wrong or missing maps", "pause_wrong_maps", "0"),
        ),
    ),
    "swap": (
        "Other bundles in the place of the serving one",
        "In turn the link behind the factory bundle, the folder behind it, and the service's own copy are "
        "replaced by another whole bundle, of the same modes or of another, and the worker is killed. The product of "
        "the next frame is compared with the offline answer of the bundle that it names.",
        (
            ("swaps", "swaps", "60"),
            ("answered with a map", "swaps_answered", "all"),
            ("another bundle's name or map", "swap_wrong_maps", "0"),
        ),
    ),
    "flips": (
        "Bit flips on the storage",
        "One random bit in a file of a bundle, or in one of the two copies of the record. Some also in the files of "
        "a bundle that is being served, with the worker killed at once so that it must load them again.",
        (
            ("flips", "flips", "1,000"),
            ("detected", "flips_detected", "all"),
            ("served", "flips_served", "0"),
            ("flips under a running service", "live_flips", ""),
            ("of these, told by an event", "live_flips_detected", "all"),
        ),
    ),
    "upsets": (
        "Single-event upsets",
        "One random bit at a time in any resident writable page of the live worker, which holds the shipped bundle "
        "(2 passes); then a frame, the self-test on command, and another frame, both compared with the offline "
        "answer. After every frame the worker compares the pages that do not change with their checksums, before it "
        "hands the answer over; not among them are activations, which the next pass overwrites, and Python's objects. "
        "A map that was wrong before the next self-test has been published: the interval between self-tests bounds "
        "for how long that can go on. Upsets without effect stay, up to 20 in one worker. Not tried: upsets in the "
        "middle of a pass, in the code of libraries, and in the service's own memory.",
        (
            ("upsets", "upsets", ">= 500"),
            ("outcomes", "upset_outcomes", ""),
            ("wrong map published before the next self-test", "upsets_wrong_before_self_test", "< 1 %"),
            ("these upsets were in", "upsets_wrong_before_in", ""),
            ("wrong map published after it", "upsets_wrong_after_self_test", "0"),
            ("these upsets were in", "upsets_escaped_in", ""),
        ),
    ),
    "soak": (
        "Soak",
        "Frames one after another through a small network, with a subscriber coming and going every 100 frames. "
        "Medians over the last tenth against the second tenth.",
        (
            ("frames", "frames_soaked", "50,000"),
            ("growth of resident memory, service and worker", "rss_growth", "< 0.01"),
            ("growth of open descriptors", "descriptor_growth", "0"),
            ("gaps in the sequence numbers", "sequence_gaps", "0"),
            ("worker restarts", "soak_worker_restarts", "0"),
        ),
    ),
    "flood": (
        "Flood",
        "A camera that sends a hundred times what can be answered (shipped bundle, 2 passes). Latency from a frame's "
        "arrival to its product, of the frames that were answered.",
        (
            ("seconds", "flood_seconds", "60"),
            ("rate over the sustainable one", "flood_rate_ratio", "100"),
            ("frames answered", "flood_frames_answered", ""),
            ("frames superseded by newer ones", "flood_frames_superseded", ""),
            ("latency, ms", "flood_latency_ms", ""),
            ("p99 under the flood over p99 without", "flood_p99_ratio", "<= 1.5"),
        ),
    ),
    "handshakes": (
        "Failing handshakes",
        "Strangers without a key who fail 1,000 handshakes a second on the products socket (a small network, CURVE). "
        "Latency of frames one at a time, from sending to the product.",
        (
            ("failed handshakes per second, and latency, ms", "handshakes", ""),
            ("median latency under attack over that without", "handshakes_latency_ratio", "<= 3"),
        ),
    ),
    "power_cuts": (
        "Power cuts",
        "SIGKILL of service and worker at a random moment while parameters are set in pairs and bundles are loaded, "
        "validated and activated; then a new start. A mixture is a pair, or a bundle, that is neither the last "
        "confirmed one nor the one that was being set. What a storage does to data that it claims to have written "
        "cannot be tried this way.",
        (
            ("power cuts", "power_cuts", "200"),
            ("mixtures", "mixtures", "0"),
            ("writes of parameters confirmed meanwhile", "power_cut_writes", ""),
            ("bundles activated meanwhile", "power_cut_activations", ""),
        ),
    ),
}


def write_report(folder: Path, figures: dict[str, dict[str, Any]], machine: str) -> None:
    """figures: campaign -> its figures, for those that were run."""
    flat: dict[str, Any] = {}
    for values in figures.values():
        flat.update({key: value for key, value in values.items() if key != "minutes"})
    flat["minutes"] = {name: values["minutes"] for name, values in figures.items()}
    (folder / "reliability.json").write_text(json.dumps(flat, indent=2) + "\n", encoding="utf-8")
    (folder / "reliability.md").write_text(_text(figures, machine), encoding="utf-8")


def _text(figures: dict[str, dict[str, Any]], machine: str) -> str:
    content: list[Block] = [Heading("Reliability", 1), Text(_INTRODUCTION.format(machine=machine))]
    for name, (heading, what, rows) in _SECTIONS.items():
        content += [Heading(heading, 2), Text(textwrap.fill(what, 118))]
        values = figures.get(name)
        if values is None:
            content.append(Text("This campaign was not run."))
            continue
        measured = [[label, _shown(values[key]), aim] for label, key, aim in rows if key in values]
        content.append(Table([f"{values['minutes']:g} minutes", "figure", "aim"], measured))
    return markdown(content)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(value) or "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
