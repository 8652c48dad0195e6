"""How far long work has come, on a terminal and in a log."""

from __future__ import annotations

import io
import sys
import time

import pytest

from ground_tools.foundation import progress as module
from ground_tools.foundation.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(module, "_LINE_INTERVAL_S", 0.2)
    for _ in progress(range(40), unit="image", label="d1"):
        time.sleep(0.02)
    lines = stream.getvalue().splitlines()
    assert "\r" not in stream.getvalue()
    assert lines[0].startswith("d1:   0% 0/40 ")
    assert lines[-1].startswith("d1: 100% 40/40 ")
    # Far fewer than the images, and some between the ends.
    assert 3 <= len(lines) < 20


def test_what_was_done_before_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress(total=10, done=4, unit="image", label="d1") as bar:
        bar.update(6)
    assert [line.split(" [")[0] for line in stream.getvalue().splitlines()] == ["d1:  40% 4/10", "d1: 100% 10/10"]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress([1, 2], unit="image")) == [1, 2]
    assert "\r" in stream.getvalue()
    assert "2/2" in stream.getvalue()
