"""The computer's processor, which figures of speed must name."""

from __future__ import annotations

import platform
from pathlib import Path


def describe_processor() -> str:
    """Its model and the fastest instructions for int8 that it has, as "AMD EPYC (avx2)"."""
    name, flags = platform.machine(), ""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return name
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() in ("flags", "Features"):
            wanted = ("avx512_vnni", "avx_vnni", "avx512f", "avx2", "asimddp", "asimd")
            flags = next((flag for flag in wanted if flag in value.split()), "")
    return f"{name} ({flags or platform.machine()})"
