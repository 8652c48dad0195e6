"""Files as labelme 5, CVAT ("COCO 1.0") and Label Studio write them, field by field, made from shapes."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ground_tools.labelling.shapes import LABELS, Shape, area, bounds, outline


def labelme_shape(
    label: str, points: Sequence[Sequence[float]], kind: str = "polygon", mask: np.ndarray | None = None
) -> dict[str, Any]:
    """One shape; its mask is a PNG of the box about what is painted."""
    encoded = None
    if mask is not None:
        done, data = cv2.imencode(".png", mask.astype(np.uint8) * 255)
        assert done
        encoded = base64.b64encode(data.tobytes()).decode()
    return {
        "label": label,
        "points": [list(map(float, point)) for point in points],
        "group_id": None,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": encoded,
    }


def labelme_mask(label: str, painted: np.ndarray) -> dict[str, Any]:
    """A mask from painted pixels of the whole image."""
    rows, columns = np.nonzero(painted)
    x0, y0, x1, y1 = columns.min(), rows.min(), columns.max(), rows.max()
    return labelme_shape(label, [(x0, y0), (x1, y1)], "mask", painted[y0 : y1 + 1, x0 : x1 + 1])


def write_labelme(
    path: Path, image: str, size: tuple[int, int], shapes: list[dict[str, Any]], image_data: bytes | None = None
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": image,
        "imageData": None if image_data is None else base64.b64encode(image_data).decode(),
        "imageHeight": size[1],
        "imageWidth": size[0],
    }
    path.write_text(json.dumps(data, ensure_ascii=False, indent=2), encoding="utf-8")
    return path


def plain_run_lengths(pixels: np.ndarray) -> list[int]:
    """Lengths of runs down the columns, the first of pixels that are off."""
    flat = pixels.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs


def cvat_annotation(number: int, image: int, category: int, drawn: Shape | np.ndarray) -> dict[str, Any]:
    """A polygon, or a mask as run lengths with iscrowd 1; a rectangle has no segmentation."""
    if isinstance(drawn, np.ndarray):
        rows, columns = np.nonzero(drawn)
        box = [columns.min(), rows.min(), np.ptp(columns), np.ptp(rows)]
        segmentation: Any = {"counts": plain_run_lengths(drawn), "size": list(drawn.shape)}
        pixels, crowd = float(drawn.sum()), 1
    else:
        x0, y0, x1, y1 = bounds([drawn])
        box = [round(v, 2) for v in (x0, y0, x1 - x0, y1 - y0)]
        flat = [round(v, 2) for v in outline(drawn).ravel().tolist()]
        segmentation, pixels, crowd = [] if drawn.kind == "rectangle" else [flat], area(drawn), 0
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "area": pixels,
        "bbox": list(map(float, box)),
        "iscrowd": crowd,
        "attributes": {"occluded": False, **({} if crowd else {"rotation": 0.0})},
    }


def cvat_coco(
    images: Sequence[tuple[str, int, int]],
    drawn: Sequence[tuple[int, str, Shape | np.ndarray]],
    categories: Sequence[str] = LABELS,
) -> dict[str, Any]:
    """images: name, width, height. drawn: number of the image from 1, category, shape or painted pixels."""
    return {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""},
        "categories": [
            {"id": number, "name": name, "supercategory": ""} for number, name in enumerate(categories, start=1)
        ],
        "images": [
            {
                "id": number,
                "width": width,
                "height": height,
                "file_name": name,
                "license": 0,
                "flickr_url": "",
                "coco_url": "",
                "date_captured": 0,
            }
            for number, (name, width, height) in enumerate(images, start=1)
        ],
        "annotations": [
            cvat_annotation(number, image, list(categories).index(category) + 1, what)
            for number, (image, category, what) in enumerate(drawn, start=1)
        ],
    }


def label_studio_coco(
    images: Sequence[tuple[str, int, int]], drawn: Sequence[tuple[int, Shape]], categories: Sequence[str] = LABELS
) -> dict[str, Any]:
    """images: name, width, height. drawn: number of the image from 0, and its shape. Points come from per cents."""
    annotations = []
    for number, (image, shape) in enumerate(drawn):
        size = np.array(images[image][1:])
        points = outline(shape) / size * 100.0 / 100.0 * size
        x0, y0, x1, y1 = bounds([shape])
        annotations.append(
            {
                "id": number,
                "image_id": image,
                "category_id": list(categories).index(shape.label) if shape.label in categories else 0,
                "segmentation": [points.ravel().tolist()],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "ignore": 0,
                "iscrowd": 0,
                "area": area(shape),
            }
        )
    return {
        "images": [
            {"width": width, "height": height, "id": number, "file_name": name}
            for number, (name, width, height) in enumerate(images)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(categories)],
        "annotations": annotations,
        "info": {
            "year": 2025,
            "version": "1.0",
            "description": "",
            "contributor": "Label Studio",
            "url": "",
            "date_created": "2025-06-02 11:04:37.102933",
        },
    }
