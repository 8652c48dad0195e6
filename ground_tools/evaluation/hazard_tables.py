"""Hazards as a lander would judge them, as tables."""

from __future__ import annotations

from ground_tools.evaluation.hazards import KINDS, LEAST_RADIUS_PX, MOST_CIRCLES, OBJECT_SIZES
from ground_tools.evaluation.results import HazardFigures, Results
from ground_tools.pages.blocks import Block, Heading, Table, Text, percent

_PIXELS = ("boulder pixels found, %", "right, %", "crater pixels found, %", "right, %")
_CIRCLES = ("circles", "unsafe, %", "ground offered, %", "in circles, %", "hazards in what is offered, %", "ECE, %")


def hazard_blocks(results: Results) -> list[Block]:
    """Which boulders and craters are found, and how safe is what is offered to land on."""
    told = [(name, bundle, f) for name, own in results.hazard.items() for bundle, f in own.items()]
    if not told:
        return []
    return [
        Heading("Hazards, as a lander would judge the maps", 2),
        Text(
            "Of the default mode. A boulder or crater counts by the pixels that are seen of it; it is found where at "
            "least half of them are called boulder or crater, and offered where at least half of them are called safe "
            "to land on."
        ),
        Table(["set", "bundle", "what", "visible pixels", "how many", "found, %", "offered, %"], _objects(told)),
        Text(
            f"Landing circles: at most {MOST_CIRCLES} of {LEAST_RADIUS_PX:g} map pixels radius or more an image, with "
            "the limits as they are by default. One is unsafe that touches a boulder or crater of the truth. Ground: "
            "surface of the truth that light falls on; the share of it that the product offers as safe, and that "
            "circles cover. The ECE is that of the hazard probability, on the body."
        ),
        Table(
            ["set", "bundle", *_PIXELS, *_CIRCLES],
            [[name, bundle, *_circles(f)] for name, bundle, f in told],
        ),
    ]


def _objects(told: list[tuple[str, str, HazardFigures]]) -> list[list[str]]:
    rows = []
    for name, bundle, f in told:
        for kind, sizes in f.objects.items():
            for size, found in sizes.items():
                larger = [least for least in OBJECT_SIZES if least > int(size)]
                span = f"{size} to {larger[0] - 1}" if larger else f"{size} and more"
                cells = [str(found.count), percent(found.found), percent(found.offered)]
                rows.append([name, bundle, kind, span, *cells])
    return rows


def _circles(f: HazardFigures) -> list[str]:
    found, right = f.pixels_found, f.pixels_right
    pixels = [percent(share.get(kind)) for kind in KINDS for share in (found, right)]
    shares = [percent(f.unsafe), percent(f.ground_offered), percent(f.ground_in_circles), percent(f.offered_hazards)]
    return [*pixels, str(f.circles), *shares, percent(f.ece)]
