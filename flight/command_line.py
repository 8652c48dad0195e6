"""What the command lines of `flight`, `ground-tools` and `hil` share: parser, help, errors, exit codes.

A wrong command line or a failed command prints one line on stderr, `PROGRAM COMMAND: place: expected X, got Y`.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

FAILED = 2
# As shells have it: 128 and the number of the signal that ended the program.
INTERRUPTED = 128 + signal.SIGINT
READER_GONE = 128 + signal.SIGPIPE
TERMINATED = 128 + signal.SIGTERM

_LINE_LENGTH = 115
_PACKAGES = ("flight", "ground_tools", "hil")
_STATED_DEFAULT = re.compile(r"\s*\(default: (.*)\)$")


class UsageError(Exception):
    """A command line that the parser does not take. place: program and command, for example `flight segment`."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.place = place


class _Terminated(KeyboardInterrupt):
    """SIGTERM has come: whatever a command does to clean up after Ctrl-C, it does then, too."""


def examples(commands: Mapping[str, str], note: str = "") -> str:
    """The epilog of a command's `--help`. commands: command lines with what each does, "" where that is clear."""
    commented = {command: comment for command, comment in commands.items() if comment}
    width = max(map(len, commented), default=0)
    beside = width + max(map(len, commented.values()), default=0) < _LINE_LENGTH
    lines = ["examples:"]
    for command, comment in commands.items():
        if not beside:
            lines += [f"  {command}", *([f"      {comment}"] if comment else [])]
        else:
            lines.append(f"  {command:{width}}   {comment}".rstrip())
    return "\n".join([*lines, *(["", note.strip()] if note else [])])


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Says limits and default beside the help of every option. A help text that ends with `(default: ...)` has said
    its default in words of its own.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        if not text or action.nargs == 0 or isinstance(action, argparse._SubParsersAction):
            return text
        said = _STATED_DEFAULT.search(text)
        if said:
            text = text[: said.start()]
        limits = getattr(action.type, "limits", "")
        if action.choices is not None and action.metavar is not None:
            limits = " | ".join(map(str, action.choices))
        default = said[1] if said else _as_text(action.default).replace("%", "%%")
        parts = [limits.replace("%", "%%"), f"default: {default}" if default else ""]
        shown = "; ".join(part for part in parts if part)
        return f"{text} ({shown})" if shown else text


def _as_text(default: Any) -> str:
    """A default as it would be typed."""
    if default is None or default is argparse.SUPPRESS or isinstance(default, bool):
        return ""
    if isinstance(default, list | tuple):
        return " ".join(map(_as_text, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


class _Commands(argparse._SubParsersAction):  # type: ignore[type-arg]  # not generic at run time before Python 3.14
    """The commands of a parser; the line about a command in its program's help begins its own help, too."""

    def add_parser(self, name: str, **options: Any) -> Any:
        line = options.get("help") or ""
        options.setdefault("description", f"{line[:1].upper()}{line[1:]}.")
        return super().add_parser(name, **options)


class CommandParser(argparse.ArgumentParser):
    """The parser of a program or of one of its commands. It raises UsageError where argparse ends the program."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("formatter_class", HelpFormatter)
        super().__init__(*arguments, **options)
        # Of the innermost command, as the innermost parser is the last to set its defaults.
        self.set_defaults(place=self.prog)
        self.register("action", "parsers", _Commands)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with argparse's message, or our own of the form `place: expected X, got Y`."""
        message = re.sub(r"^argument ", "", message)
        hint = "" if ": expected " in message and ", got " in message else f"; see `{self.prog} --help`"
        raise UsageError(self.prog, message + hint)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = " | ".join(map(str, action.choices))
            raise argparse.ArgumentError(action, f"expected {known}, got {value!r}")


def run_program(
    parser: CommandParser, run: Callable[[argparse.Namespace], int | None], argv: Sequence[str] | None = None
) -> int:
    """Parse a command line and run its command.

    Args:
        parser: of the program. A command that needs an extra of the package says so by `set_defaults(extra=...)`.
        run: runs the command that the parsed command line names; returns the exit code, None for 0.
        argv: the command line, without the program's name; None for that of the process.

    Returns:
        The exit code: the command's; 2 after one line of error; 130 after Ctrl-C, 143 after SIGTERM; 141 when the
        reader of the output is gone, as in `... | head`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file's name, say, which the terminal cannot show, must not end the command.
            stream.reconfigure(errors="backslashreplace")
    arguments = argparse.Namespace(place=parser.prog)
    try:
        with _interrupted_by_sigterm():
            try:
                arguments = parser.parse_args(argv)
            except SystemExit as end:  # after --help and --version
                code = end.code
            else:
                code = run(arguments)
            # Now, where a reader that is gone can still be told from a failure.
            sys.stdout.flush()
            return int(code or 0)
    except UsageError as error:
        return _fail(error.place, str(error))
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in _PACKAGES:
            raise  # a fault of ours, which no installation mends
        extra = getattr(arguments, "extra", None)
        return _fail(arguments.place, f"{error}; pip install 'rubblemap{f'[{extra}]' if extra else ''}'")
    except (ValueError, OSError, RuntimeError) as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            return READER_GONE
        return _fail(arguments.place, _message(error))
    except _Terminated:
        return TERMINATED
    except KeyboardInterrupt:
        return INTERRUPTED


def _fail(place: str, message: str) -> int:
    print(f"{place}: {message}", file=sys.stderr)
    return FAILED


def _message(error: Exception) -> str:
    """What an error says, in one line, the file first where it is about one."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM interrupts the command as Ctrl-C does, so that its processes and temporary files go with it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _reader_is_gone() -> bool:
    """Whether what reads our output has ended, as `| head` does; the rest of the output is dropped then."""
    output = select.poll()
    # Of no events: that a pipe has no reader is told without being asked for.
    output.register(sys.stdout.fileno(), 0)
    if not output.poll(0):
        return False
    # The interpreter flushes once more at its end, and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
