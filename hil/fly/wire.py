"""Frames to the service and products back, on the clock of a flight."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.client import Subscriber
from flight.icd.products import Product
from hil.runs.target import Target

SOURCE = "hil-fly"
# A camera does not wait for a service that is gone.
_SEND_TIMEOUT_S = 0.5
_SUBSCRIPTION_S = 0.3


class Wire:
    """The camera and the consumer of one flight. A context manager.

    Args:
        target: the service.
        topic: of the products that are wanted.
    """

    def __init__(self, target: Target, topic: str) -> None:
        self._camera = target.camera(SOURCE)
        self._consumer = Subscriber(
            target.endpoints["products"], [topic], newest=False, queue=1000, keys=target.keys.get("consumer")
        )
        time.sleep(_SUBSCRIPTION_S)
        self._zero_ns = time.time_ns()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exception: object) -> None:
        self._camera.close()
        self._consumer.close()

    def send(self, pixels: NDArray[Any], bit_depth: int, index: int, time_s: float, exposure_s: float) -> bool:
        """Send a frame.

        Args:
            pixels: (H, W).
            bit_depth: bits in use.
            index: of the exposure.
            time_s: of the exposure, flight time.
            exposure_s: how long it was.

        Returns:
            Whether the service took it.
        """
        self._camera.next_frame_id = index
        try:
            self._camera.send(
                pixels,
                bit_depth=bit_depth,
                capture_time_ns=self._zero_ns + int(np.rint(1e9 * time_s)),
                timeout_s=_SEND_TIMEOUT_S,
                exposure_s=exposure_s,
            )
        except TimeoutError:
            return False
        return True

    def receive(self, wait_s: float) -> tuple[int, Product] | None:
        """The next product of this flight: the exposure's number, and the product; None if none came in time."""
        deadline = time.monotonic() + wait_s
        while True:
            product = self._consumer.receive(max(deadline - time.monotonic(), 0.0))
            if product is None:
                return None
            header = product.header
            if header["source"] == SOURCE and header["epoch"] == self._camera.epoch:
                return int(header["frame_id"]), product
