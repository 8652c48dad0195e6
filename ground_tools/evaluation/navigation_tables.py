"""The figures of the navigation consumer as tables: for each pair of numbers the median and the 90 % point."""

from __future__ import annotations

from msgspec import UNSET

from ground_tools.evaluation.navigation_figures import (
    GroupFigures,
    Groups,
    NavigationFigures,
    SetFigures,
    Spread,
    SunFigures,
)
from ground_tools.pages.blocks import Block, Heading, Table, Text, percent
from ground_tools.pages.markdown import markdown

_SUN_HEAD = ["sun: with sign + axis only", "error, deg", "opposite", "axis error, deg"]


def navigation_section(figures: NavigationFigures) -> str:
    """The figures' part of docs/gnc.md."""
    content = [block for of_set in figures.sets for block in _set_blocks(of_set)]
    if figures.bundle is not None:
        b = figures.bundle
        content.append(Text(f"Network maps: {b.name} {b.version}, int8 files, {b.passes} passes."))
    return markdown(content)


def _set_blocks(figures: SetFigures) -> list[Block]:
    part = "" if figures.split is None else f", {figures.split} split"
    use = "constants chosen on it" if figures.chosen_on else "measured on it only"
    content: list[Block] = [
        Heading(f"{figures.name}{part}: {use}", 3),
        Text(f"{figures.images} images, sha256 `{figures.sha256[:16]}`."),
        _truth_table(figures.truth),
    ]
    if figures.network is not UNSET:
        content += [_centroid_table(figures.network, figures.brightness), _size_table(figures.network)]
    if phase := figures.phase:
        content.append(
            Text(
                f"Phase angle from the terminator's distance, {phase.images} truth masks: rms error "
                f"{phase.rms_deg:.0f} deg; {phase.blind_rms_deg:.0f} deg with the mean phase angle in its place."
            )
        )
    return content


def _pair(values: Spread, digits: int = 2) -> str:
    return "" if values is None else " / ".join(f"{value:.{digits}f}" for value in values)


def _sun(sun: SunFigures, images: int) -> list[str]:
    given = f"{sun.known} + {sun.axis_only} of {images}"
    return [given, _pair(sun.error_deg, 0), str(sun.opposite), _pair(sun.axis_error_deg, 0)]


def _truth_table(truth: Groups) -> Table:
    head = ["truth masks", "images", "outline's centroid to centre of mass, px", *_SUN_HEAD]
    rows = [[name, str(g.images), _pair(g.mass_error_px), *_sun(g.sun, g.images)] for name, g in truth.items()]
    return Table(head, rows)


def _centroid_table(network: Groups, brightness: Groups) -> Table:
    head = ["network maps", "images", "to outline, px", "brightness to outline, px", "to mass, px"]
    head += ["brightness to mass, px", "stated sigma, px", "squared error over covariance, mean", "within 90 %"]
    rows = []
    for name, g in network.items():
        plain = brightness[name]
        cells = [str(g.images), _pair(g.outline_error_px), _pair(plain.outline_error_px), _pair(g.mass_error_px)]
        rows.append([name, *cells, _pair(plain.mass_error_px), _pair(g.sigma_px), *_consistency(g)])
    return Table(head, rows)


def _consistency(group: GroupFigures) -> list[str]:
    if group.outline_squared_mean is None:
        return ["", ""]
    return [f"{group.outline_squared_mean:.1f}", f"{percent(group.outline_within_90, 0)} %"]


def _size_table(network: Groups) -> Table:
    head = ["network maps", "refused", "diameter over true", "that of body_pixels", *_SUN_HEAD, "by entropy"]
    rows = []
    for name, g in network.items():
        cells = [str(g.refused), _pair(g.diameter_ratio), _pair(g.pixel_diameter_ratio), *_sun(g.sun, g.images)]
        rows.append([name, *cells, str(g.sun.by_entropy)])
    return Table(head, rows)
