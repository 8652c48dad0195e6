"""The consumer: one line per product, and pictures of what was seen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from flight.client import Subscriber, pictures
from flight.icd.limits import TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.icd.products import Product
from hil.sources.folder import FrameSource

_GIF_WIDTH = 1000
_GIF_FRAME_MS = 250


@dataclass
class Watched:
    """What was seen so far. statuses: count per status. pictures: written, in order."""

    products: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    passes: list[tuple[int, int]] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)


def line(product: Product, latency_ms: float) -> str:
    """One product in one line: frame, status, classes present, mean entropy, passes, latency."""
    header = product.header
    text = f"{product.topic:14} frame {header['frame_id']:>4}  {product.status:8}"
    if product.planes:
        shown = product.planes["enhanced_class_map"]
        names = [c["name"] for c in header["classes"]] + ["uncertain"]
        present = " ".join(f"{name} {np.mean(shown == i):.0%}" for i, name in enumerate(names) if (shown == i).any())
        entropy = float(product.planes["predictive_entropy"].astype(np.float32).mean())
        text += f"  {present}  entropy {entropy:.3f} nat  passes {header['passes_used']}/{header['passes_requested']}"
    if header["flags"]:
        text += f"  [{', '.join(header['flags'])}]"
    return f"{text}  {latency_ms:.0f} ms"


def watch(
    subscriber: Subscriber,
    *,
    save: Path | None,
    source: FrameSource | None,
    count: int | None,
    until_idle_s: float | None,
    watched: Watched,
    say: Callable[[str], None] = print,
) -> None:
    """Print every product until `count` came or none came for `until_idle_s` seconds.

    save: folder for pictures; a picture is drawn when both the navigation and the hazard product of a frame
    are there. source: where to find the frames, for the first panel of the pictures. watched: is filled in, so that
    it can be used after an interruption, too.
    """
    halves: dict[tuple[str, int, int], dict[str, Product]] = {}
    while count is None or watched.products < count:
        product = subscriber.receive(until_idle_s)
        if product is None:
            break
        latency_ms = (time.time_ns() - product.header["capture_time_ns"]) / 1e6
        say(line(product, latency_ms))
        watched.products += 1
        watched.statuses[product.status] = watched.statuses.get(product.status, 0) + 1
        if product.topic == TOPIC_NAVIGATION:
            watched.latencies_ms.append(latency_ms)
            watched.passes.append((product.header["passes_used"], product.header["passes_requested"]))
        if save is None or not product.planes:
            continue
        both = halves.setdefault(product.frame_key, {})
        both[product.topic] = product
        if TOPIC_NAVIGATION in both and TOPIC_HAZARD in both:
            del halves[product.frame_key]
            path = save / f"frame_{product.header['frame_id']:05d}.png"
            pictures.save_png(path, picture(both[TOPIC_NAVIGATION], both[TOPIC_HAZARD], source))
            watched.pictures.append(path)
        # A frame whose other half was lost must not be kept for ever.
        for key in list(halves)[:-8]:
            del halves[key]


def picture(navigation: Product, hazard: Product, source: FrameSource | None) -> pictures.Picture:
    """Frame, class map, uncertainty and hazard of one frame side by side."""
    header = navigation.header
    names = [c["name"] for c in header["classes"]]
    height, width = navigation.planes["class_map"].shape
    panels = []
    if source is not None:
        frame = source.frame(header["frame_id"])
        depth = 8 * frame.dtype.itemsize
        panels.append(("frame", pictures.resample_frame(frame, depth, header["map_to_sensor"], height, width)))
    panels += [
        ("class map", pictures.draw_class_map(navigation.planes["enhanced_class_map"], classes=len(names))),
        (
            f"entropy, 0..{math.log(len(names)):.2f} nat",
            pictures.draw_entropy(navigation.planes["predictive_entropy"], len(names)),
        ),
        ("hazard probability", pictures.draw_hazard(hazard.planes["hazard_probability"])),
    ]
    caption = (
        f"{header['source']} frame {header['frame_id']}   {navigation.status}   "
        f"{header['passes_used']} passes   {header['bundle']['name']} {header['bundle']['version']}"
    )
    return pictures.join_panels(panels, pictures.make_legend(names), caption)


def animate(files: list[Path], path: Path) -> None:
    """Join pictures to one animated GIF."""
    frames = []
    for file in files:
        with Image.open(file) as image:
            scale = min(_GIF_WIDTH / image.width, 1.0)
            size = (round(image.width * scale), round(image.height * scale))
            frames.append(
                image.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(96, dither=Image.Dither.NONE)
            )
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=_GIF_FRAME_MS, loop=0, optimize=True)
