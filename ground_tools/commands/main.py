"""`ground-tools`: render, look at datasets, train, export, evaluate, benchmark."""

from __future__ import annotations

import argparse
import os
import select
import sys

from ground_tools.commands import benchmark, dataset, evaluate, export, label, render, train

# The exit code of programs that end because nobody reads their output: 128 + SIGPIPE.
_READER_GONE = 141

# In the order of `ground-tools --help`.
_COMMANDS = {
    "render": render,
    "dataset": dataset,
    "label": label,
    "train": train,
    "export": export,
    "evaluate": evaluate,
    "benchmark": benchmark,
}


def build_parser() -> argparse.ArgumentParser:
    """The command line of `ground-tools`."""
    parser = argparse.ArgumentParser(
        prog="ground-tools", description="Render labelled images, train networks, export bundles."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS.values():
        command.add_parser(commands)
    return parser


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
        code = _COMMANDS[arguments.command].run(arguments)
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
