"""Images segmented into files, without sockets: what `flight segment` and `hil segment` share."""

from __future__ import annotations

import argparse
import io
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flight.option_types import Limited, existing_folder, integer, number, output_folder
from flight.settings import PARAMETER_SCHEMAS

if TYPE_CHECKING:
    from flight.bundle import Bundle
    from flight.client.bit_depth import FrameImage
    from flight.client.images import ImageItem, ImageSequence
    from flight.inference.engine import Maps
    from flight.settings import Settings

SEGMENT_FILES = """writes for each image <stem>_maps.png (everything side by side), <stem>_class_map.png,
<stem>_enhanced_class_map.png, <stem>_predictive_entropy.png, <stem>_mutual_information.png and <stem>.npz
(class_map, enhanced_class_map, predictive_entropy, mutual_information, mean_probability, map_to_sensor).
An image that cannot be read is named and left out; the exit code is 1 then, and 2 when none could be read."""
_PICTURES = ("_maps", "_class_map", "_enhanced_class_map", "_predictive_entropy", "_mutual_information")
_LEFT_OUT = 1


def add_bit_depth(parser: argparse.ArgumentParser) -> None:
    """Add --bit-depth."""
    parser.add_argument(
        "--bit-depth",
        type=integer(8, 16),
        metavar="N",
        help="bits in use of images of more than 8 (default: as each file states it, or else the least of 8, 10, 12, "
        "14 and 16 that holds the brightest pixel, with a warning)",
    )


def add_segment_options(segment: argparse.ArgumentParser) -> None:
    """Add the options of `segment`."""
    segment.add_argument("--bundle", type=existing_folder, required=True, metavar="DIR", help="the model bundle")
    segment.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="folder to write")
    segment.add_argument("--mode", help="the bundle's fused mode or one of its networks (default: the bundle's)")
    for name, text in (
        ("passes", "dropout passes"),
        ("gamma", "mixing of the networks"),
        ("uncertainty_threshold", "entropy, relative to its largest value, from which a pixel is marked uncertain"),
        ("risk", "share of the unmarked pixels that may be wrong, by rule risk"),
    ):
        segment.add_argument(
            f"--{name.replace('_', '-')}", type=_parameter(name), metavar="N", help=f"{text} (default: the bundle's)"
        )
    segment.add_argument(
        "--uncertain-rule",
        choices=PARAMETER_SCHEMAS["uncertain_rule"]["enum"],
        help="how pixels are marked uncertain: by the risk that the bundle promises, where it does, or relative to the "
        "largest entropy of the image (default: risk)",
    )
    segment.add_argument("--seed", type=integer(0, 2**64 - 1), default=0, metavar="N", help="seed of the dropout masks")
    segment.add_argument("--threads", type=integer(1, 64), default=2, metavar="N", help="threads of the networks")
    segment.add_argument("--centered", action="store_true", help="take each image whole instead of finding the body")
    add_bit_depth(segment)


def _parameter(name: str) -> Limited[Any]:
    """The type of an option that sets a parameter: it has the limits that the configuration has."""
    schema = PARAMETER_SCHEMAS[name]
    kind: Any = integer if schema["type"] == "integer" else number
    limited: Limited[Any] = kind(schema["minimum"], schema["maximum"])
    return limited


def warn(text: str) -> None:
    """Write a line about an image to stderr."""
    print(text, file=sys.stderr, flush=True)


def stems_of(items: Sequence[ImageItem], folder: Path | None = None) -> list[str]:
    """What the files written for each image begin with: its name without suffix, and its page.

    Args:
        items: the images; the suffix of those whose names differ in it alone becomes a part: frame_png, frame_tif.
        folder: whose subfolders are kept in the names; None: names are those of the files alone.
    """
    paths = [item.path.name if folder is None else item.path.relative_to(folder).as_posix() for item in items]
    stems = {path: path.removesuffix(Path(path).suffix) for path in paths}
    times = Counter(stems.values())
    named = []
    for item, path in zip(items, paths, strict=True):
        stem = stems[path]
        if times[stem] > 1:
            stem = f"{stem}_{Path(path).suffix[1:]}"
        # Numbers of one length, so that they sort.
        named.append(f"{stem}_{item.page + 1:0{len(str(item.pages))}}" if item.pages > 1 else stem)
    return named


def segment_images(arguments: argparse.Namespace, sequence: ImageSequence, stems: Sequence[str]) -> int:
    """Segment images, and write their maps as pictures and arrays.

    Args:
        arguments: with the options of add_segment_options.
        sequence: the images.
        stems: of the files to write, one an image.

    Returns:
        The exit code: 1 when some images could not be read and were left out.

    Raises:
        ValueError: two images would be written under one name, or over an input; or none of them could be read.
        OSError: a file cannot be written; it names it.
    """
    from flight.bundle import load_bundle
    from flight.libraries import explain_failure

    with explain_failure("libraries of the engine"):
        from flight.client.images import ImageError
        from flight.inference.engine import Engine

    bundle = load_bundle(arguments.bundle)
    settings = _settings(arguments, bundle)
    _check_names(arguments.out, sequence, stems)
    for folder in sorted({(arguments.out / stem).parent for stem in stems}):
        folder.mkdir(parents=True, exist_ok=True)
    engine = Engine(bundle, arguments.threads)
    left_out = []
    for index, stem in enumerate(stems):
        began = time.monotonic()
        try:
            frame = sequence.frame(index)
        except ImageError as error:
            # The others are still of use; the exit code tells that one was not.
            left_out.append(str(error))
            if len(left_out) < len(stems):
                warn(f"left out: {error}")
            continue
        maps = engine.segment(
            frame.pixels,
            bit_depth=frame.bit_depth,
            centered=arguments.centered,
            seed=arguments.seed,
            settings=settings,
        )
        _write_maps(arguments.out, stem, frame, maps, bundle)
        entropy = maps.predictive_entropy[maps.class_map < len(bundle.classes)].mean()
        present = ", ".join(c.name for c in bundle.classes if (maps.class_map == c.index).any())
        flags = f"  [{', '.join(maps.flags)}]" if maps.flags else ""
        print(
            f"{index + 1}/{len(stems)}  {_name(sequence.items[index])}: {present}; "
            f"mean entropy {entropy:.3f} nat; {time.monotonic() - began:.2f} s{flags}"
        )
    engine.close()
    if len(left_out) == len(stems):
        raise ValueError(left_out[-1])
    return _LEFT_OUT if left_out else 0


def _name(item: ImageItem) -> str:
    return str(replace(item, path=Path(item.path.name)))


def _check_names(out: Path, sequence: ImageSequence, stems: Sequence[str]) -> None:
    repeated = [stem for stem, times in Counter(stems).items() if times > 1]
    if repeated:
        raise ValueError(f"images: expected distinct names, got {min(repeated)} more than once")
    # Only images that lie where the pictures go can be overwritten by them.
    where = os.path.realpath(out)
    inputs = {
        os.path.realpath(item.path)
        for item in sequence.items
        if os.path.realpath(item.path.parent).startswith(where) or item.path.is_symlink()
    }
    for stem in stems if inputs else []:
        for name in (*(f"{stem}{suffix}.png" for suffix in _PICTURES), f"{stem}.npz"):
            if os.path.realpath(out / name) in inputs:
                raise ValueError(f"--out: {out}: {name} would overwrite an input")


def _settings(arguments: argparse.Namespace, bundle: Bundle) -> Settings:
    from flight.schema import check
    from flight.settings import check_risk, default_settings

    settings = default_settings(bundle)
    given = {
        name: getattr(arguments, name)
        for name in ("mode", "passes", "gamma", "uncertainty_threshold", "uncertain_rule", "risk")
        if getattr(arguments, name) is not None
    }
    if "mode" in given:
        check(given["mode"], {"enum": list(bundle.modes)}, "--mode")
    settings = replace(settings, **given)
    if "risk" in given and settings.uncertain_rule == "risk":
        check_risk(bundle, settings.mode, settings.risk, "--risk")
    return settings


def _write_maps(out: Path, stem: str, frame: FrameImage, maps: Maps, bundle: Bundle) -> None:
    import numpy as np

    from flight.client import pictures
    from flight.files import write_whole
    from flight.inference.hazard import hazard_probability

    count = len(bundle.classes)
    colors = tuple(c.color for c in bundle.classes)
    seen = maps.class_map < count
    classes = pictures.draw_class_map(maps.class_map, colors, count, seen)
    enhanced = pictures.draw_class_map(maps.enhanced_class_map, colors, count, seen)
    entropy = pictures.draw_entropy(maps.predictive_entropy, count)
    mutual = pictures.draw_entropy(maps.mutual_information, count)
    hazard = pictures.draw_hazard(hazard_probability(maps.mean_probability, bundle.classes))
    source = pictures.resample_frame(
        frame.pixels, frame.bit_depth, list(maps.map_to_sensor), bundle.height, bundle.width
    )
    row = pictures.join_panels(
        [
            ("frame", source),
            ("class map", classes),
            ("with uncertain pixels", enhanced),
            (f"entropy, 0..{math.log(count):.2f} nat", entropy),
            ("hazard probability", hazard),
        ],
        pictures.make_legend([c.name for c in bundle.classes], colors),
        f"{stem}   {maps.passes_used} passes   bundle {bundle.name} {bundle.version}",
    )
    for name, picture in zip(_PICTURES, (row, classes, enhanced, entropy, mutual), strict=True):
        pictures.save_png(out / f"{stem}{name}.png", picture)
    arrays = io.BytesIO()
    np.savez_compressed(
        arrays,
        class_map=maps.class_map,
        enhanced_class_map=maps.enhanced_class_map,
        predictive_entropy=maps.predictive_entropy,
        mutual_information=maps.mutual_information,
        mean_probability=maps.mean_probability,
        map_to_sensor=np.asarray(maps.map_to_sensor),
    )
    write_whole(out / f"{stem}.npz", arrays.getvalue())
