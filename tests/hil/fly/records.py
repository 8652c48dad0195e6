"""Made-up flights, for figures and pages."""

from __future__ import annotations

import numpy as np

from hil.fly.measurement import KINDS
from hil.fly.record import DrawRecord, Exposure, FlightRecord, Picture, Touchdown

# Pointing errors, degrees, of the made-up flights.
POINTING = {"class_map": 0.2, "weighted": 0.1, "brightness": 0.8, "none": 4.0}


def make_exposure(index: int, kind: str, **changed: object) -> Exposure:
    """At 10 s and 9 degrees of phase angle more than the one before."""
    made = Exposure(
        index=index,
        time_s=10.0 * index,
        phase_deg=9.0 * index,
        range_d0=4.0 - 0.2 * index,
        pointing_deg=POINTING[kind],
        out_of_field=kind == "none",
        error_km=0.1,
        sigma_km=0.05,
        nees=6.0 if index % 2 else 20.0,
        answer="" if kind == "none" else "measured",
        wall_s=0.25,
    )
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def make_flight(kind: str, draw: int = 0, pictures: bool = False) -> FlightRecord:
    """Eleven exposures."""
    flight = FlightRecord("pebble", draw, kind, [make_exposure(index, kind) for index in range(11)])
    if pictures:
        image = np.zeros((64, 64), np.uint8)
        image[20:40, 20:40] = 200
        affine = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        classes = (image > 0).astype(np.uint8)
        flight.pictures = [Picture(image, (30.0, 30.0), (31.0, 30.0), classes, affine) for _ in flight.exposures]
    return flight


def make_draw(draw: int = 0, pictures: bool = False) -> DrawRecord:
    """With one flight of each kind."""
    flights = [make_flight(kind, draw, pictures and kind != "none") for kind in KINDS]
    return DrawRecord(draw, "pebble", 0.5, flights, bundle="unet_h 9.9.9")


def make_descents(draw: int) -> DrawRecord:
    """Three by maps, one of them on a hazard and one without a site; one by variance."""
    touchdowns = [
        Touchdown("pebble", draw, "maps", 5, 2, 9.0, 3.0, 4.0, 0.5),
        Touchdown("pebble", draw, "maps", 5, 0, 2.0, 3.0, 4.0, 0.5),
        Touchdown("pebble", draw, "maps", 0, 0, None, 3.0),
        Touchdown("pebble", draw, "variance", 5, 4, -1.0, 3.0, None, 0.5),
    ]
    return DrawRecord(draw, "pebble", 0.5, touchdowns=touchdowns)
