"""How well the navigation consumer does on rendered sets: `ground-tools evaluate-navigation`.

Measures flight.client.navigation_fix on truth masks and, with --bundle, on the maps that a bundle's int8 files make of
the noisy images, cut out by the engine's own centering, beside the centroid of the thresholded image; writes
docs/gnc.json and the figures of docs/gnc.md.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flight.bundle import Bundle
from flight.client import Refusal, navigation_fix
from flight.icd.catalogue import status_of
from flight.icd.limits import TOPIC_NAVIGATION
from flight.icd.products import Product
from flight.inference.engine import Engine
from flight.inference.planes import topic_planes
from flight.settings import default_settings
from ground_tools.datasets.store import LoadedSet, digest, load, read_description
from ground_tools.evaluation.passes import camera_frames
from ground_tools.foundation.progress import progress
from ground_tools.foundation.sampling import evenly
from ground_tools.labels.classes import CLASS_NAMES, CLASS_ROLES
from ground_tools.pages.markdown import markdown_table
from ground_tools.pages.sections import check_section, write_section
from ground_tools.rendering.geometry import View, camera_axes

RANGES_D0 = (0.4, 0.7, 1.0, 1.3, 2.0, 5.0)
PHASES_DEG = (0.0, 30.0, 60.0, 75.0, 90.0, 180.0)
# Of a chi-squared variable with two degrees of freedom: 90 % lie below.
CHI_SQUARED_90 = 4.605
MARK = "navigation figures"

_TRUTH_CLASSES = [{"index": index, "name": name, "role": CLASS_ROLES[name]} for index, name in enumerate(CLASS_NAMES)]
Row = dict[str, Any]


def product_of(
    planes: dict[str, np.ndarray], classes: list[dict[str, Any]], flags: list[str], map_to_sensor: Sequence[float]
) -> Product:
    """A navigation product with what its consumer reads."""
    header = {
        "topic": TOPIC_NAVIGATION,
        "status": status_of(flags),
        "flags": flags,
        "map_to_sensor": list(map_to_sensor),
        "classes": classes,
    }
    return Product(header, planes)


def truth_product(mask: np.ndarray) -> Product:
    """The product of a network that knows the truth and does not doubt it, the map being the frame itself."""
    certain = np.zeros(mask.shape, np.float16)
    planes = {"class_map": mask, "enhanced_class_map": mask, "predictive_entropy": certain}
    return product_of(planes, _TRUTH_CLASSES, [], (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))


def network_products(bundle: Bundle, images: np.ndarray, passes: int) -> Iterator[Product]:
    """What the flight engine makes of noisy images, as from a camera that does not say where the body is.

    images: (N, H, W) uint8. The seed of image i is i.
    """
    engine = Engine(bundle, threads=1)
    settings = dataclasses.replace(default_settings(bundle), passes=passes)
    classes = [{"index": c.index, "name": c.name, "role": c.role} for c in bundle.classes]
    for seed, image in enumerate(progress(images, unit="image", label=bundle.name)):
        maps = engine.segment(image, bit_depth=8, centered=False, seed=seed, settings=settings)
        planes = {name: plane for name, plane, _ in topic_planes(maps, bundle.classes, TOPIC_NAVIGATION)}
        yield product_of(planes, classes, list(maps.flags), maps.map_to_sensor)
    engine.close()


def brightness_centroid(image: np.ndarray) -> np.ndarray:
    """(x, y) of the pixels above Otsu's threshold: what a navigator has without a map. image: (H, W) uint8."""
    _, bright = cv2.threshold(image, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    rows, columns = np.nonzero(bright)
    return np.array([columns.mean(), rows.mean()]) if len(rows) else np.full(2, np.nan)


def true_row(samples: LoadedSet, index: int) -> Row:
    """What is known of a sample: where its outline's centroid and its centre of mass are, and the sun."""
    outline = samples.identifiers[index] > 0
    rows, columns = np.nonzero(outline)
    height, width = outline.shape
    view = View(samples.cameras_km[index], samples.suns[index])
    sun = (camera_axes(view) @ view.sun)[:2]
    return {
        "range_d0": float(samples.ranges_d0[index]),
        "phase_deg": float(samples.phase_angles_deg[index]),
        "cut": bool(outline[0].any() or outline[-1].any() or outline[:, 0].any() or outline[:, -1].any()),
        "outline": np.array([columns.mean(), rows.mean()]),
        # The camera looks at the centre of mass.
        "mass": np.array([0.5 * (width - 1), 0.5 * (height - 1)]),
        "diameter": 2.0 * float(np.sqrt(outline.sum() / np.pi)),
        "sun": sun / np.linalg.norm(sun),
    }


def fix_row(true: Row, product: Product) -> Row:
    """A product's fix beside the truth: errors in pixels and degrees, and squares of errors over the covariance."""
    fix = navigation_fix(product)
    if isinstance(fix, Refusal):
        return {**true, "refused": fix.reason}
    centre = np.array([fix.x, fix.y])
    covariance = np.array([[fix.covariance_xx, fix.covariance_xy], [fix.covariance_xy, fix.covariance_yy]])
    row = {**true, "refused": None, "sigma_px": float(np.sqrt(np.trace(covariance)))}
    for target in ("outline", "mass"):
        error = centre - true[target]
        row[f"{target}_error_px"] = float(np.linalg.norm(error))
        row[f"{target}_squared"] = float(error @ np.linalg.solve(covariance, error))
    row["diameter_ratio"] = fix.diameter / true["diameter"]
    a, b, _, d, e, _ = product.header["map_to_sensor"]
    row["pixel_diameter_ratio"] = 2.0 * float(np.sqrt(fix.body_pixels * abs(a * e - b * d) / np.pi)) / true["diameter"]
    row["sun_source"] = None if fix.sun is None else fix.sun.source
    if fix.sun is not None:
        cosine = float(np.clip(true["sun"] @ np.array([fix.sun.x, fix.sun.y]), -1.0, 1.0))
        row["sun_error_deg"] = float(np.degrees(np.arccos(cosine)))
        row["sun_sign_known"], row["sun_strength"] = fix.sun.sign_known, fix.sun.strength
    return row


def centroid_row(true: Row, centre: np.ndarray) -> Row:
    """The errors of a centroid alone."""
    errors = {f"{target}_error_px": float(np.linalg.norm(centre - true[target])) for target in ("outline", "mass")}
    return {**true, "refused": None if np.isfinite(centre).all() else "no_body", **errors}


def groups(rows: list[Row]) -> dict[str, list[Row]]:
    """The rows whose body is wholly in the frame, by range and by phase angle; and those whose body is cut."""
    whole = [row for row in rows if not row["cut"]]
    result = {"whole bodies": whole}
    for low, high in itertools.pairwise(RANGES_D0):
        result[f"range {low:g} to {high:g} D0"] = [row for row in whole if low <= row["range_d0"] < high]
    for low, high in itertools.pairwise(PHASES_DEG):
        result[f"phase {low:g} to {high:g} deg"] = [row for row in whole if low <= row["phase_deg"] < high]
    result["body cut by the frame"] = [row for row in rows if row["cut"]]
    return {name: chosen for name, chosen in result.items() if chosen}


def spread_of(values: list[float]) -> list[float] | None:
    """Median and 90 % point."""
    return [float(value) for value in np.percentile(values, [50, 90])] if values else None


def summary(rows: list[Row]) -> dict[str, Any]:
    """The figures of one group of rows."""
    fixed = [row for row in rows if row["refused"] is None]

    def of(name: str, keep: Callable[[Row], bool] = lambda row: True) -> list[float]:
        return [row[name] for row in fixed if row.get(name) is not None and keep(row)]

    result: dict[str, Any] = {"images": len(rows), "refused": len(rows) - len(fixed)}
    for name in ("outline_error_px", "mass_error_px", "sigma_px", "diameter_ratio", "pixel_diameter_ratio"):
        result[name] = spread_of(of(name))
    for target in ("outline", "mass"):
        squares = np.array(of(f"{target}_squared"))
        result[f"{target}_squared_mean"] = float(squares.mean()) if len(squares) else None
        result[f"{target}_within_90"] = float((squares < CHI_SQUARED_90).mean()) if len(squares) else None
    known = of("sun_error_deg", lambda row: row["sun_sign_known"])
    axes = [min(error, 180.0 - error) for error in of("sun_error_deg", lambda row: not row["sun_sign_known"])]
    result["sun"] = {
        "known": len(known),
        "error_deg": spread_of(known),
        "opposite": sum(error > 90.0 for error in known),
        "axis_only": len(axes),
        "axis_error_deg": spread_of(axes),
        "by_entropy": sum(row.get("sun_source") == "entropy" for row in fixed),
    }
    return result


def summaries(rows: list[Row]) -> dict[str, Any]:
    """The figures of every group."""
    return {name: summary(chosen) for name, chosen in groups(rows).items()}


def phase_line(rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Phase angles of whole bodies with a terminator, degrees, and the terminator's distance that could tell them."""
    chosen = [row for row in rows if not row["cut"] and row.get("sun_source") == "terminator"]
    return np.array([row["phase_deg"] for row in chosen]), np.array([row["sun_strength"] for row in chosen])


def phase_figures(fitted: list[Row], measured: list[Row]) -> dict[str, float] | None:
    """Whether the terminator's distance tells the phase angle: a line fitted on one set, measured on another."""
    phases, strengths = phase_line(fitted)
    other_phases, other_strengths = phase_line(measured)
    if min(len(phases), len(other_phases)) < 10:
        return None
    slope, start = np.polyfit(strengths, phases, 1)
    error = other_phases - (start + slope * other_strengths)
    blind = other_phases - phases.mean()
    return {
        "images": len(error),
        "rms_deg": float(np.sqrt(np.mean(error**2))),
        "blind_rms_deg": float(np.sqrt(np.mean(blind**2))),
    }


def measure(path: Path, split: str | None, bundle: Bundle | None, passes: int, images: int) -> tuple[Row, list[Row]]:
    """A set's figures, and the rows of its truth masks."""
    samples = load(path, split, identifiers=True)
    trues = [true_row(samples, index) for index in range(len(samples))]
    truth = [fix_row(true, truth_product(mask)) for true, mask in zip(trues, samples.masks, strict=True)]
    description = read_description(path)
    figures: Row = {
        "name": description["name"],
        "sha256": digest(path),
        "split": split,
        "images": len(samples),
        "truth": summaries(truth),
    }
    # Evenly through the set, so that every part of it is seen.
    chosen = evenly(len(samples), images if bundle is not None else 0)
    noisy = camera_frames(samples.images[chosen], description["noise"])
    pairs = [(trues[index], image) for index, image in zip(chosen, noisy, strict=True)]
    figures["brightness"] = summaries([centroid_row(true, brightness_centroid(image)) for true, image in pairs])
    if bundle is not None:
        products = network_products(bundle, noisy, passes)
        rows = [fix_row(true, product) for (true, _), product in zip(pairs, products, strict=True)]
        figures["network"] = summaries(rows)
    return figures, truth


def evaluate(sets: list[Path], choice: Path | None, bundle: Bundle | None, passes: int, images: int) -> Row:
    """The figures of every set.

    choice: the set on whose validation split the constants were chosen; its figures come first. bundle: whose maps of
    `images` images of each set are measured beside the truth masks.
    """
    asked: list[tuple[Path, str | None]] = [(path, None) for path in sets]
    if choice is not None:
        asked.insert(0, (choice, "validation"))
    measured: list[Row] = []
    fitted: list[Row] = []
    for path, split in asked:
        figures, truth = measure(path, split, bundle, passes, images)
        fitted = fitted or (truth if split else [])
        figures["chosen_on"] = split is not None
        figures["phase"] = phase_figures(fitted, truth) if fitted else None
        measured.append(figures)
    named = {"name": bundle.name, "version": bundle.version, "passes": passes} if bundle else None
    return {"bundle": named, "sets": measured}


def _pair(values: list[float] | None, digits: int = 2) -> str:
    return "" if values is None else " / ".join(f"{value:.{digits}f}" for value in values)


def _sun(sun: dict[str, Any], images: int) -> list[str]:
    given = f"{sun['known']} + {sun['axis_only']} of {images}"
    return [given, _pair(sun["error_deg"], 0), str(sun["opposite"]), _pair(sun["axis_error_deg"], 0)]


def _table(head: list[str], lines: list[list[str]]) -> list[str]:
    return [*markdown_table(head, lines), ""]


_SUN_HEAD = ["sun: with sign + axis only", "error, deg", "opposite", "axis error, deg"]


def _truth_table(figures: Row) -> list[str]:
    head = ["truth masks", "images", "outline's centroid to centre of mass, px", *_SUN_HEAD]
    lines = [
        [name, str(s["images"]), _pair(s["mass_error_px"]), *_sun(s["sun"], s["images"])]
        for name, s in figures["truth"].items()
    ]
    return _table(head, lines)


def _network_tables(figures: Row) -> list[str]:
    centroid = ["network maps", "images", "to outline, px", "brightness to outline, px", "to mass, px"]
    centroid += ["brightness to mass, px", "stated sigma, px", "squared error over covariance, mean", "within 90 %"]
    lines = []
    for name, s in figures["network"].items():
        plain = figures["brightness"][name]
        cells = [_pair(s["outline_error_px"]), _pair(plain["outline_error_px"])]
        cells += [_pair(s["mass_error_px"]), _pair(plain["mass_error_px"]), _pair(s["sigma_px"])]
        if s["outline_squared_mean"] is None:
            cells += ["", ""]
        else:
            cells += [f"{s['outline_squared_mean']:.1f}", f"{100 * s['outline_within_90']:.0f} %"]
        lines.append([name, str(s["images"]), *cells])
    size = ["network maps", "refused", "diameter over true", "that of body_pixels", *_SUN_HEAD, "by entropy"]
    others = []
    for name, s in figures["network"].items():
        cells = [str(s["refused"]), _pair(s["diameter_ratio"]), _pair(s["pixel_diameter_ratio"])]
        others.append([name, *cells, *_sun(s["sun"], s["images"]), str(s["sun"]["by_entropy"])])
    return _table(centroid, lines) + _table(size, others)


def figures_text(record: Row) -> str:
    """The figures as Markdown: for each pair of numbers the median and the 90 % point."""
    lines = [""]
    for figures in record["sets"]:
        part = "" if figures["split"] is None else f", {figures['split']} split"
        use = "constants chosen on it" if figures["chosen_on"] else "measured on it only"
        lines += [f"### {figures['name']}{part}: {use}", ""]
        lines += [f"{figures['images']} images, sha256 `{figures['sha256'][:16]}`.", "", *_truth_table(figures)]
        if "network" in figures:
            lines += _network_tables(figures)
        if phase := figures["phase"]:
            lines += [
                f"Phase angle from the terminator's distance, {phase['images']} truth masks: rms error "
                f"{phase['rms_deg']:.0f} deg; {phase['blind_rms_deg']:.0f} deg with the mean phase angle in its place.",
                "",
            ]
    if record["bundle"] is not None:
        b = record["bundle"]
        lines += [f"Network maps: {b['name']} {b['version']}, int8 files, {b['passes']} passes.", ""]
    return "\n".join(lines)


def check_docs(docs: Path) -> None:
    """Raise ValueError when DOCS/gnc.md has no place for the figures."""
    check_section(docs / "gnc.md", MARK)


def write_figures(record: Row, docs: Path) -> None:
    """Write DOCS/gnc.json and the figures' part of DOCS/gnc.md. Raises ValueError when that has no place for them."""
    write_section(docs / "gnc.md", MARK, figures_text(record), record, docs / "gnc.json")
