"""Sent to the board, with a call of `main` after it: one frame through the running service, what came back as JSON.

Arguments: configuration, bundle, seconds to wait, and the client's keys if the service has keys.
"""

import json
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flight.client import FrameSender, Subscriber
from flight.icd.limits import DEFAULT_ENDPOINTS, TOPIC_NAVIGATION
from flight.icd.products import Product

RESEND_S = 10.0


def main() -> None:
    """Send frames, the next one if none was answered for a while, until a product comes."""
    print(json.dumps(next(exchange_frames())))


def measure(count: int) -> None:
    """Send so many frames one after another, each once the one before was answered, and print what came back."""
    exchanged = exchange_frames()
    print(json.dumps([next(exchanged) for _ in range(count)]))


def exchange_frames() -> Iterator[dict[str, Any]]:
    """Yield what came back for a frame, and how long it took, frame after frame."""
    configuration, bundle, timeout_s, *keys = sys.argv[1:]
    chosen = tomllib.loads(Path(configuration).read_text(encoding="utf-8")).get("endpoints", {})
    endpoints = {**DEFAULT_ENDPOINTS, **chosen}
    for name, endpoint in endpoints.items():
        for everywhere in ("*", "0.0.0.0", "[::]"):
            endpoint = endpoint.replace(f"//{everywhere}:", "//127.0.0.1:")
        endpoints[name] = endpoint
    folder = Path(keys[0]) if keys else None
    manifest = json.loads(Path(bundle, "manifest.json").read_text(encoding="utf-8"))
    image = Path(bundle, manifest["self_test"]["image"])
    pixels = np.asarray(cv2.imread(str(image), cv2.IMREAD_UNCHANGED), np.uint8)
    if pixels.ndim == 3:
        pixels = np.ascontiguousarray(pixels[..., ::-1])
    with (
        Subscriber(endpoints["products"], [TOPIC_NAVIGATION], keys=folder) as subscriber,
        FrameSender(endpoints["frames"], "deploy", epoch=int(time.time()), keys=folder) as sender,
    ):
        time.sleep(0.5)  # a subscription takes a moment to reach the publisher
        resend_s = RESEND_S
        while True:
            yield exchange_frame(subscriber, sender, pixels, float(timeout_s), resend_s)
            resend_s = float(timeout_s)  # only the first one can be lost, while the sockets are being connected


def exchange_frame(
    subscriber: Subscriber, sender: FrameSender, pixels: np.ndarray, timeout_s: float, resend_s: float
) -> dict[str, Any]:
    """Send a frame, and another if none was answered for a while; end the program if no map comes within the time."""
    deadline, sent = time.monotonic() + timeout_s, dict[int, float]()
    while time.monotonic() < deadline:
        began = time.monotonic()
        sent[sender.send(pixels, centered=True)] = began
        product = receive_own(subscriber, resend_s)
        if product is None:
            continue
        if product.status == "invalid":
            sys.exit(f"health test: expected a map, got an invalid product: {', '.join(product.header['flags'])}")
        seconds = time.monotonic() - sent.get(product.frame_key[2], began)
        answer = {"status": product.status, "flags": product.header["flags"], "seconds": round(seconds, 4)}
        # Further frames of a slow board are answered first, so that the next one finds it idle.
        while product is not None and product.frame_key[2] < max(sent):
            product = receive_own(subscriber, timeout_s)
        return answer
    sys.exit(f"health test: expected a product within {timeout_s:g} s, got none")


def receive_own(subscriber: Subscriber, timeout_s: float) -> Product | None:
    """The next product of our frames; None if none comes for a while."""
    product = subscriber.receive(timeout_s)
    while product is not None and product.frame_key[0] != "deploy":
        product = subscriber.receive(timeout_s)
    return product
