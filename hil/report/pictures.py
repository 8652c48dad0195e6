"""Pictures of single frames of a run: what the camera gave, the truth, and what came back."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from flight.client import pictures
from hil.runs.feed import Feed
from hil.runs.observer import Picture
from hil.runs.record import RunRecord

_SIDE = 190
_JPEG_QUALITY = 85


def draw_frame(picture: Picture, feed: Feed, record: RunRecord) -> pictures.Picture:
    """Frame, truth, class map and entropy side by side.

    Args:
        picture: planes of the frame.
        feed: makes the frame again.
        record: of the run, with the names of classes.
    """
    frame = feed.shoot(picture.index).frame
    height, width = picture.class_map.shape
    classes = len(record.classes)
    grey = pictures.resample_frame(frame.pixels, frame.bit_depth, picture.affine, height, width)
    panels = [("frame", grey)]
    if frame.truth is not None:
        a, b, c, d, e, f = picture.affine
        matrix = np.array([[a, b, c], [d, e, f]], dtype=np.float64)
        truth = cv2.warpAffine(
            frame.truth, matrix, (width, height), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, borderValue=(classes,)
        )
        seen = picture.class_map < classes
        panels.append(("truth", pictures.draw_class_map(np.asarray(truth, dtype=np.uint8), classes=classes, seen=seen)))
    panels += [
        ("class map", pictures.draw_class_map(picture.class_map, classes=classes, seen=picture.class_map < classes)),
        ("entropy", pictures.draw_entropy(picture.entropy, classes)),
    ]
    seconds = next((frame.time_s for frame in record.frames if frame.index == picture.index), 0.0)
    caption = f"frame {picture.index}, {seconds:g} s"
    return pictures.join_panels(panels, pictures.make_legend(record.classes), caption, side=_SIDE)


def embed(picture: pictures.Picture) -> str:
    """A picture as the address of an HTML image."""
    done, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(picture[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    if not done:
        raise ValueError("JPEG encoding failed")
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"
