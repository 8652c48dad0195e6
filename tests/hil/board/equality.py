"""The same frames, bundle and seed on the board's processor and on this computer's: how equal the maps are."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.hil.board.campaign import HERE, PYTHON, ROOT, Campaign

BUNDLES = ("unet_s", "unet_h")
# A board that is emulated takes seconds for a frame of one network, and twice as long for the fusion of two.
_TIMEOUT_S = 3600.0


def equality(campaign: Campaign) -> dict[str, Any]:
    """Compare the maps of the shipped bundles: of the flyby's frames, and of real ones where a folder has them."""
    campaign.serve(campaign.tiny)
    # The service would take its share of the only processor.
    campaign.shell("sudo systemctl stop rubblemap-flight")
    sets = {"flyby": sorted((ROOT / "hil/flyby/frames").glob("*.png"))}
    if campaign.extent.real is None:
        print("equality: no folder of real frames was given (--real): the flyby's alone are compared", flush=True)
    else:
        sets["real"] = sorted(path for path in campaign.extent.real.rglob("*") if path.suffix in (".png", ".jpg"))
    compared, environments = {}, []
    for bundle in BUNDLES:
        campaign.send(HERE / "on_board_maps.py", ROOT / "models" / bundle)
        for name, paths in sets.items():
            count = min(campaign.extent.frames, len(paths))
            frames = campaign.work / f"frames_{name}"
            shutil.rmtree(frames, ignore_errors=True)
            frames.mkdir()
            for number, path in enumerate(paths[:: max(1, len(paths) // count)][:count]):
                # Decoded here, once: other versions of a library may decode a JPEG otherwise.
                pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
                cv2.imwrite(str(frames / f"{number:03d}.png"), pixels)
            there, here = _segment(campaign, bundle, frames, count)
            compared[f"{bundle}, {name}"] = found = compare(there, here)
            environments = [str(there["environment"]), str(here["environment"])]
            print(f"equality: {bundle}, {name}: {found}", flush=True)
    campaign.shell("sudo systemctl start rubblemap-flight", timeout_s=_TIMEOUT_S)
    return {
        # The least equal of them.
        "class_agreement": min(found["class_agreement"] for found in compared.values()),
        "entropy_difference_nat": max((found["entropy_difference_nat"] for found in compared.values()), key=abs),
        "equality": compared,
        "equality_engine": "closed form",
        "equality_environments": environments,
    }


def _segment(
    campaign: Campaign, bundle: str, frames: Path, count: int
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """The maps of the frames, by the board and by this computer."""
    campaign.send(frames)
    arguments = [bundle, frames.name, str(count), "auto", "maps.npz"]
    campaign.shell(f"{PYTHON} on_board_maps.py {shlex.join(arguments)}", timeout_s=_TIMEOUT_S)
    there, here = (campaign.work / f"maps_{bundle}_{frames.name}_{side}.npz" for side in ("there", "here"))
    there.write_bytes(campaign.machine.ssh(["cat maps.npz && rm maps.npz"]).stdout)
    local = [str(ROOT / "models" / bundle), str(frames), str(count), "auto", str(here)]
    subprocess.run([sys.executable, str(HERE / "on_board_maps.py"), *local], check=True, cwd=ROOT)
    return _read(there), _read(here)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path) as file:
        return dict(file)


def compare(there: dict[str, NDArray[Any]], here: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """How equal maps are.

    Args:
        there: class_map (N, H, W) u8, entropy (N, H, W) nat, seconds (N,), of the board.
        here: the same of this computer.

    Returns:
        Shares of equal classes, and differences of the mean entropy, board less computer, nat.
    """
    same = there["class_map"] == here["class_map"]
    body: NDArray[np.bool_] = (there["class_map"] > 0) | (here["class_map"] > 0)
    difference = (there["entropy"].astype(np.float64) - here["entropy"]).mean((1, 2))
    return {
        "frames": len(same),
        "class_agreement": round(float(same.mean()), 5),
        "class_agreement_worst_frame": round(float(same.mean((1, 2)).min()), 5),
        "class_agreement_of_the_body": round(float(same[body].mean()) if body.any() else 1.0, 5),
        "entropy_difference_nat": round(float(difference.mean()), 5),
        "entropy_difference_worst_frame_nat": round(float(np.abs(difference).max()), 5),
        "seconds_per_frame_emulated": round(float(np.median(there["seconds"])), 2),
    }
