"""How well the navigation consumer does on rendered sets: `ground-tools evaluate-navigation`.

Measures flight.client.navigation_fix on truth masks and, with --bundle, on the maps that a bundle's int8 files make of
the noisy images, cut out by the engine's own centering, beside the centroid of the thresholded image; writes
docs/gnc.json and the figures of docs/gnc.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from msgspec import UNSET, UnsetType

from flight.bundle import Bundle
from flight.client import Refusal, SunDirection, navigation_fix
from flight.icd.catalogue import worst_status
from flight.icd.limits import TOPIC_NAVIGATION
from flight.icd.products import Product
from flight.inference.engine import Engine, Maps
from flight.inference.planes import topic_planes
from flight.settings import Settings, default_settings
from ground_tools.datasets.store import LoadedSet, digest, load, read_description
from ground_tools.evaluation.navigation_figures import (
    BundlePasses,
    FixError,
    Groups,
    NavigationFigures,
    SetFigures,
    SunError,
    TrueView,
    group_figures,
    phase_figures,
)
from ground_tools.evaluation.navigation_tables import navigation_section
from ground_tools.evaluation.passes import camera_frames
from ground_tools.foundation.json_records import to_plain
from ground_tools.foundation.progress import progress
from ground_tools.foundation.sampling import evenly
from ground_tools.labels.classes import CLASS_NAMES, CLASS_ROLES
from ground_tools.pages.sections import check_section, write_section
from ground_tools.rendering.geometry import View, camera_axes

MARK = "navigation figures"

_TRUTH_CLASSES = [{"index": index, "name": name, "role": CLASS_ROLES[name]} for index, name in enumerate(CLASS_NAMES)]


def _product_of(
    planes: dict[str, np.ndarray],
    classes: list[dict[str, Any]],
    flags: list[str],
    map_to_sensor: Sequence[float],
    topic: str = TOPIC_NAVIGATION,
) -> Product:
    """A product with what its consumer reads."""
    header = {
        "topic": topic,
        "status": worst_status(flags),
        "flags": flags,
        "map_to_sensor": list(map_to_sensor),
        "classes": classes,
    }
    return Product(header, planes)


def truth_product(mask: np.ndarray) -> Product:
    """The product of a network that knows the truth and does not doubt it, the map being the frame itself."""
    certain = np.zeros(mask.shape, np.float16)
    planes = {"class_map": mask, "enhanced_class_map": mask, "predictive_entropy": certain}
    return _product_of(planes, _TRUTH_CLASSES, [], (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))


def make_product(bundle: Bundle, maps: Maps, settings: Settings, topic: str) -> Product:
    """The product of a topic that a bundle's maps of a frame give."""
    classes = [{"index": c.index, "name": c.name, "role": c.role} for c in bundle.classes]
    planes = {name: plane for name, plane, _ in topic_planes(maps, bundle.classes, topic, settings)}
    return _product_of(planes, classes, list(maps.flags), maps.map_to_sensor, topic)


def network_products(bundle: Bundle, images: np.ndarray, passes: int) -> Iterator[Product]:
    """What the flight engine makes of noisy images, as from a camera that does not say where the body is.

    images: (N, H, W) uint8. The seed of image i is i.
    """
    engine = Engine(bundle, threads=1)
    # The input monitor says of which frames a fix is made; how good it is must be known of all of them.
    settings = replace(default_settings(bundle), passes=passes, least_body_evidence=-1000.0)
    for seed, image in enumerate(progress(images, unit="image", label=bundle.name)):
        maps = engine.segment(image, bit_depth=8, centered=False, seed=seed, settings=settings)
        yield make_product(bundle, maps, settings, TOPIC_NAVIGATION)
    engine.close()


def brightness_centroid(image: np.ndarray) -> np.ndarray:
    """(x, y) of the pixels above Otsu's threshold: what a navigator has without a map. image: (H, W) uint8."""
    _, bright = cv2.threshold(image, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    rows, columns = np.nonzero(bright)
    return np.array([columns.mean(), rows.mean()]) if len(rows) else np.full(2, np.nan)


def true_view(samples: LoadedSet, index: int) -> TrueView:
    """What is known of a sample: where its outline's centroid and its centre of mass are, and the sun."""
    outline = samples.identifiers[index] > 0
    rows, columns = np.nonzero(outline)
    height, width = outline.shape
    view = View(samples.cameras_km[index], samples.suns[index])
    sun = (camera_axes(view) @ view.sun)[:2]
    return TrueView(
        range_d0=float(samples.ranges_d0[index]),
        phase_deg=float(samples.phase_angles_deg[index]),
        cut=bool(outline[0].any() or outline[-1].any() or outline[:, 0].any() or outline[:, -1].any()),
        outline=np.array([columns.mean(), rows.mean()]),
        # The camera looks at the centre of mass.
        mass=np.array([0.5 * (width - 1), 0.5 * (height - 1)]),
        diameter=2.0 * float(np.sqrt(outline.sum() / np.pi)),
        sun=sun / np.linalg.norm(sun),
    )


def fix_error(true: TrueView, product: Product) -> FixError:
    """A product's fix beside the truth."""
    fix = navigation_fix(product)
    if isinstance(fix, Refusal):
        return FixError(true, refused=fix.reason)
    covariance = np.array([[fix.covariance_xx, fix.covariance_xy], [fix.covariance_xy, fix.covariance_yy]])
    outline, mass = (np.array([fix.x, fix.y]) - target for target in (true.outline, true.mass))
    a, b, _, d, e, _ = product.header["map_to_sensor"]
    pixel_diameter = 2.0 * float(np.sqrt(fix.body_pixels * abs(a * e - b * d) / np.pi))
    return FixError(
        true,
        outline=float(np.linalg.norm(outline)),
        mass=float(np.linalg.norm(mass)),
        sigma=float(np.sqrt(np.trace(covariance))),
        outline_squared=float(outline @ np.linalg.solve(covariance, outline)),
        mass_squared=float(mass @ np.linalg.solve(covariance, mass)),
        diameter_ratio=fix.diameter / true.diameter,
        pixel_diameter_ratio=pixel_diameter / true.diameter,
        sun=None if fix.sun is None else _sun_error(true, fix.sun),
    )


def _sun_error(true: TrueView, sun: SunDirection) -> SunError:
    cosine = float(np.clip(true.sun @ np.array([sun.x, sun.y]), -1.0, 1.0))
    return SunError(sun.source, float(np.degrees(np.arccos(cosine))), sun.sign_known, sun.strength)


def centroid_error(true: TrueView, centre: np.ndarray) -> FixError:
    """The errors of a centroid alone."""
    if not np.isfinite(centre).all():
        return FixError(true, refused="no_body")
    outline, mass = (float(np.linalg.norm(centre - target)) for target in (true.outline, true.mass))
    return FixError(true, outline=outline, mass=mass)


def measure(
    path: Path, split: str | None, bundle: Bundle | None, passes: int, images: int
) -> tuple[SetFigures, list[FixError]]:
    """A set's figures, but for those of the phase angle, and the errors on its truth masks."""
    samples = load(path, split, identifiers=True)
    trues = [true_view(samples, index) for index in range(len(samples))]
    truth = [fix_error(true, truth_product(mask)) for true, mask in zip(trues, samples.masks, strict=True)]
    description = read_description(path)
    # Evenly through the set, so that every part of it is seen.
    chosen = evenly(len(samples), images if bundle is not None else 0)
    noisy = camera_frames(samples.images[chosen], description["noise"])
    chosen_trues = [trues[index] for index in chosen]
    plain = [centroid_error(true, brightness_centroid(image)) for true, image in zip(chosen_trues, noisy, strict=True)]
    network: Groups | UnsetType = UNSET
    if bundle is not None:
        products = network_products(bundle, noisy, passes)
        network = group_figures([fix_error(true, p) for true, p in zip(chosen_trues, products, strict=True)])
    figures = SetFigures(
        name=description["name"],
        sha256=digest(path),
        split=split,
        images=len(samples),
        truth=group_figures(truth),
        brightness=group_figures(plain),
        network=network,
        chosen_on=False,
        phase=None,
    )
    return figures, truth


def evaluate(
    sets: list[Path], choice: Path | None, bundle: Bundle | None, passes: int, images: int
) -> NavigationFigures:
    """The figures of every set.

    choice: the set on whose validation split the constants were chosen; its figures come first. bundle: whose maps of
    `images` images of each set are measured beside the truth masks.
    """
    fitted: list[FixError] = []
    measured = []
    if choice is not None:
        figures, fitted = measure(choice, "validation", bundle, passes, images)
        measured.append(replace(figures, chosen_on=True, phase=phase_figures(fitted, fitted)))
    for path in sets:
        figures, truth = measure(path, None, bundle, passes, images)
        measured.append(replace(figures, phase=phase_figures(fitted, truth) if fitted else None))
    named = None if bundle is None else BundlePasses(bundle.name, bundle.version, passes)
    return NavigationFigures(named, measured)


def check_docs(docs: Path) -> None:
    """Raise ValueError when DOCS/gnc.md has no place for the figures."""
    check_section(docs / "gnc.md", MARK)


def write_figures(figures: NavigationFigures, docs: Path) -> None:
    """Write DOCS/gnc.json and the figures' part of DOCS/gnc.md. Raises ValueError when that has no place for them."""
    write_section(docs / "gnc.md", MARK, navigation_section(figures), to_plain(figures), docs / "gnc.json")
