"""Sent to the board, with a call of `main` after it: one frame through the running service, what came back as JSON.

Arguments: configuration, bundle, seconds to wait, and the client's keys if the service has keys.
"""

import json
import sys
import time
import tomllib
from pathlib import Path

import cv2
import numpy as np

from flight.client import FrameSender, Subscriber
from flight.icd.limits import DEFAULT_ENDPOINTS, TOPIC_NAVIGATION

RESEND_S = 10.0


def main() -> None:
    """Send frames, the next one if none was answered for a while, until a product comes."""
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
    deadline = time.monotonic() + float(timeout_s)
    sent: dict[int, float] = {}
    with (
        Subscriber(endpoints["products"], [TOPIC_NAVIGATION], keys=folder) as subscriber,
        FrameSender(endpoints["frames"], "deploy", epoch=int(time.time()), keys=folder) as sender,
    ):
        time.sleep(0.5)  # a subscription takes a moment to reach the publisher
        while time.monotonic() < deadline:
            began = time.monotonic()
            sent[sender.send(pixels, centered=True)] = began
            product = subscriber.receive(RESEND_S)
            while product is not None and product.frame_key[0] != "deploy":
                product = subscriber.receive(RESEND_S)
            if product is not None:
                if product.status == "invalid":
                    sys.exit(
                        f"health test: expected a map, got an invalid product: {', '.join(product.header['flags'])}"
                    )
                # Of the frame that is answered, which may not be the last one.
                seconds = time.monotonic() - sent.get(product.frame_key[2], began)
                print(
                    json.dumps(
                        {"status": product.status, "flags": product.header["flags"], "seconds": round(seconds, 2)}
                    )
                )
                return
    sys.exit(f"health test: expected a product within {timeout_s} s, got none")
