"""Pictures as files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ground_tools.foundation.files import write_whole

_JPEG_QUALITY = 80


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture, (H, W, 3) uint8 red green blue, as JPEG."""
    done, data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise ValueError(f"{path}: JPEG encoding failed")
    write_whole(path, data.tobytes())
