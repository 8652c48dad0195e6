"""What follows from the figures of all sets: the uncertainty on the reference set, and which targets are met."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ground_tools.evaluation.paper import BETTER_MODES, REFERENCE_MODES, TARGETS
from ground_tools.evaluation.results import ModeFigures, Results, Target, UncertaintySummary
from ground_tools.foundation.json_records import from_plain, to_plain

_REFERENCE_SET = "d1"


def reference_mode(name: str, modes: Iterable[str]) -> str:
    """The key of the mode by which a set is compared with the paper and the targets, or of the first that there is."""
    keys = list(modes)
    wanted = REFERENCE_MODES.get(name)
    return wanted if wanted in keys else keys[0]


def conclude(results: Results) -> Results:
    """Results with what follows from their sets: the uncertainty on D-1 (else on the first set), and the targets."""
    summary = None
    if results.sets:
        name = _REFERENCE_SET if _REFERENCE_SET in results.sets else next(iter(results.sets))
        mode = reference_mode(name, results.sets[name])
        figures = results.sets[name][mode]
        plain = {"dataset": name, "mode": mode, "nll": figures.nll, "brier": figures.brier}
        summary = from_plain(UncertaintySummary, {**plain, **to_plain(figures.uncertainty)}, "uncertainty")
    return replace(results, uncertainty=summary, targets=targets(results.sets))


def targets(sets: dict[str, dict[str, ModeFigures]]) -> list[Target]:
    """What the project set itself, and whether it is met; None where it was not measured."""
    rows = []
    for what, name, sense, bound in TARGETS:
        mode, figures = _reference(sets, name)
        value = None if figures is None else _figure(figures, what)
        met = None if value is None else (value >= bound if sense == "at least" else value <= bound)
        row = Target(what=what, dataset=name, mode=mode, value=value, met=met)
        rows.append(replace(row, at_least=bound) if sense == "at least" else replace(row, at_most=bound))
    mode, figures = _reference(sets, _REFERENCE_SET)
    pairs = {
        "miou higher": None if figures is None else (figures.miou, figures.deterministic.miou),
        "nll lower": None if figures is None else (figures.nll, figures.deterministic.nll),
    }
    for what, pair in pairs.items():
        rows.append(_comparison(f"{what} than without dropout", _REFERENCE_SET, mode, *(pair or (None, None))))
    for name, mode, other in BETTER_MODES:
        modes = sets.get(name, {})
        value, than = (modes[key].miou if key in modes else None for key in (mode, other))
        rows.append(_comparison(f"miou higher than {other}", name, mode, value, than))
    return rows


def _reference(sets: dict[str, dict[str, ModeFigures]], name: str) -> tuple[str | None, ModeFigures | None]:
    modes = sets.get(name)
    if not modes:
        return None, None
    mode = reference_mode(name, modes)
    return mode, modes[mode]


def _figure(figures: ModeFigures, what: str) -> float | None:
    """A figure by the name that it has in TARGETS."""
    if what.startswith("class/"):
        return figures.iou.get(what.removeprefix("class/"))
    values = {"miou": figures.miou, "ece": figures.uncertainty.ece, "auroc": figures.uncertainty.auroc}
    return values[what]


def _comparison(what: str, name: str, mode: str | None, value: float | None, than: float | None) -> Target:
    """A target that is another figure, to be exceeded or, where `what` says so, to be higher than the value."""
    lower = " lower " in what
    met = None if value is None or than is None else (value < than if lower else value > than)
    return Target(what=what, dataset=name, mode=mode, value=value, than=than, met=met)
