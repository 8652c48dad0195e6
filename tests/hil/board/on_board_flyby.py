"""Runs on the board: sends frames of the flyby to the service, one after the other, and prints what comes back.

Arguments: folder with frames and masks, epoch, first frame, number of frames, and the frame at which the worker is
killed (-1 for none). One line of JSON each: {"sent": N}, and the answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flight.client import Commander, FrameSender, Subscriber
from flight.icd.limits import DEFAULT_ENDPOINTS, TOPIC_NAVIGATION

TIMEOUT_S = 600.0


def read(path: Path) -> np.ndarray:
    """An 8-bit image of one channel."""
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.uint8)


def describe(number: int, product: Any, mask: np.ndarray, seconds: float) -> dict[str, Any]:
    """What a product says of a frame, beside the truth."""
    told: dict[str, Any] = {"frame": number, "status": "none" if product is None else product.status}
    if product is None:
        return told
    told |= {"flags": product.header["flags"], "seconds": round(seconds, 2)}
    if product.planes:
        classes = product.planes["class_map"]
        planes = b"".join(product.planes[name].tobytes() for name in sorted(product.planes))
        told["sha256"] = hashlib.sha256(planes).hexdigest()
        if classes.shape == mask.shape:
            told["as_truth"] = round(float(np.mean(classes == mask)), 4)
    return told


def main() -> None:
    """Send the frames."""
    folder, epoch, first, count, kill_at = sys.argv[1:]
    names = sorted(path.name for path in Path(folder, "frames").glob("*.png"))
    with (
        Subscriber(DEFAULT_ENDPOINTS["products"], [TOPIC_NAVIGATION]) as subscriber,
        FrameSender(DEFAULT_ENDPOINTS["frames"], "flyby", epoch=int(epoch)) as sender,
        Commander(DEFAULT_ENDPOINTS["commands"], 120.0) as commander,
    ):
        time.sleep(1.0)  # a subscription takes a moment to reach the publisher
        for number in range(int(first), int(first) + int(count)):
            frame, mask = (read(Path(folder, kind, names[number])) for kind in ("frames", "masks"))
            began = time.monotonic()
            sender.next_frame_id = number
            sender.send(frame, centered=True, timeout_s=TIMEOUT_S)
            print(json.dumps({"sent": number}), flush=True)
            if number == int(kill_at):
                time.sleep(0.5)
                os.kill(commander.send("get_status")["worker_pid"], signal.SIGKILL)
            product = subscriber.receive(TIMEOUT_S)
            while product is not None and product.frame_key != ("flyby", int(epoch), number):
                product = subscriber.receive(TIMEOUT_S)
            print(json.dumps(describe(number, product, mask, time.monotonic() - began)), flush=True)


main()
