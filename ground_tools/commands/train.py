"""`ground-tools train`: the encoder CNN or a UNet by a recipe."""

from __future__ import annotations

import argparse
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_file, existing_path, integer, output_folder

_EXAMPLES = {
    "ground-tools train --recipe best-encoder --dataset DIR --out out/encoder": "",
    "ground-tools train --recipe best-cpu-unet-s-start --dataset DIR --encoder out/encoder/encoder.weights.h5 \\\n"
    "      --out out/unet_s_start": "",
    "ground-tools train --recipe best-cpu-unet-s --dataset DIR --start-from out/unet_s_start/unet.weights.h5 \\\n"
    "      --out out/unet_s": "",
    "ground-tools train --recipe best-cpu-unet-as --dataset DIR --start-from out/unet_s/unet.weights.h5 \\\n"
    "      --out out/unet_as": "",
    "ground-tools train --recipe best-cpu-unet-as --dataset DIR --start-from models/unet_s --out out/own": (
        "the shipped UNetS fine-tuned on images of your own: no weights of its training needed"
    ),
}
_NOTE = """
The backend is Keras's: set KERAS_BACKEND to tensorflow, jax or torch. A training that was stopped goes on from
its last whole epoch when the same command is given again; curves.png in --out shows how it goes."""


def add_parser(commands: Any) -> None:
    """Add the command `train` to those of `ground-tools`."""
    train = commands.add_parser(
        "train", help="train the encoder CNN or a UNet by a recipe", epilog=examples(_EXAMPLES, _NOTE)
    )
    train.set_defaults(extra="train")
    train.add_argument("--recipe", required=True, metavar="NAME", help="a recipe's name or TOML file")
    train.add_argument("--dataset", type=existing_path, required=True, metavar="SET", help="a rendered dataset")
    train.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="folder for weights and logs")
    train.add_argument(
        "--encoder", type=existing_file, metavar="H5", help="weights of the encoder CNN to start from (default: none)"
    )
    train.add_argument(
        "--start-from",
        type=existing_path,
        metavar="H5",
        help="weights of a UNet to start from, or a bundle of one network, as models/unet_s (default: none)",
    )
    train.add_argument(
        "--epochs",
        type=integer(1),
        metavar="N",
        help="epochs to train, each one over all images (default: the recipe's)",
    )
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="another value for a field of the recipe, as learning_rate=1e-3 or dropout.head=0.3; may be repeated "
        "(default: none)",
    )
    _add_computing(train)
    train.add_argument(
        "--contrastive",
        action="store_true",
        help="train the encoder of a segmenter's recipe by itself, on the images without their labels (SimCLR)",
    )
    train.add_argument(
        "--second-set",
        type=existing_path,
        metavar="SET",
        help="a second set, for recipes that have images of one in each batch (default: none)",
    )


def _add_computing(train: Any) -> None:
    train.add_argument(
        "--precision",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        default="float32",
        help="precision of the arithmetic; weights stay float32",
    )
    train.add_argument(
        "--devices",
        type=integer(0),
        metavar="N",
        help="spread batches over N devices, 0: all there are; backend jax only (default: one device)",
    )
    train.add_argument(
        "--unpack-to",
        type=output_folder,
        metavar="DIR",
        help="keep the training images in a file there and read them as they are needed (default: in memory)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools train` was asked for; returns the exit code."""
    from ground_tools.training.recipes import load_recipe, override

    overrides = dict(override(text) for text in arguments.set)
    if arguments.epochs is not None:
        overrides["epochs"] = arguments.epochs
    recipe = load_recipe(arguments.recipe, overrides)
    if recipe.network == "encoder_cnn":
        for option in ("encoder", "start_from", "unpack_to", "second_set"):
            if getattr(arguments, option) is not None:
                raise ValueError(
                    f"--{option.replace('_', '-')}: recipe {recipe.name} trains an encoder, which takes none"
                )
    if arguments.contrastive:
        _check_contrastive(recipe, arguments)
    # After the checks: importing the backend takes many seconds.
    from ground_tools.training.hardware import set_precision, spread_over_devices
    from ground_tools.training.loop import train_contrastive, train_encoder, train_segmenter, train_unet

    set_precision(arguments.precision)
    if arguments.devices is not None:
        print(f"spread over {spread_over_devices(arguments.devices, recipe.batch + recipe.from_second_set)} devices")
    if arguments.contrastive:
        weights = train_contrastive(recipe, arguments.dataset, arguments.out, arguments.unpack_to)
    elif recipe.network == "encoder_cnn":
        weights = train_encoder(recipe, arguments.dataset, arguments.out)
    elif recipe.network == "segmenter":
        weights = train_segmenter(
            recipe,
            arguments.dataset,
            arguments.out,
            arguments.encoder,
            arguments.start_from,
            arguments.unpack_to,
            arguments.second_set,
        )
    else:
        weights = train_unet(
            recipe,
            arguments.dataset,
            arguments.out,
            arguments.encoder,
            arguments.start_from,
            arguments.unpack_to,
            arguments.second_set,
        )
    print(f"best weights in {weights}, record in {arguments.out / 'training.json'}")
    return 0


def _check_contrastive(recipe: Any, arguments: argparse.Namespace) -> None:
    if recipe.network != "segmenter":
        raise ValueError(f"--contrastive: expected a recipe of network segmenter, got {recipe.network}")
    for option in ("encoder", "start_from", "second_set"):
        if getattr(arguments, option) is not None:
            raise ValueError(
                f"--{option.replace('_', '-')}: expected none with --contrastive, which takes one set and no weights"
            )
