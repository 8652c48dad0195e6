"""From statistics to the figures of hazards in results.json."""

from __future__ import annotations

import numpy as np

from flight.bundle import Bundle
from ground_tools.evaluation.figures import provenance, reliability
from ground_tools.evaluation.hazards import KINDS, OBJECT_SIZES
from ground_tools.evaluation.results import HazardFigures, ObjectsFound
from ground_tools.evaluation.selection import Selection
from ground_tools.evaluation.statistics import ImageStatistics
from ground_tools.metrics.calibration import expected_calibration_error
from ground_tools.metrics.iou import precision_recall_f1

_DIGITS = 6


def hazard_figures(bundle: Bundle, selection: Selection, passes: int, statistics: ImageStatistics) -> HazardFigures:
    """What a lander would make of the default mode's maps of a set."""
    objects, (circles, unsafe) = statistics.objects.sum(axis=0), statistics.circles.sum(axis=0)
    ground, offered, covered, offered_hazards = (int(total) for total in statistics.ground.sum(axis=0))
    precision, recall, _ = precision_recall_f1(statistics.confusion[:, 0].sum(axis=0))
    hazards = {definition.name: definition.index for definition in bundle.classes if definition.role == "hazard"}
    return HazardFigures(
        **provenance(bundle, selection, passes),
        objects=_objects_by_size(objects) if objects.any() else {},
        pixels_found={name: _share_of(float(recall[index])) for name, index in hazards.items()},
        pixels_right={name: _share_of(float(precision[index])) for name, index in hazards.items()},
        circles=int(circles),
        unsafe=_share(unsafe, circles),
        lit_ground=ground,
        ground_offered=_share(offered, ground),
        ground_in_circles=_share(covered, ground),
        offered_hazards=_share(offered_hazards, offered + offered_hazards),
        reliability=reliability(statistics.hazard_calibration),
        ece=round(expected_calibration_error(statistics.hazard_calibration), _DIGITS),
    )


def _objects_by_size(objects: np.ndarray) -> dict[str, dict[str, ObjectsFound]]:
    """objects: (2, S, 3), see hazards.count_objects."""
    return {
        kind: {
            str(size): ObjectsFound(int(count), _share(found, count), _share(offered, count))
            for size, (count, found, offered) in zip(OBJECT_SIZES, of_kind, strict=True)
        }
        for kind, of_kind in zip(KINDS, objects, strict=True)
    }


def _share(part: float, whole: float) -> float | None:
    return _share_of(float(part) / float(whole)) if whole else None


def _share_of(value: float) -> float | None:
    return round(value, _DIGITS) if np.isfinite(value) else None
