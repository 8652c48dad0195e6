"""What Rerun's viewer shows: the frame with maps, fix and landing circles over it, time series, state and events."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import rerun as rr
import rerun.blueprint as rrb

from flight.client import Refusal, pictures
from flight.client.bit_depth import FrameImage
from flight.icd.frames import FrameError, decode_frame
from flight.icd.limits import TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.icd.products import Product, ProductError, decode_product
from hil.overlay import PALETTE, UNCERTAIN_COLOR, place_circles, place_fix, resample_to_map
from hil.recording.channels import read_header

APPLICATION = "rubblemap"
_TIMELINE = "received"
_MOST_FRAMES = 16
_OVERLAY_OPACITY = 0.45
_ROUND = np.linspace(0.0, 2.0 * math.pi, 49)
_FIX_COLOR, _CIRCLE_COLOR = (230, 159, 0), (255, 255, 255)
_LEVELS = {"diagnostic": "DEBUG", "info": "INFO", "warning_low": "WARN", "warning_high": "ERROR", "fatal": "CRITICAL"}

FrameKey = tuple[str, int, int]


def make_blueprint() -> Any:
    """How the viewer lays it out: the map at the left, its quantities at the right, time series and events below."""
    return rrb.Blueprint(
        rrb.Vertical(
            rrb.Horizontal(
                rrb.Spatial2DView(origin="/map", name="frame, classes, fix, circles"),
                rrb.Spatial2DView(origin="/entropy", name="entropy"),
                rrb.Spatial2DView(origin="/hazard", name="hazard probability"),
            ),
            rrb.Horizontal(
                rrb.TimeSeriesView(origin="/latency", name="latency, ms"),
                rrb.TimeSeriesView(origin="/map_entropy", name="mean entropy, nat"),
                rrb.TextLogView(origin="/log", name="state and events"),
            ),
            row_shares=[2, 1],
        ),
        collapse_panels=True,
    )


class Scene:
    """Sends messages of the wire to Rerun's current recording, malformed ones left out. For one thread at a time.

    Args:
        find_frame: a frame by its frame_id, where it is known otherwise than by frame messages; None where not.

    Attributes:
        products: number of products shown.
        malformed: number of messages that broke the contract.
    """

    def __init__(self, find_frame: Callable[[int], FrameImage | None] = lambda frame_id: None) -> None:
        self.products = 0
        self.malformed = 0
        self._find_frame = find_frame
        self._frames: OrderedDict[FrameKey, FrameImage] = OrderedDict()
        self._classes: list[dict[str, Any]] | None = None
        self._state = ""

    def add(self, kind: str, parts: Sequence[bytes], time_ns: int | None = None) -> None:
        """Show a message.

        Args:
            kind: one of hil.recording.channels.KINDS.
            parts: as they came.
            time_ns: when it came, nanoseconds since 1970; None for now.
        """
        _set_time(time.time_ns() if time_ns is None else time_ns)
        try:
            if kind == "frame":
                frame = decode_frame(parts)
                key = (frame.header["source"], frame.header["epoch"], frame.header["frame_id"])
                self._frames[key] = FrameImage(frame.pixels, frame.header["bit_depth"])
                while len(self._frames) > _MOST_FRAMES:
                    self._frames.popitem(last=False)
            elif kind == "product":
                self._show_product(decode_product(parts))
            elif kind == "telemetry":
                self._show_telemetry(parts)
        except (FrameError, ProductError):
            self.malformed += 1

    def _show_product(self, product: Product) -> None:
        self.products += 1
        header = product.header
        if product.topic == TOPIC_NAVIGATION:
            _log_number("latency/frame", (header["published_time_ns"] - header["received_time_ns"]) / 1e6)
            if product.planes:
                self._show_navigation(product)
            else:
                rr.log("map", rr.Clear(recursive=True))
        elif product.topic == TOPIC_HAZARD and product.planes:
            rr.log("hazard", rr.Image(pictures.draw_hazard(product.planes["hazard_probability"])))
            circles = place_circles(product)
            if isinstance(circles, Refusal) or not circles:
                rr.log("map/circles", rr.Clear(recursive=False))
            else:
                strips = [_circle(c.u, c.v, c.radius) for c in circles]
                labels = [f"{number}: {c.radius_px:.1f} px" for number, c in enumerate(circles, start=1)]
                rr.log("map/circles", rr.LineStrips2D(strips, colors=[_CIRCLE_COLOR], labels=labels))

    def _show_navigation(self, product: Product) -> None:
        planes = product.planes
        self._tell_classes(product.header["classes"])
        image = self._frames.get(product.frame_key) or self._find_frame(product.header["frame_id"])
        if image is None:
            rr.log("map/frame", rr.Clear(recursive=False))
        else:
            rr.log("map/frame", rr.Image(resample_to_map(image, product, 1)))
        classes = planes["enhanced_class_map"]
        rr.log("map/classes", rr.SegmentationImage(classes, opacity=_OVERLAY_OPACITY))
        entropy = planes["predictive_entropy"].astype(np.float32)
        rr.log("entropy", rr.Image(pictures.draw_entropy(entropy, len(product.header["classes"]))))
        _log_number("map_entropy/mean", float(entropy.mean()))
        fix = place_fix(product)
        if isinstance(fix, Refusal):
            rr.log("map/fix", rr.Clear(recursive=True))
            return
        label = f"({fix.fix.x:.1f}, {fix.fix.y:.1f}) ± {fix.sigma_px:.1f} px"
        centre = [[fix.u + 0.5, fix.v + 0.5]]
        rr.log("map/fix/centroid", rr.Points2D(centre, radii=[1.0], colors=[_FIX_COLOR], labels=[label]))
        rr.log("map/fix/outline", rr.LineStrips2D([_circle(fix.u, fix.v, fix.radius)], colors=[_FIX_COLOR]))

    def _tell_classes(self, classes: list[dict[str, Any]]) -> None:
        """Say what the classes are called, and their colours, when they are others than before."""
        if classes == self._classes:
            return
        self._classes = classes
        entries = [(entry["index"], entry["name"], PALETTE[entry["index"] % len(PALETTE)]) for entry in classes]
        rr.log("map", rr.AnnotationContext([*entries, (len(classes), "uncertain", UNCERTAIN_COLOR)]))

    def _show_telemetry(self, parts: Sequence[bytes]) -> None:
        found = read_header("telemetry", parts)
        if found is None:
            self.malformed += 1
            return
        name, values = found
        if name == "event":
            rr.log(
                "log/events", rr.TextLog(f"{values['name']}: {values['message']}", level=_LEVELS[values["severity"]])
            )
            return
        _log_number("latency/median_of_100", values["latency_ms"]["total"]["p50"])
        if values["state"] != self._state:
            self._state = values["state"]
            rr.log("log/state", rr.TextLog(f"state: {self._state}", level="INFO"))


def _circle(u: float, v: float, radius: float) -> np.ndarray:
    """(N, 2) points of a circle; Rerun has the middle of a pixel at one half."""
    return np.stack([u + 0.5 + radius * np.cos(_ROUND), v + 0.5 + radius * np.sin(_ROUND)], axis=1)


# Rerun 0.23 and later need NumPy 2; 0.22, which NumPy 1 has to do with, names two things otherwise.


def _set_time(time_ns: int) -> None:
    if hasattr(rr, "set_time"):
        rr.set_time(_TIMELINE, timestamp=np.datetime64(time_ns, "ns"))
    else:
        rr.set_time_nanos(_TIMELINE, time_ns)


def _log_number(path: str, value: float) -> None:
    rr.log(path, rr.Scalars(value) if hasattr(rr, "Scalars") else rr.Scalar(value))
