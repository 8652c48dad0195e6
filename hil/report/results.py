"""A run's results as files for programs: result.json and junit.xml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from flight.files import write_whole
from hil.runs.judge import pool_confusion
from hil.runs.measures import mean_iou
from hil.runs.record import FrameRecord, RunRecord
from hil.runs.runner import Run

FORMAT = 1
PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"


def frame_miou(frame: FrameRecord, record: RunRecord) -> float | None:
    """mIoU of one frame: of classes where truth and bundle name them alike, else of roles; None without truth."""
    of = "classes" if record.truth_classes == record.classes else "roles"
    confusion = pool_confusion([frame], record, of)
    return None if confusion is None or not confusion.sum() else mean_iou(confusion)


def make_result(run: Run) -> dict[str, Any]:
    """Everything about a run, for result.json."""
    record = run.record
    frames = [
        {
            "index": frame.index,
            "time_s": round(frame.time_s, 4),
            "latency_s": None if frame.latency_s is None else round(frame.latency_s, 4),
            "sent": frame.sent_s is not None,
            "dropped": frame.dropped,
            "status": frame.status,
            "flags": list(frame.flags),
            "passes_used": frame.passes_used,
            "entropy_nat": None if frame.entropy is None else round(frame.entropy, 4),
            "miou": None if (miou := frame_miou(frame, record)) is None else round(miou, 4),
            "centroid_error_px": None if frame.centroid_error_px is None else round(frame.centroid_error_px, 3),
        }
        for frame in record.frames
    ]
    whole = record.as_json()
    kept = ("faults", "commands", "events", "states", "counters", "environment", "service_starts", "comparisons")
    return {
        "format": FORMAT,
        "scenario": record.scenario,
        "title": record.title,
        "short": record.short,
        "verdict": PASSED if run.passed else FAILED,
        "criteria": [
            {
                "criterion": outcome.criterion,
                "passed": outcome.passed,
                "expected": outcome.expected,
                "got": outcome.got,
                "evidence": outcome.evidence,
            }
            for outcome in run.outcomes
        ],
        "streamed_s": round(record.streamed_s, 3),
        "runner_cpu_s": round(record.runner_cpu_s, 3),
        **{name: whole[name] for name in kept},
        "housekeeping": whole["housekeeping"][-2000:],
        "frames": frames,
    }


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write result.json whole or not at all."""
    write_whole(path, (json.dumps(result, indent=1, allow_nan=False, default=str) + "\n").encode("utf-8"))


def read_result(path: Path) -> dict[str, Any]:
    """Read a result.json, or that in a folder.

    Raises:
        ValueError: it is none; the message names it.
    """
    file = path / "result.json" if path.is_dir() else path
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{file}: expected a result of `hil run`, got none ({error})") from error
    if not isinstance(result, dict) or result.get("format") != FORMAT or "criteria" not in result:
        raise ValueError(f"{file}: expected a result of `hil run` of format {FORMAT}")
    return result


def junit_xml(result: dict[str, Any]) -> bytes:
    """A result as JUnit XML: a test case for each criterion."""
    criteria = result["criteria"]
    failures = sum(not entry["passed"] for entry in criteria)
    suite = ElementTree.Element(
        "testsuite",
        name=f"hil.{result['scenario']}",
        tests=str(len(criteria)),
        failures=str(failures),
        errors="0",
        time=f"{result['streamed_s']:.3f}",
    )
    for entry in criteria:
        case = ElementTree.SubElement(suite, "testcase", classname=f"hil.{result['scenario']}", name=entry["criterion"])
        if not entry["passed"]:
            failure = ElementTree.SubElement(
                case, "failure", message=f"expected {entry['expected']}, got {entry['got']}"
            )
            failure.text = json.dumps(entry["evidence"], indent=1, default=str)
    ElementTree.indent(suite)
    return bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True))
