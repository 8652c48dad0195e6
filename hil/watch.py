"""The consumer of the kit: prints one line per product, and draws pictures of the maps."""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from flight.client import Subscriber, pictures
from flight.client.images import ImageError
from flight.files import write_whole
from flight.icd.limits import TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.icd.products import Product
from flight.schema import format_text
from hil.sources.folder import FrameSource

_GIF_WIDTH = 1000
_GIF_FRAME_MS = 250


@dataclass
class WatchLog:
    """What a consumer has received.

    Attributes:
        products: number of products.
        statuses: number of products by status.
        passes: (used, requested) of each navigation product.
        latencies_ms: from capture to reception, of each navigation product.
        pictures: files written, in order.
    """

    products: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    passes: list[tuple[int, int]] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)


def format_product(product: Product, latency_ms: float) -> str:
    """One line about a product: frame, status, share of each class present, mean entropy, passes, flags, latency."""
    header = product.header
    text = f"{product.topic:14} frame {header['frame_id']:>4}  {product.status:8}"
    if product.planes:
        class_map = product.planes["enhanced_class_map"]
        names = [format_text(c["name"]) for c in header["classes"]] + ["uncertain"]
        present = " ".join(f"{name} {np.mean(class_map == i):.0%}" for i, name in enumerate(names) if i in class_map)
        entropy = float(product.planes["predictive_entropy"].astype(np.float32).mean())
        text += f"  {present}  entropy {entropy:.3f} nat  passes {header['passes_used']}/{header['passes_requested']}"
    if header["flags"]:
        text += f"  [{', '.join(map(format_text, header['flags']))}]"
    return f"{text}  {latency_ms:.0f} ms"


def watch(
    subscriber: Subscriber,
    *,
    save: Path | None,
    source: FrameSource | None,
    count: int | None,
    until_idle_s: float | None,
    log: WatchLog,
    write_line: Callable[[str], None] = print,
) -> None:
    """Receive products and write a line about each.

    Args:
        subscriber: connected to the service.
        save: folder for pictures, one per frame of which both the navigation and the hazard product came; or None.
        source: of the frames, for the first panel of the pictures; or None.
        count: stop after so many products; None for no limit.
        until_idle_s: stop when no product came for so many seconds; None for no limit.
        log: is updated, so that it is of use after an interruption, too.
        write_line: prints a line.
    """
    incomplete: dict[tuple[str, int, int], dict[str, Product]] = {}
    while count is None or log.products < count:
        product = subscriber.receive(until_idle_s)
        if product is None:
            break
        latency_ms = (time.time_ns() - product.header["capture_time_ns"]) / 1e6
        write_line(format_product(product, latency_ms))
        log.products += 1
        log.statuses[product.status] = log.statuses.get(product.status, 0) + 1
        if product.topic == TOPIC_NAVIGATION:
            log.latencies_ms.append(latency_ms)
            log.passes.append((product.header["passes_used"], product.header["passes_requested"]))
        if save is None or not product.planes:
            continue
        products = incomplete.setdefault(product.frame_key, {})
        products[product.topic] = product
        if TOPIC_NAVIGATION in products and TOPIC_HAZARD in products:
            del incomplete[product.frame_key]
            path = save / f"frame_{product.header['frame_id']:05d}.png"
            pictures.save_png(path, draw_frame(products[TOPIC_NAVIGATION], products[TOPIC_HAZARD], source))
            log.pictures.append(path)
        # The other product of a frame may be lost: keep the last few frames only.
        for key in list(incomplete)[:-8]:
            del incomplete[key]


def draw_frame(navigation: Product, hazard: Product, source: FrameSource | None) -> pictures.Picture:
    """Draw the maps of one frame side by side.

    Args:
        navigation: product of map.navigation.
        hazard: product of map.hazard, of the same frame.
        source: of the frame, for a first panel with the frame itself; or None.

    Returns:
        (H, W, 3) uint8: frame, class map, the same with uncertain pixels marked, entropy and hazard.
    """
    header = navigation.header
    names = [c["name"] for c in header["classes"]]
    classes, enhanced = (navigation.planes[name] for name in ("class_map", "enhanced_class_map"))
    seen = classes < len(names)
    height, width = seen.shape
    panels = []
    if source is not None:
        with contextlib.suppress(ImageError):  # its file may be gone since it was sent
            image = source.image(header["frame_id"])
            frame = pictures.resample_frame(image.pixels, image.bit_depth, header["map_to_sensor"], height, width)
            panels.append(("frame", frame))
    panels += [
        ("class map", pictures.draw_class_map(classes, classes=len(names), seen=seen)),
        ("with uncertain pixels", pictures.draw_class_map(enhanced, classes=len(names), seen=seen)),
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


def write_gif(files: list[Path], path: Path) -> None:
    """Write pictures as an animated GIF.

    Args:
        files: PNG files, at least one, in order.
        path: of the GIF.
    """
    frames = []
    for file in files:
        with Image.open(file) as image:
            scale = min(_GIF_WIDTH / image.width, 1.0)
            size = (round(image.width * scale), round(image.height * scale))
            frames.append(
                image.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(96, dither=Image.Dither.NONE)
            )
    data = io.BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:], duration=_GIF_FRAME_MS, loop=0, optimize=True)
    write_whole(path, data.getvalue())
