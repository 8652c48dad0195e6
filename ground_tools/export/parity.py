"""The engines of a bundle beside float32 whole passes of its networks, on images with truth masks.

All estimate one posterior. What two answers of the reference differ by is noise of the estimate; what an engine
differs by beyond that is its own error: of int8, of what it approximates, of fewer passes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from flight.bundle import Bundle, NetworkFile
from flight.inference.engine import Engine, Maps
from flight.settings import Settings, default_settings
from ground_tools.export.figures import EngineFigures, SetParity
from ground_tools.export.recalibration import float_twin
from ground_tools.export.tflite_graph import SourceGraph
from ground_tools.foundation.json_records import read_json, to_plain
from ground_tools.foundation.machine import describe_machine
from ground_tools.foundation.progress import progress
from ground_tools.labels.class_table import IGNORED
from ground_tools.metrics.calibration import (
    calibration_counts,
    expected_calibration_error,
    labelled,
    negative_log_likelihood,
)
from ground_tools.metrics.error_detection import area_under_roc, score_histogram
from ground_tools.metrics.iou import iou_per_class, mean_iou
from ground_tools.pages.blocks import Table
from ground_tools.pages.markdown import markdown_table
from ground_tools.pages.sections import write_section

MOST_MIOU = 0.003
MOST_ENTROPY = 0.02
MOST_ECE = 0.003
MOST_RELATIVE = 0.01
REFERENCE_PASSES = 100

REFERENCE, SECOND, PASSES, CLOSED_FORM = "reference", "reference again", "passes", "closed_form"


def float_bundle(bundle: Bundle, contents: Mapping[str, bytes] | None = None) -> Bundle:
    """A bundle whose networks compute in float32, by whole passes.

    Args:
        bundle: with int8 networks.
        contents: by network, the float32 .tflite file that the int8 one was made from, with the same names of inputs
            and output; None for the values that the int8 files stand for.
    """
    networks = tuple(_float_network(network, contents) for network in bundle.networks)
    return replace(bundle, networks=networks)


def _float_network(network: NetworkFile, contents: Mapping[str, bytes] | None) -> NetworkFile:
    changed = replace(network, quantization="float32", closed_form=None)
    if contents is not None:
        return replace(changed, content=contents[network.name])
    if network.quantization == "float32":
        return changed
    scores = SourceGraph(network.content).find(network.scores_output)
    return replace(changed, content=float_twin(network.content, [scores]), scores_output=f"t{scores}")


def flying_engines(bundle: Bundle, passes: int) -> dict[str, tuple[Bundle, Settings]]:
    """The engines that fly, by name: whole passes, and the closed form where the bundle has it.

    Args:
        bundle: with int8 networks.
        passes: of each.
    """
    settings = replace(default_settings(bundle), passes=passes)
    engines = {PASSES: (bundle, replace(settings, engine="passes"))}
    if bundle.in_closed_form:
        engines[CLOSED_FORM] = (bundle, replace(settings, engine="auto"))
    return engines


def measure_parity(
    reference: Bundle,
    engines: Mapping[str, tuple[Bundle, Settings]],
    frames: np.ndarray,
    truth: np.ndarray,
    reference_passes: int = REFERENCE_PASSES,
    threads: int = 2,
    label: str = "parity",
) -> SetParity:
    """Run the reference twice and every engine once on every image, turn and turn about.

    Args:
        reference: in float32.
        engines: by name, what to compare with it.
        frames: (N, H, W) or (N, H, W, 3) uint8, of the networks' input size.
        truth: (N, H, W), classes, or no label.
        reference_passes: of the reference, each time.
        threads: of every engine.
        label: of the progress bar.
    """
    exact = replace(default_settings(reference), engine="passes", passes=reference_passes)
    everyone = {REFERENCE: (reference, exact), SECOND: (reference, exact), **engines}
    answers: dict[str, list[Maps]] = {name: [] for name in everyone}
    seconds: dict[str, list[float]] = {name: [] for name in everyone}
    with ExitStack() as stack:
        loaded: dict[int, Engine] = {}
        for bundle, _ in everyone.values():
            if id(bundle) not in loaded:
                loaded[id(bundle)] = stack.enter_context(closing(Engine(bundle, threads)))
        for number, frame in enumerate(progress(frames, unit="image", label=label)):
            for place, (name, (bundle, settings)) in enumerate(everyone.items()):
                # Other masks for each, and the same at every call of the command.
                seed = len(everyone) * number + place
                began = time.perf_counter()
                maps = loaded[id(bundle)].segment(frame, bit_depth=8, centered=True, seed=seed, settings=settings)
                seconds[name].append(time.perf_counter() - began)
                answers[name].append(maps)
    figures = {
        name: _figures(answers[name], truth, answers[REFERENCE], everyone[name][1].passes, seconds[name])
        for name in everyone
    }
    return SetParity(len(frames), figures.pop(REFERENCE), figures.pop(SECOND), figures)


def _figures(
    answers: list[Maps], truth: np.ndarray, reference: list[Maps], passes: int, seconds: list[float]
) -> EngineFigures:
    probability = np.stack([maps.mean_probability for maps in answers])
    entropy = np.stack([maps.predictive_entropy for maps in answers])
    exact = np.stack([maps.mean_probability for maps in reference])
    expected = np.stack([maps.predictive_entropy for maps in reference])
    classes = probability.argmax(axis=1)
    of_pixels, known = labelled(np.moveaxis(probability, 1, 0), truth)
    right = of_pixels.argmax(axis=0) == known
    iou = iou_per_class(truth, classes.astype(np.uint8), probability.shape[1])
    counts = calibration_counts(of_pixels.max(axis=0), right)
    return EngineFigures(
        passes=passes,
        miou=round(mean_iou(iou), 5),
        nll=round(float(negative_log_likelihood(of_pixels, known)), 5),
        ece=round(float(expected_calibration_error(counts)), 5),
        auroc=round(area_under_roc(score_histogram(entropy[truth != IGNORED].reshape(right.shape), right)), 5),
        probability_difference=round(float(np.abs(probability - exact).mean()), 5),
        entropy_difference=round(float(np.abs(entropy - expected).mean()), 5),
        entropy_bias=round(float((entropy - expected).mean()), 5),
        class_differs=round(float((classes != exact.argmax(axis=1)).mean()), 5),
        frame_ms=round(1e3 * statistics.median(seconds), 2),
    )


def find_misses(parity: SetParity, engine: str) -> list[str]:
    """What an engine misses of what an export asks of it; empty if nothing.

    mIoU may be 0.3 points lower than the reference's, and the predictive entropy 0.02 nat off. NLL, ECE and AUROC may
    be 1 % worse than those of the reference or of int8 whole passes, whichever are worse: int8 has its price in any
    engine, and no engine may add to it. ECE, which is itself near 1 %, may also be 0.3 points worse. What the
    reference's two answers differ by is allowed on top of each bound.

    Args:
        parity: of a set.
        engine: name of the engine.
    """
    found = []
    tried, exact, second = parity.engines[engine], parity.reference, parity.second
    whole = parity.engines.get(PASSES, exact)
    # By figure: its bound relative to what may be worst, or else absolute; 1 where more is better, or else -1.
    for name, relative, absolute, better in (
        ("miou", 0.0, MOST_MIOU, 1),
        ("nll", MOST_RELATIVE, 0.0, -1),
        ("ece", MOST_RELATIVE, MOST_ECE, -1),
        ("auroc", MOST_RELATIVE, 0.0, 1),
    ):
        value, wanted = getattr(tried, name), getattr(exact, name)
        if relative:
            wanted = better * min(better * wanted, better * getattr(whole, name))
        least = wanted - better * (absolute + relative * wanted + abs(getattr(second, name) - getattr(exact, name)))
        if better * value < better * least:
            found.append(f"{name}: expected {'at least' if better > 0 else 'at most'} {least:.4f}, got {value:.4f}")
    beyond = tried.entropy_difference - second.entropy_difference
    if beyond > MOST_ENTROPY:
        found.append(f"entropy: expected at most {MOST_ENTROPY} nat beyond the reference's noise, got {beyond:.4f}")
    return found


def find_all_misses(results: Mapping[str, SetParity]) -> list[str]:
    """What the engine that flies by default misses on any set, each behind the set's name. results: by set."""
    return [
        f"{name}: {miss}"
        for name, parity in results.items()
        for miss in find_misses(parity, CLOSED_FORM if CLOSED_FORM in parity.engines else PASSES)
    ]


def parity_table(results: Mapping[str, SetParity]) -> Table:
    """The figures, a row per set and engine. results: by set."""
    head = ["set", "engine", "passes", "mIoU", "NLL", "ECE", "AUROC", "|dp|", "|dH|", "dH", "class differs"]
    rows = []
    for name, parity in results.items():
        engines = {REFERENCE: parity.reference, SECOND: parity.second, **parity.engines}
        for engine, figures in engines.items():
            measured = (figures.miou, figures.nll, figures.ece, figures.auroc, figures.probability_difference)
            differences = (figures.entropy_difference, figures.entropy_bias, figures.class_differs)
            cells = [f"{value:.4f}" for value in (*measured, *differences)]
            time_ms = f"{figures.frame_ms:.0f}"
            rows.append([f"{name} ({parity.images})", engine, str(figures.passes), *cells, time_ms])
    return Table([*head, "ms per frame"], rows)


def write_parity(docs: Path, section: str, bundle: Bundle, results: Mapping[str, SetParity], misses: list[str]) -> None:
    """Write the figures into the section of posterior.md and of performance.json that is called so.

    Args:
        docs: folder of both.
        section: "parity" or "cheaper".
        bundle: that was measured.
        results: by set.
        misses: see find_all_misses.

    Raises:
        ValueError: the page lacks the section's marks.
    """
    lines = [
        f"{bundle.name} {bundle.version}, on {describe_machine().sentence()}.",
        "",
        markdown_table(parity_table(results)),
    ]
    if misses:
        lines += ["", f"Missed: {'; '.join(misses)}."]
    record_file = docs / "performance.json"
    record = read_json(record_file) | {section: to_plain(dict(results))}
    write_section(docs / "posterior.md", section, "\n".join(lines), record, record_file)
