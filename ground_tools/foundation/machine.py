"""The machine and the libraries that figures were measured with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path

# Of a processor, what products of small numbers are made with.
_FEATURES = (
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "i8mm", "bf16", "sve"),
)
# Without one of these a library computes in float32 what is asked for in bfloat16, or is many times slower.
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
_PACKAGES = (
    *("numpy", "ai-edge-litert", "tflite-runtime", "tensorflow", "keras"),
    *("onnxruntime", "onnx", "openvino", "torch", "opencv-python-headless"),
)


@dataclass(frozen=True)
class Machine:
    """processor: its name; features: of its instruction set; versions: by package, of those that are installed."""

    processor: str
    features: list[str]
    cores: int
    memory_gib: float
    system: str
    versions: dict[str, str]

    @property
    def has_bfloat16(self) -> bool:
        """Whether the processor has products of bfloat16."""
        return bool(_BFLOAT16 & set(self.features))

    def sentence(self) -> str:
        """All but the versions, for people."""
        features = " ".join(self.features) or "no vector instructions known here"
        return f"{self.processor} ({features}), {self.cores} cores, {self.memory_gib:g} GiB, {self.system}"


def describe_machine() -> Machine:
    """The machine that this runs on."""
    name, flags = platform.machine(), set()
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() in ("flags", "Features"):
            flags = set(value.split())
    versions = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Machine(
        processor=name,
        features=[feature for feature in _FEATURES if feature in flags],
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=platform.system(),
        versions=versions,
    )
