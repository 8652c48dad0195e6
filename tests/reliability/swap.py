"""Campaign: other bundles in the place of the serving one, and the worker lost each time."""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flight.bundle import load_bundle
from tests.flight.service_process import running_service
from tests.reliability.common import OfflineAnswers, product_digest
from tests.tiny_bundle import body_frame, write_tiny_bundle

_FRAME = body_frame(40, 60, 14)


def run(folder: Path, bundle: Path, swaps: int) -> dict[str, Any]:
    """Swap so many times, in turn: the link and the factory folder, and the service's own copy of it.

    The other bundles are whole: of the same modes with other networks, and of another mode.
    """
    others = [
        write_tiny_bundle(folder / "other" / "same", networks=("Second", "First")),
        write_tiny_bundle(folder / "other" / "mode", networks=("Only",)),
    ]
    given, link = Path(shutil.copytree(bundle, folder / "given")), folder / "link"
    link.symlink_to(given)
    sha256 = load_bundle(bundle).sha256
    own = folder / "state" / "bundles" / sha256
    settings = f'[storage]\nstate = "{folder}/state"\n[worker]\nrestart_limit = 100000\n'
    settings += "[parameters]\nentropy_factor = 100\n"
    answers = OfflineAnswers(bundle, entropy_factor=100.0)
    generator = random.Random(3)
    counts = {"swaps": swaps, "swaps_answered": 0, "swap_wrong_maps": 0}
    with (
        running_service(folder, link, settings) as service,
        service.camera(source="swap") as camera,
        service.subscriber("map.navigation") as products,
    ):
        for number in tqdm(range(swaps), desc="swaps", unit="swap"):
            status = service.wait_for(lambda status: status["state"] == "ready")
            other = generator.choice(others)
            if number % 3 == 0:
                _put_link(link, other)
            else:
                _put_folder(given if number % 3 == 1 else own, other)
            os.kill(status["worker_pid"], signal.SIGKILL)
            camera.send(_FRAME, centered=True, timeout_s=10)
            product = products.receive(30)
            if product is not None and product.status != "invalid":
                counts["swaps_answered"] += 1
                right = answers.digest(_FRAME, product.header["seed"], product.topic)
                named = product.header["bundle"]["sha256"] == sha256
                counts["swap_wrong_maps"] += not named or product_digest(product) != right
            _put_folder(given, bundle)
            _put_link(link, given)
    return counts


def _put_link(link: Path, folder: Path) -> None:
    link.with_name("next").symlink_to(folder)
    link.with_name("next").rename(link)


def _put_folder(place: Path, bundle: Path) -> None:
    shutil.rmtree(place)
    shutil.copytree(bundle, place)
