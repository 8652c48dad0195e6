"""A frame's maps as the page shows them: pictures, navigation fix and landing circles in pixels of the map."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import cv2
import numpy as np

from flight.client import Refusal, pictures
from flight.client.bit_depth import FrameImage
from flight.icd.limits import TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.icd.products import Product
from hil.console.feed import Maps
from hil.overlay import PALETTE, UNCERTAIN_COLOR, PlacedFix, place_circles, place_fix, resample_to_map

# The frame is shown with more pixels than the map has, up to so many on a side.
_FRAME_SIDE = 512


def draw_maps(maps: Maps) -> dict[str, Any]:
    """Make what the page shows of a frame.

    Args:
        maps: of the frame.

    Returns:
        Plain data: header fields, pictures as data URLs, fix and circles. Coordinates u, v and radii are in pixels of
        the map, x and y in those of the sensor.
    """
    navigation = maps.products[TOPIC_NAVIGATION]
    hazard = maps.products.get(TOPIC_HAZARD)
    header = navigation.header
    shown: dict[str, Any] = {
        name: header[name] for name in ("source", "status", "flags", "mode", "passes_used", "passes_requested")
    }
    shown |= {"frame_id": str(header["frame_id"]), "epoch": header["epoch"], "bundle": header["bundle"]}
    shown |= {"pictures": {}, "legend": _legend(header), "fix": None, "circles": [], "refusals": {}}
    if not navigation.planes:
        shown["refusals"] = {"map": "the product is invalid: it carries no map"}
        return shown
    height, width = navigation.planes["class_map"].shape
    shown |= {"height": height, "width": width}
    shown["pictures"] = _draw_pictures(navigation, hazard, maps.frame)
    fix = place_fix(navigation)
    if isinstance(fix, Refusal):
        shown["refusals"]["fix"] = fix.text
    else:
        shown["fix"] = _describe_fix(fix)
    if hazard is not None and hazard.planes:
        circles = place_circles(hazard)
        if isinstance(circles, Refusal):
            shown["refusals"]["circles"] = circles.text
        else:
            shown["circles"] = [dataclasses.asdict(circle) for circle in circles]
    return shown


def _describe_fix(placed: PlacedFix) -> dict[str, Any]:
    fix = placed.fix
    sun = None
    if fix.sun is not None:
        sun = {"angle_deg": fix.sun.angle_deg, "x": fix.sun.x, "y": fix.sun.y}
    return {
        **{name: getattr(placed, name) for name in ("u", "v", "radius", "sigma_px")},
        "x": fix.x,
        "y": fix.y,
        "diameter_px": fix.diameter,
        "sun": sun,
    }


def _draw_pictures(navigation: Product, hazard: Product | None, frame: FrameImage | None) -> dict[str, str]:
    planes = navigation.planes
    classes = len(navigation.header["classes"])
    seen = planes["class_map"] < classes
    class_map = pictures.draw_class_map(planes["enhanced_class_map"], PALETTE, classes, seen)
    class_map[(planes["enhanced_class_map"] == classes) & seen] = UNCERTAIN_COLOR
    drawn = {
        "classes": _encode(class_map),
        "entropy": _encode(pictures.draw_entropy(planes["predictive_entropy"], classes)),
    }
    if hazard is not None and hazard.planes:
        # Cividis: as readable without red and green as with them.
        probability = np.clip(hazard.planes["hazard_probability"].astype(np.float32), 0.0, 1.0)
        colored = cv2.applyColorMap(np.rint(probability * 255).astype(np.uint8), cv2.COLORMAP_CIVIDIS)
        drawn["hazard"] = _encode(colored[:, :, ::-1])
    if frame is not None:
        factor = max(_FRAME_SIDE // max(seen.shape), 1)
        drawn["frame"] = _encode(resample_to_map(frame, navigation, factor))
    return drawn


def _encode(picture: np.ndarray) -> str:
    """(H, W, 3) red, green, blue as a PNG in a data URL."""
    done, data = cv2.imencode(".png", np.ascontiguousarray(picture[:, :, ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError("picture: PNG encoding failed")
    return f"data:image/png;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"


def _legend(header: dict[str, Any]) -> list[dict[str, Any]]:
    entries = pictures.make_legend([entry["name"] for entry in header["classes"]], PALETTE)
    entries = [(name, UNCERTAIN_COLOR if name == "uncertain" else color) for name, color in entries]
    return [{"name": name, "color": list(color)} for name, color in entries]
