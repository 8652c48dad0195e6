"""The hook that looks at commit messages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HOOK = Path(__file__).with_name("commit_message.py")


def run_hook(tmp_path: Path, message: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "COMMIT_EDITMSG"
    file.write_text(message, encoding="utf-8")
    return subprocess.run([sys.executable, HOOK, file], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "message",
    [
        "Say why a worker was replaced\n",
        "# comments do not count, however long they are and whatever they say about the change that is made here\n" * 2
        + "Say why\n\nBecause nobody could tell.\n",
        "x" * 72,
        "Merge branch 'a-name-that-git-chose-itself-and-that-is-longer-than-the-limit-of-a-subject'\n",
    ],
)
def test_a_good_message_passes(tmp_path: Path, message: str) -> None:
    assert run_hook(tmp_path, message).returncode == 0


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("x" * 73, "at most 72 characters, got 73"),
        ("Say why.\n", "full stop"),
        ("Say why\nbecause nobody could tell\n", "empty line"),
        ("# nothing but a comment\n", "got none"),
        ("", "got none"),
    ],
)
def test_a_bad_message_is_refused_with_the_reason(tmp_path: Path, message: str, words: str) -> None:
    result = run_hook(tmp_path, message)
    assert result.returncode == 1
    assert words in result.stderr
