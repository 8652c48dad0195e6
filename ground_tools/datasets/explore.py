"""A set at a glance, as one HTML page: samples with masks and channels, class balance, where classes lie, sizes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from ground_tools.datasets.charts import CHARTS
from ground_tools.datasets.statistics import describe
from ground_tools.datasets.store import SPLITS, LoadedSet, load, read_description
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.progress import progress
from ground_tools.foundation.sampling import even_share
from ground_tools.labels.class_table import IGNORED, ClassTable, table_of
from ground_tools.labels.mask_colors import colors_from_mask
from ground_tools.pages.blocks import Block, Heading, Picture, Table, Text, percent
from ground_tools.pages.charts import SMALL_FONT, in_style, new_figure, plot_color, write_chart
from ground_tools.pages.html_page import html_page
from ground_tools.pages.pictures import write_picture

# Regions smaller than this are grains of a mask, pixels.
_LEAST_REGION = 4
# Of their sides.
_TICKS = (2, 5, 10, 20, 50, 100, 200, 500, 1000)
_GAP = 6
_CHANNELS = ("red", "green", "blue")
_PAPER = 245


def explore(path: Path, out: Path, count: int, seed: int) -> None:
    """Write the page of a set.

    Args:
        path: of a finished set, folder or packed file.
        out: the HTML file.
        count: samples to show, an even share of each domain.
        seed: of the choice of samples.

    Raises:
        ValueError: the set is not finished.
    """
    description, loaded = read_description(path), load(path)
    table = table_of(description)
    masks_alone = not description.get("publish_images", True)
    order = np.random.default_rng(seed).permutation(len(loaded))
    chosen = order[even_share(loaded.bodies[order], count)]
    with tempfile.TemporaryDirectory(prefix="rubblemap_explore_") as scratch:
        images = Path(scratch)
        pictures = []
        for number in progress(chosen, unit="sample", label=f"{description['name']}: samples", keep=False):
            name = f"sample_{number}.jpg"
            write_picture(images / name, draw_sample(loaded, int(number), table, masks_alone))
            pictures.append(
                Picture(name, f"`{loaded.bodies[number]}` {loaded.splits[number]} {loaded.indices[number]}")
            )
        for name in ("classes", "occurrence"):
            write_chart(images / f"{name}.png", CHARTS[name](path), all_colors=name == "occurrence")
        write_chart(images / "regions.png", region_sizes(loaded.masks, table))
        content = _blocks(path, loaded, table, pictures, masks_alone)
        write_whole(out, html_page(content, f"{description['name']}: what is in it", images).encode())


def draw_sample(loaded: LoadedSet, number: int, table: ClassTable, mask_alone: bool) -> np.ndarray:
    """One sample as a row: image, its channels where it has colours, mask, mask over the image.

    Args:
        loaded: the set.
        number: of the sample in it.
        table: the classes.
        mask_alone: no image, where images may not be passed on.

    Returns:
        (H, W, 3) uint8, red, green, blue.
    """
    image, mask = loaded.images[number], loaded.masks[number]
    colors = colors_from_mask(mask, table)
    if mask_alone:
        return colors
    shown = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    panels = [shown]
    if image.ndim == 3:
        panels += [cv2.cvtColor(np.ascontiguousarray(image[..., c]), cv2.COLOR_GRAY2RGB) for c in range(3)]
    labelled = (mask != IGNORED)[..., None]
    over = np.where(labelled, shown // 2 + colors // 2, shown // 3).astype(np.uint8)
    panels += [colors, over]
    gap = np.full((mask.shape[0], _GAP, 3), _PAPER, dtype=np.uint8)
    return np.hstack([part for panel in panels for part in (panel, gap)][:-1])


@in_style
def region_sizes(masks: np.ndarray, table: ClassTable) -> Figure:
    """Histograms of the sizes of each class's connected regions, as the side of a square of the same area."""
    figure, axes = new_figure(len(table), width=2.4, height=2.4)
    for axis, name, color, index in zip(axes[0], table.names, table.colors, range(len(table)), strict=True):
        sides: list[float] = []
        for mask in masks:
            _, _, found, _ = cv2.connectedComponentsWithStats((mask == index).astype(np.uint8), connectivity=8)
            areas = found[1:, cv2.CC_STAT_AREA]
            sides += np.sqrt(areas[areas >= _LEAST_REGION]).tolist()
        if not sides:
            axis.set(title=name, xticks=[], yticks=[], xlabel="no regions")
            continue
        bins = np.geomspace(np.sqrt(_LEAST_REGION), max(max(sides), 4.0) * 1.01, 24)
        axis.hist(sides, bins=bins, color=plot_color(color), edgecolor="0.3", linewidth=0.3)
        axis.set(title=name, xlabel="side / pixels", xscale="log")
        ticks = [tick for tick in _TICKS if bins[0] <= tick <= bins[-1]]
        axis.set_xticks(ticks, list(map(str, ticks)))
        axis.minorticks_off()
        axis.tick_params(labelsize=SMALL_FONT)
    axes[0, 0].set_ylabel("regions")
    return figure


def _blocks(
    path: Path, loaded: LoadedSet, table: ClassTable, pictures: list[Picture], masks_alone: bool
) -> list[Block]:
    description, statistics = read_description(path), describe(path)
    height, width = loaded.masks.shape[1:]
    ignored = float((loaded.masks == IGNORED).mean()) if table.ignored_color is not None else 0.0
    channels = "colour" if loaded.images.ndim == 4 else "grey"
    panels = "image, red, green, blue, mask, mask over the image" if channels == "colour" else "image, mask, both"
    counts = [
        [f"`{name}`", *(str(of_split[split]) for split in SPLITS)] for name, of_split in statistics.counts.items()
    ]
    classes = [
        [name, _color_name(color), role, percent(statistics.class_share[name]), percent(statistics.class_present[name])]
        for name, color, role in zip(table.names, table.colors, table.roles, strict=True)
    ]
    content: list[Block] = [
        Text(f"{len(loaded)} {channels} images of {height} x {width} px. sha256 `{statistics.sha256}`"),
        Text(str(description.get("source", "Rendered by this project."))),
        Heading("Splits", 2),
        Table(["domain", *SPLITS], counts),
        Heading("Classes", 2),
        Table(["class", "colour", "role", "% of the labelled pixels", "% of the images show it"], classes),
        Text(f"{percent(ignored)} % of the pixels have no label."),
        Picture("classes.png", "Share of the pixels, and of the images that show a class"),
        Heading("Where classes lie", 2),
        Picture("occurrence.png", "Share of the images that show a class in each pixel"),
        Heading("Sizes", 2),
        Picture("regions.png", "Connected regions by the side of a square of the same area"),
    ]
    if sizes := description.get("source_sizes"):
        rows = [[f"{height} x {width}", str(count)] for height, width, count in sizes]
        content += [Text("Images before they were brought to one size:"), Table(["height x width", "images"], rows)]
    shown = "masks; the images may not be passed on" if masks_alone else panels
    content += [Heading("Samples", 2), Text(f"Left to right: {shown}."), *pictures]
    return content


def _color_name(color: tuple[int, int, int]) -> str:
    red, green, blue = color
    return f"`#{red:02x}{green:02x}{blue:02x}`"
