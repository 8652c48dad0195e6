"""`ground-tools`: render, look at datasets, train, export, evaluate, benchmark."""

from __future__ import annotations

import argparse
import os
import select
import sys
from pathlib import Path

from ground_tools.arguments import check_limits
from ground_tools.datasets import cli as datasets
from ground_tools.evaluation import cli as evaluation
from ground_tools.labelling import cli as labelling

# The exit code of programs that end because nobody reads their output: 128 + SIGPIPE.
_READER_GONE = 141

_RENDER_EXAMPLES = """examples:
  ground-tools render --out datasets/procedural
      300 images of three bodies that the project makes itself; no other files needed
  ground-tools render --campaign d1 d2a d2b d3 --shapes DIR --crater-maps DIR --out datasets
      the sets of the reference paper, 16656 images, in datasets/d1, datasets/d2a and so on
  ground-tools render --campaign d1 --procedural --fraction 0.01 --out datasets/small
      a hundredth of D-1 with stand-ins for all files
  ground-tools render --campaign d1 --splits validation test --shapes DIR --crater-maps DIR --out datasets/d1
      what evaluation needs of D-1; without --splits, the same command adds the training split later
  ground-tools render --campaign d1 --shapes DIR --crater-maps DIR --out datasets/d1 --scheduler tcp://10.0.0.1:8786
      on a Dask cluster that is already there; its workers need rubblemap[render], but none of the files
  ground-tools render --flyby itokawa --shapes DIR --crater-maps DIR --out out/flyby
      56 frames of a flyby, with truth masks, as a folder that `hil stream` takes

A campaign that was stopped goes on where it was when the same command is given again, and one with larger counts
grows the set that is there.
"""

_TRAIN_EXAMPLES = """examples:
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

_EXPORT_EXAMPLES = """examples:
  ground-tools export --network out/unet_s --network out/unet_as --dataset DIR --out models/unet_h
  ground-tools export --network out/unet_s --dataset DIR --out models/unet_s
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of `ground-tools`."""
    parser = argparse.ArgumentParser(
        prog="ground-tools", description="Render labelled images, train networks, export bundles."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    render = commands.add_parser(
        "render",
        help="render labelled images with Blender's Cycles",
        epilog=_RENDER_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = render.add_mutually_exclusive_group()
    what.add_argument(
        "--campaign",
        nargs="+",
        metavar="NAME",
        help="names or TOML files of campaigns; several go to folders of their own in --out (default: procedural)",
    )
    what.add_argument("--flyby", metavar="BODY", help="render a flyby of this body instead of a campaign")
    render.add_argument("--shapes", type=Path, metavar="DIR", help="folder of shape models (closed PLY meshes)")
    render.add_argument("--bodies-file", type=Path, metavar="TOML", help="another catalogue of bodies")
    render.add_argument("--crater-maps", type=Path, metavar="DIR", help="folder of height maps of craters")
    render.add_argument(
        "--procedural", action="store_true", help="procedural shapes and craters instead of files, for every body"
    )
    render.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    render.add_argument(
        "--fraction", type=float, default=1.0, metavar="F", help="render a part of each count only, e.g. 0.01"
    )
    render.add_argument(
        "--splits",
        nargs="+",
        metavar="SPLIT",
        help="render these only, of train, validation and test; evaluation needs no training split (default: all)",
    )
    render.add_argument("--workers", type=int, default=2, help="rendering processes on this computer (default: 2)")
    render.add_argument(
        "--scheduler", metavar="ADDRESS", help="render on the Dask cluster whose scheduler answers there (tcp://...)"
    )

    datasets.add_parser(commands)
    labelling.add_parser(commands)

    train = commands.add_parser(
        "train",
        help="train the encoder CNN or a UNet by a recipe",
        epilog=_TRAIN_EXAMPLES,
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

    export = commands.add_parser(
        "export",
        help="quantize trained networks to int8 and write a bundle",
        epilog=_EXPORT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    export.add_argument(
        "--network",
        type=Path,
        required=True,
        action="append",
        metavar="DIR",
        help="folder of a finished training; give it twice to fuse UNetS and UNetAS",
    )
    export.add_argument(
        "--dataset",
        type=Path,
        required=True,
        action="append",
        metavar="DIR",
        help="for ranges, choices, figures; give it again for another set, which then counts as much",
    )
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="the bundle's folder")
    export.add_argument(
        "--self-test-from",
        type=Path,
        metavar="DIR",
        help="the set whose first test image becomes the self-test's, where images of the sets may not be passed on",
    )
    export.add_argument("--bundle-version", default="0.1.0", help="(default: 0.1.0)")
    export.add_argument("--images", type=int, help="judge on so many images of each split instead of all")
    export.add_argument("--passes", type=int, default=20, help="dropout passes (default: 20)")

    evaluation.add_parser(commands)

    benchmark = commands.add_parser("benchmark", help="the service beside bare interpreter passes, as a table")
    benchmark.add_argument("--bundle", type=Path, required=True, metavar="DIR")
    benchmark.add_argument("--rounds", type=int, default=7, help="(default: 7)")
    benchmark.add_argument("--passes", type=int, default=20, help="dropout passes (default: 20)")
    benchmark.add_argument("--threads", type=int, default=2, help="(default: 2)")
    benchmark.add_argument("--write", type=Path, metavar="MD", help="write the table to this file, too")
    return parser


def _render(arguments: argparse.Namespace) -> None:
    from ground_tools.bodies.catalogue import DEFAULT_CATALOGUE, load_catalogue, without_files

    for name, low, high in (("workers", 1, 256), ("fraction", 1e-6, 1.0)):
        if not low <= getattr(arguments, name) <= high:
            raise ValueError(f"--{name}: expected {low:g}..{high:g}, got {getattr(arguments, name):g}")
    catalogue = load_catalogue(arguments.bodies_file or DEFAULT_CATALOGUE)
    if arguments.procedural:
        # A body without a stand-in is told when a campaign asks for it.
        catalogue = {
            name: without_files(recipe) if recipe.procedural_kind else recipe for name, recipe in catalogue.items()
        }
    if arguments.flyby:
        from ground_tools.rendering.flyby import render_flyby

        for name, everything in (("fraction", 1.0), ("splits", None), ("scheduler", None)):
            if getattr(arguments, name) != everything:
                raise ValueError(f"--{name}: expected with --campaign, got it with --flyby, which renders every frame")
        render_flyby(arguments.flyby, catalogue, arguments.shapes, arguments.crater_maps, arguments.out)
        return
    from ground_tools.rendering.campaign import load_campaign
    from ground_tools.rendering.cluster import render_campaign

    campaigns = [load_campaign(name).fraction(arguments.fraction) for name in arguments.campaign or ["procedural"]]
    if arguments.splits:
        campaigns = [campaign.only(arguments.splits) for campaign in campaigns]
    names = [campaign.name for campaign in campaigns]
    if len(set(names)) < len(names):
        raise ValueError(f"--campaign: expected different campaigns, got {', '.join(names)}")
    for campaign in campaigns:
        out = arguments.out / campaign.name if len(campaigns) > 1 else arguments.out
        render_campaign(
            campaign,
            catalogue,
            arguments.shapes,
            arguments.crater_maps,
            out,
            arguments.workers,
            arguments.scheduler,
        )


def _train(arguments: argparse.Namespace) -> None:
    from ground_tools.training.loop import train_encoder, train_unet
    from ground_tools.training.machine import set_precision, spread_over_devices
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


def _export(arguments: argparse.Namespace) -> None:
    check_limits(arguments, {"passes": (1, 100)})
    if arguments.images is not None and arguments.images < 1:
        raise ValueError(f"--images: expected 1 or more, got {arguments.images}")
    if not 1 <= len(arguments.network) <= 2:
        raise ValueError(f"--network: expected one or two, got {len(arguments.network)}")
    from ground_tools.export.bundle_writer import read_trained, write_bundle

    trained = [read_trained(folder) for folder in arguments.network]
    bundle = write_bundle(
        trained,
        arguments.dataset,
        arguments.out,
        arguments.out.name,
        arguments.bundle_version,
        arguments.images,
        arguments.passes,
        arguments.self_test_from,
    )
    tests = bundle.manifest["metrics"]["test"]
    figures = ", ".join(f"{figures[bundle.modes[0]]['miou']:.3f} on {name}" for name, figures in tests.items())
    print(f"{arguments.out}: {bundle.modes[0]} test mIoU {figures}; card in {arguments.out / 'card.md'}")


def _benchmark(arguments: argparse.Namespace) -> None:
    from flight.bundle import load_bundle
    from ground_tools.benchmark.service import benchmark_service, table

    check_limits(arguments, {"rounds": (1, 1000), "passes": (1, 100), "threads": (1, 64)})
    measured = benchmark_service(arguments.bundle, arguments.rounds, arguments.passes, arguments.threads)
    text = table(measured, load_bundle(arguments.bundle))
    print(text)
    if arguments.write is not None:
        arguments.write.write_text(text, encoding="utf-8")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "dataset":
        return datasets.run(arguments)
    if arguments.command == "label":
        return labelling.run(arguments)
    if arguments.command == "evaluate":
        return evaluation.run(arguments)
    run = {"render": _render, "train": _train, "export": _export, "benchmark": _benchmark}
    run[arguments.command](arguments)
    return 0


def _reader_is_gone() -> bool:
    """Whether what reads our output has ended, as `| head` does; what is left to say is dropped then."""
    output = select.poll()
    # Of no events: that a pipe has no reader is told without being asked for.
    output.register(sys.stdout.fileno(), 0)
    if not output.poll(0):
        return False
    # The interpreter flushes once more at its end, and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 2 with one line that says what is wrong and where."""
    arguments = build_parser().parse_args(argv)
    try:
        code = _run(arguments)
        # Now, where a reader that is gone can still be told from a failure.
        sys.stdout.flush()
        return code
    except (ValueError, OSError, RuntimeError) as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            return _READER_GONE
        print(f"ground-tools {arguments.command}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        extra = "render" if arguments.command in ("render", "dataset", "label", "evaluate") else "train"
        print(f"ground-tools {arguments.command}: {error}; pip install 'rubblemap[{extra}]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
