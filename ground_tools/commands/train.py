"""`ground-tools train`: the encoder CNN or a UNet by a recipe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_EXAMPLES = """examples:
  ground-tools train --recipe best-encoder --dataset DIR --out out/encoder
  ground-tools train --recipe best-cpu-unet-s-start --dataset DIR --encoder out/encoder/encoder.weights.h5 \\
      --out out/unet_s_start
  ground-tools train --recipe best-cpu-unet-s --dataset DIR \\
      --start-from out/unet_s_start/unet.weights.h5 --out out/unet_s
  ground-tools train --recipe best-cpu-unet-as --dataset DIR --start-from out/unet_s/unet.weights.h5 \\
      --out out/unet_as
  ground-tools train --recipe best-cpu-unet-as --dataset DIR --start-from models/unet_s --out out/own
      the shipped UNetS fine-tuned on images of your own: no weights of its training needed

The backend is Keras's: set KERAS_BACKEND to tensorflow, jax or torch. A training that was stopped goes on from
its last whole epoch when the same command is given again; curves.png in --out shows how it goes.
"""


def add_parser(commands: Any) -> None:
    """Add the command `train` to those of `ground-tools`."""
    train = commands.add_parser(
        "train",
        help="train the encoder CNN or a UNet by a recipe",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument("--recipe", required=True, help="a recipe's name or TOML file")
    train.add_argument("--dataset", type=Path, required=True, metavar="DIR", help="a rendered dataset")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for weights and logs")
    train.add_argument("--encoder", type=Path, metavar="H5", help="weights of the encoder CNN to start from")
    train.add_argument(
        "--start-from",
        type=Path,
        metavar="H5",
        help="weights of a UNet to start from, or a bundle of one network, as models/unet_s",
    )
    train.add_argument("--epochs", type=int, help="instead of the recipe's number")
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="another value for a field of the recipe, as learning_rate=1e-3 or dropout.head=0.3; may be repeated",
    )
    train.add_argument(
        "--precision",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        default="float32",
        help="of the arithmetic; weights stay float32 (default: float32)",
    )
    train.add_argument(
        "--devices", type=int, metavar="N", help="spread batches over N devices, 0: all there are (backend jax)"
    )
    train.add_argument(
        "--unpack-to",
        type=Path,
        metavar="DIR",
        help="keep the training images in a file there and read them as they are needed, instead of in memory",
    )
    train.add_argument(
        "--beside", type=Path, metavar="DIR", help="a second set, for recipes that have images of one in each batch"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools train` was asked for; returns the exit code."""
    from ground_tools.training.hardware import set_precision, spread_over_devices
    from ground_tools.training.loop import train_encoder, train_unet
    from ground_tools.training.recipes import load_recipe, override

    overrides = dict(override(text) for text in arguments.set)
    if arguments.epochs is not None:
        overrides["epochs"] = arguments.epochs
    recipe = load_recipe(arguments.recipe, overrides)
    for path, folder in ((arguments.encoder, False), (arguments.start_from, True)):
        if path is not None and not path.is_file() and not (folder and path.is_dir()):
            raise FileNotFoundError(f"weights {path}: no such file")
    if recipe.network == "encoder_cnn":
        for option in ("encoder", "start_from", "unpack_to", "beside"):
            if getattr(arguments, option) is not None:
                raise ValueError(
                    f"--{option.replace('_', '-')}: recipe {recipe.name} trains an encoder, which takes none"
                )
    set_precision(arguments.precision)
    if arguments.devices is not None:
        print(f"spread over {spread_over_devices(arguments.devices, recipe.batch + recipe.beside)} devices")
    if recipe.network == "encoder_cnn":
        weights = train_encoder(recipe, arguments.dataset, arguments.out)
    else:
        weights = train_unet(
            recipe,
            arguments.dataset,
            arguments.out,
            arguments.encoder,
            arguments.start_from,
            arguments.unpack_to,
            arguments.beside,
        )
    print(f"best weights in {weights}, record in {arguments.out / 'training.json'}")
    return 0
