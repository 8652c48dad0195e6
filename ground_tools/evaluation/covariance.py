"""Choose the constants of the navigation fix's covariance: `ground-tools fit-covariance`.

The squared error of a fix is to be as large as its covariance says. The constants of flight.client.navigation, and
with them those of rubblemap/consumers.hpp, belong to the networks whose maps they were chosen on: run this for other
ones. Writes docs/covariance.json and its part of docs/gnc.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from flight.bundle import Bundle
from flight.client import Refusal, navigation_fix
from flight.client.navigation import CORRELATION_LENGTH, LEAST_RELATIVE_ENTROPY, SHIFT_SHARE, error_terms
from ground_tools.datasets.store import digest, load, read_description
from ground_tools.evaluation.navigation import network_products, true_view
from ground_tools.evaluation.navigation_figures import CHI_SQUARED_90, BundlePasses
from ground_tools.evaluation.passes import camera_frames
from ground_tools.foundation.json_records import to_plain
from ground_tools.foundation.sampling import evenly
from ground_tools.pages.blocks import Table, Text, percent
from ground_tools.pages.markdown import markdown
from ground_tools.pages.sections import check_section, write_section

# Powers of the body's mean relative entropy, m in docs/gnc.md, by which the limb's variance may grow.
POWERS = (0, 1, 2, 3, 4)
FLIGHT_POWER = 2
MARK = "covariance figures"


@dataclass(frozen=True)
class Errors:
    """Fixes with their errors, map pixels: N of them.

    errors: (N, 2) centroid less the true outline's. limb, shift, quantization: (N, 2, 2), ErrorTerms as matrices.
    mean_relative_entropy: (N,). bodies: (N,) names.
    """

    errors: np.ndarray
    limb: np.ndarray
    shift: np.ndarray
    quantization: np.ndarray
    mean_relative_entropy: np.ndarray
    bodies: np.ndarray

    def covariances(self, power: int, length: float, share: float) -> np.ndarray:
        """(N, 2, 2) length^2 m^power limb + share shift + quantization; m: relative entropy, at least flight's."""
        entropy = np.maximum(LEAST_RELATIVE_ENTROPY, self.mean_relative_entropy)[:, None, None]
        limb = length**2 * entropy**power * self.limb
        return limb + share * self.shift + self.quantization

    def squares(self, covariances: np.ndarray) -> np.ndarray:
        """(N,) squared errors over the covariances: of mean 2 when these are consistent."""
        solved = np.linalg.solve(covariances, self.errors[..., None])[..., 0]
        squares: np.ndarray = np.sum(self.errors * solved, axis=1)
        return squares

    def log_densities(self, covariances: np.ndarray) -> np.ndarray:
        """(N,) of the errors under Gaussians with these covariances, nats."""
        densities: np.ndarray = -0.5 * (self.squares(covariances) + np.log(np.linalg.det(covariances)))
        return densities - np.log(2.0 * np.pi)

    def of(self, chosen: np.ndarray) -> Errors:
        """Those that a mask chooses."""
        parts = (self.errors, self.limb, self.shift, self.quantization, self.mean_relative_entropy, self.bodies)
        return Errors(*(part[chosen] for part in parts))


@dataclass(frozen=True)
class Consistency:
    """Whether errors are as large as covariances say. mean: of the normalized squared errors (NEES), 2 for consistent
    covariances; within_90: the share within the 90 % point of chi squared. mean_relative_entropy: mean over the fixes.
    """

    mean: float
    within_90: float
    mean_relative_entropy: float


@dataclass(frozen=True)
class CovarianceRow:
    """Covariances by one rule, measured over all errors and over those of each body.

    power: of the relative entropy, by which the limb's variance grows; None for the rule and constants of flight.
    length: its correlation length, map pixels; share: of the shift. log_density: of the errors, nats, mean and median;
    mean, within_90, mean_relative_entropy: see Consistency.
    """

    power: int | None
    length: float
    share: float
    log_density: float
    log_density_median: float
    mean: float
    within_90: float
    mean_relative_entropy: float
    bodies: dict[str, Consistency]


@dataclass(frozen=True)
class CovarianceFigures:
    """What covariance.json holds. images: that gave a fix."""

    set: str
    sha256: str
    split: str
    images: int
    bundle: BundlePasses
    rows: list[CovarianceRow]


def measure(folder: Path, split: str, bundle: Bundle, passes: int, images: int) -> Errors:
    """The errors of a bundle's fixes on images taken evenly through a split. Raises ValueError when all are refused."""
    samples = load(folder, split, identifiers=True)
    chosen = evenly(len(samples), images)
    noisy = camera_frames(samples.images[chosen], read_description(folder)["noise"])
    columns: list[tuple[Any, ...]] = []
    for index, product in zip(chosen, network_products(bundle, noisy, passes), strict=True):
        fix, terms = navigation_fix(product), error_terms(product)
        if isinstance(fix, Refusal) or isinstance(terms, Refusal):
            continue
        a, b, _, d, e, _ = product.header["map_to_sensor"]
        error = np.linalg.solve([[a, b], [d, e]], np.array([fix.x, fix.y]) - true_view(samples, index).outline)
        limb = np.array([[terms.limb.xx, terms.limb.xy], [terms.limb.xy, terms.limb.yy]])
        shift = np.outer(terms.certainty_shift, terms.certainty_shift)
        columns.append(
            (error, limb, shift, terms.quantization * np.eye(2), terms.mean_relative_entropy, samples.bodies[index])
        )
    if not columns:
        raise ValueError(f"{folder}: no map of {bundle.name} gave a fix")
    return Errors(*(np.array(column) for column in zip(*columns, strict=True)))


def fit(data: Errors, power: int) -> tuple[float, float]:
    """Correlation length and share of the shift that make the errors likeliest."""

    def loss(logarithms: np.ndarray) -> float:
        length, share = np.exp(logarithms)
        return -float(data.log_densities(data.covariances(power, length, share)).mean())

    options = {"maxiter": 4000, "xatol": 1e-4, "fatol": 1e-7}
    starts = [np.log([length, share]) for length in (6.0, 60.0) for share in (0.1, 1.0)]
    best = min((minimize(loss, start, method="Nelder-Mead", options=options) for start in starts), key=lambda r: r.fun)
    length, share = np.exp(best.x)
    return float(length), float(share)


def evaluate(data: Errors, covariances: np.ndarray, power: int | None, length: float, share: float) -> CovarianceRow:
    """How consistent the covariances are that such constants give. covariances: (N, 2, 2)."""
    squares = data.squares(covariances)
    densities = data.log_densities(covariances)

    def consistency(part: np.ndarray) -> Consistency:
        within = squares[part] < CHI_SQUARED_90
        return Consistency(
            float(squares[part].mean()), float(within.mean()), float(data.mean_relative_entropy[part].mean())
        )

    over_all = consistency(np.ones(len(squares), bool))
    return CovarianceRow(
        power=power,
        length=length,
        share=share,
        log_density=float(densities.mean()),
        log_density_median=float(np.median(densities)),
        mean=over_all.mean,
        within_90=over_all.within_90,
        mean_relative_entropy=over_all.mean_relative_entropy,
        bodies={str(body): consistency(data.bodies == body) for body in np.unique(data.bodies)},
    )


def leave_one_body_out(data: Errors, power: int) -> np.ndarray:
    """(N, 2, 2) covariances of each body's fixes, with the constants that the other bodies give."""
    result = np.empty_like(data.limb)
    for body in np.unique(data.bodies):
        out = data.bodies == body
        result[out] = data.of(out).covariances(power, *fit(data.of(~out), power))
    return result


def compare(data: Errors) -> list[CovarianceRow]:
    """A row for each power, its constants fitted on all bodies and measured on each by those of the others."""
    rows = []
    for power in POWERS if len(np.unique(data.bodies)) > 1 else ():
        length, share = fit(data, power)
        rows.append(evaluate(data, leave_one_body_out(data, power), power, length, share))
    flight = data.covariances(FLIGHT_POWER, CORRELATION_LENGTH, SHIFT_SHARE)
    return [*rows, evaluate(data, flight, None, CORRELATION_LENGTH, SHIFT_SHARE)]


def fit_constants(folder: Path, split: str, bundle: Bundle, passes: int, images: int) -> CovarianceFigures:
    """Measure a bundle's fixes on a split and compare the covariances that they could have."""
    data = measure(folder, split, bundle, passes, images)
    return CovarianceFigures(
        set=read_description(folder)["name"],
        sha256=digest(folder),
        split=split,
        images=len(data.errors),
        bundle=BundlePasses(bundle.name, bundle.version, passes),
        rows=compare(data),
    )


def covariance_section(figures: CovarianceFigures) -> str:
    """The rows' part of docs/gnc.md, with what they were measured on."""
    head = ["limb's variance grows with", "c", "k", "log density: mean, median", "squared error over covariance, mean"]
    head += ["within 90 %", "of the worst body"]
    rows = []
    for row in figures.rows:
        name = "flight's constants" if row.power is None else f"m^{row.power}"
        worst = min(body.within_90 for body in row.bodies.values())
        cells = [name, f"{row.length:.1f}", f"{row.share:.2f}"]
        cells += [f"{row.log_density:.2f}, {row.log_density_median:.2f}", f"{row.mean:.1f}"]
        rows.append([*cells, f"{percent(row.within_90, 0)} %", f"{percent(worst, 0)} %"])
    source = f"{figures.set}, {figures.split} split (sha256 `{figures.sha256[:16]}`)"
    b = figures.bundle
    measured_on = f"{figures.images} images of {source}; {b.name} {b.version}, {b.passes} passes."
    return markdown([Table(head, rows), Text(measured_on)])


def write_figures(figures: CovarianceFigures, docs: Path) -> None:
    """Write DOCS/covariance.json and its part of DOCS/gnc.md. Raises ValueError when that has no place for it."""
    text = covariance_section(figures)
    write_section(docs / "gnc.md", MARK, text, to_plain(figures), docs / "covariance.json")


def check_docs(docs: Path) -> None:
    """Raise ValueError when DOCS/gnc.md has no place for the figures."""
    check_section(docs / "gnc.md", MARK)
