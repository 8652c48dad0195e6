"""Small drawn folders in the layouts of published sets."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import cv2
import numpy as np

from ground_tools.labels.class_table import read_class_table
from ground_tools.labels.mask_colors import colors_from_mask
from ground_tools.missions.moon.importers import CLASSES as MOON_CLASSES
from ground_tools.missions.multitask.importers import CLASSES as AERIAL_CLASSES
from ground_tools.missions.spacecraft.importers import CLASSES as SPACECRAFT_CLASSES

MOON = read_class_table(MOON_CLASSES)


def lunar_mask(number: int, height: int = 32, width: int = 48) -> np.ndarray:
    """Sky above ground, with a small and a large rock; (H, W) uint8."""
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[: height // 4 + number % 3] = 3
    mask[height // 2 : height // 2 + 3, 4 + number : 8 + number] = 1
    mask[-10:-2, width // 2 : width // 2 + 9] = 2
    return mask


def lunar_image(mask: np.ndarray) -> np.ndarray:
    """What belongs to a mask, each class in its own colour; (H, W, 3) uint8."""
    image: np.ndarray = np.array([[120, 110, 100], [190, 180, 170], [230, 230, 225], [5, 5, 5]], np.uint8)[mask]
    return image


def write_color(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)


def write_lunar_landscapes(folder: Path, count: int = 10) -> Path:
    """images/render, images/ground with blurred edges, images/clean, and two photographs."""
    for number in range(1, count + 1):
        mask = lunar_mask(number)
        colors = colors_from_mask(mask, MOON)
        # Edges of half one and half the other colour, as an encoder or a resize leaves them.
        blurred = cv2.blur(colors, (2, 1))
        write_color(folder / "images" / "render" / f"render{number:04}.png", lunar_image(mask))
        write_color(folder / "images" / "ground" / f"ground{number:04}.png", blurred)
        clean = mask.copy()
        clean[clean == 1] = 0
        write_color(folder / "images" / "clean" / f"clean{number:04}.png", colors_from_mask(clean, MOON))
    for name in ("PCAM1", "TCAM2"):
        mask = lunar_mask(1)
        write_color(folder / "real_moon_images" / f"{name}.png", lunar_image(mask))
        write_color(folder / "real_moon_images" / f"g_{name}.png", colors_from_mask(mask, MOON))
    return folder


def write_change_frames(folder: Path) -> Path:
    """A COCO export with rocks of two sizes, a part of the lander, and two augmented copies of one frame."""
    rectangle = [[10, 40, 20, 40, 20, 50, 10, 50]]
    for split, copies in (("train", 2), ("valid", 1), ("test", 1)):
        frame = np.full((64, 64, 3), 100, dtype=np.uint8)
        frame[:16] = 0
        images, annotations = [], []
        for copy in range(copies):
            name = f"PCAM_{split}_png.rf.{copy}.png"
            write_color(folder / split / name, frame)
            images.append({"id": copy, "file_name": name, "extra": {"name": f"PCAM_{split}.png"}})
            for category, polygons in (
                (4, rectangle),
                (2, [[40, 40, 42, 40, 42, 42, 40, 42]]),
                (1, [[0, 56, 30, 56, 30, 63, 0, 63]]),
                (3, [[50, 50, 60, 50, 60, 60, 50, 60]]),
            ):
                entry = {"id": len(annotations), "image_id": copy, "category_id": category, "segmentation": polygons}
                annotations.append({**entry, "bbox": [0, 0, 1, 1]})
        names = ("objects", "artifact", "boulder", "crater", "rock", "rocky region", "rover path")
        categories = [{"id": index, "name": name} for index, name in enumerate(names)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / split / "_annotations.coco.json").write_text(json.dumps(content))
    return folder


def stem_of(number: int, camera: str = "NLA") -> str:
    return f"{camera}_{397681000 + number}EDR_F{number // 3:03}0000NCAM00{number:03}M1"


def mars_mask(number: int, side: int = 32) -> np.ndarray:
    """All four classes and pixels that nobody labelled; (H, W) uint8."""
    mask = np.full((side, side), 255, dtype=np.uint8)
    for index in range(4):
        mask[4 + number % 3 :, index * 8 : index * 8 + 7] = index
    return mask


def write_ai4mars(folder: Path, count: int = 12) -> Path:
    """msl/images/{edr,mxy,rng-30m}, msl/labels/{train,test/masked-gold-min3-100agree}."""
    root = folder / "msl"
    for number in range(count):
        stem, mask = stem_of(number, "NLA" if number % 2 else "NLB"), mars_mask(number)
        write_color(root / "images" / "edr" / f"{stem}.JPG", np.where(mask == 255, 200, mask * 40).astype(np.uint8))
        rover, far = np.zeros_like(mask), np.zeros_like(mask)
        rover[-4:], far[:8] = 1, 1
        write_color(root / "images" / "mxy" / f"{stem.replace('EDR', 'MXY')}.png", rover)
        write_color(root / "images" / "rng-30m" / f"{stem.replace('EDR', 'RNG')}.png", far)
        if number < 3:
            gold = root / "labels" / "test" / "masked-gold-min3-100agree"
            write_color(gold / f"{stem}_merged.png", mask)
        else:
            write_color(root / "labels" / "train" / f"{stem}.png", mask)
    return folder


def write_ai4mars_256(folder: Path) -> Path:
    """data/images_256, data/masks_256, processed/ with the published splits."""
    stems = [stem_of(number) for number in range(8)]
    for number, stem in enumerate(stems):
        mask = mars_mask(number)
        write_color(
            folder / "data" / "images_256" / f"{stem}.jpg", np.where(mask == 255, 9, mask * 40).astype(np.uint8)
        )
        ending = "_merged" if number == 7 else ""
        write_color(folder / "data" / "masks_256" / f"{stem}{ending}.png", mask)
    processed = folder / "processed"
    processed.mkdir()
    (processed / "split_indices_msl6k.pkl").write_bytes(
        pickle.dumps({"train_ids": stems[:5], "val_ids": stems[5:7], "seed": 42})
    )
    (processed / "manifest_msl_gold_test.csv").write_text(f"mission,id,split\nMSL,{stems[7]},test_gold\n")
    return folder


SPACECRAFT = read_class_table(SPACECRAFT_CLASSES)
AERIAL = read_class_table(AERIAL_CLASSES)


def craft_mask(number: int, height: int = 36, width: int = 64) -> np.ndarray:
    """Body, two panels and an antenna before nothing; (H, W) uint8."""
    mask = np.zeros((height, width), dtype=np.uint8)
    left = 20 + number % 6
    mask[12:24, left : left + 12] = 1
    mask[15:20, left - 14 : left] = mask[15:20, left + 12 : left + 26] = 2
    mask[7:12, left + 4 : left + 8] = 3
    return mask


def craft_image(mask: np.ndarray) -> np.ndarray:
    """What belongs to a mask, each part in its own colour; (H, W, 3) uint8."""
    image: np.ndarray = np.array([[4, 4, 8], [200, 190, 160], [40, 50, 120], [240, 240, 240]], np.uint8)[mask]
    return image


def craft_colors(mask: np.ndarray) -> np.ndarray:
    """A mask in the published colours, its edges half one and half the other."""
    blurred: np.ndarray = cv2.blur(colors_from_mask(mask, SPACECRAFT), (2, 1))
    return blurred


def write_spacecraft(folder: Path) -> Path:
    """images/{train,val}, mask/{train,val}, all_bbox.txt: one image without a mask, one that cannot be read."""
    boxes = {}
    for number in (*range(12), *range(1003, 1007)):
        split, mask = "val" if 8 <= number < 12 else "train", craft_mask(number)
        write_color(folder / "images" / split / f"img_resize_{number}.png", craft_image(mask))
        colors = craft_colors(mask)
        if number == 0:
            # A speck of colour far from the craft.
            colors[33:35, 60:62] = SPACECRAFT.colors[3]
        if number != 1006:
            write_color(folder / "mask" / split / f"mask_{number}.png", colors)
        rows, columns = np.nonzero(mask)
        boxes[number] = [int(columns.max()), int(rows.max()), int(columns.min()), int(rows.min())]
    (folder / "images" / "train" / "img_resize_3.png").write_bytes(b"damaged")
    # One that does not fit its mask.
    boxes[1] = [3, 3, 0, 0]
    (folder / "all_bbox.txt").write_text(repr(boxes))
    return folder


def write_mini_test(folder: Path, count: int = 4, height: int = 36, width: int = 64) -> Path:
    """images and masks of one name each, in mini_test."""
    for number in range(1001, 1001 + count):
        mask = craft_mask(number, height, width)
        write_color(folder / "mini_test" / "images" / f"{number}.png", craft_image(mask))
        write_color(folder / "mini_test" / "masks" / f"{number}.png", craft_colors(mask))
    return folder


def write_aerial(folder: Path) -> Path:
    """Tile 1 to Tile 8 with three pairs each, of sizes that are no multiple of anything."""
    for tile in range(1, 9):
        for number in range(1, 4):
            mask = np.zeros((40 + tile, 50), dtype=np.uint8)
            for of_class in range(5):
                mask[:, 10 * of_class : 10 * of_class + 9] = of_class
            mask[:4] = 255
            image = np.where(mask == 255, 90, mask * 50).astype(np.uint8)[..., None] + np.zeros(3, np.uint8)
            root = folder / "Semantic segmentation dataset" / f"Tile {tile}"
            write_color(root / "images" / f"image_part_{number:03}.jpg", image)
            write_color(root / "masks" / f"image_part_{number:03}.png", colors_from_mask(mask, AERIAL))
    return folder
