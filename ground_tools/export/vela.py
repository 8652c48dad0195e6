"""Arm's compiler for the Ethos-U, Vela, run on .tflite files: what it places on the accelerator, and its estimate.

The cycles are those of Vela's own model of the accelerator and its memories, not measured; what it leaves to the CPU is
not in them.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# Accelerator -> system and memory, as Vela takes them where nothing is stated.
CONFIGURATIONS = {
    "ethos-u55-256": ("Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "ethos-u65-512": ("Ethos_U65_Client_Server", "Dedicated_Sram_384KB"),
}
_SECONDS = 600


@dataclass(frozen=True)
class VelaEstimate:
    """Of one run of a file.

    Attributes:
        cycles: of the accelerator and its memories.
        ms: at the configuration's clock.
        clock_mhz: that clock.
        sram_kib: working memory.
        macs: as the accelerator computes them, a transposed convolution with its zeros.
        npu_operators, cpu_operators: how many run on the accelerator, and how many do not.
    """

    cycles: int
    ms: float
    clock_mhz: float
    sram_kib: float
    macs: int
    npu_operators: int
    cpu_operators: int


def find_vela(program: str) -> str:
    """The program's path: on the path, or beside this Python. Raises ValueError where there is none."""
    found = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
    if found is None:
        raise ValueError(f"--vela {program}: expected a program, got none; pip install 'rubblemap[accelerators]'")
    return found


def estimate(program: str, content: bytes, name: str, configuration: str) -> VelaEstimate:
    """Compile a file and read the estimate.

    Args:
        program: from find_vela.
        content: bytes of the .tflite file.
        name: of the file, for messages.
        configuration: one of CONFIGURATIONS.

    Raises:
        ValueError: Vela does not compile it.
    """
    system, memory = CONFIGURATIONS[configuration]
    with tempfile.TemporaryDirectory(prefix="rubblemap_vela_") as scratch:
        folder = Path(scratch)
        (folder / "network.tflite").write_bytes(content)
        command = [program, str(folder / "network.tflite"), "--output-dir", scratch]
        command += ["--accelerator-config", configuration, "--system-config", system, "--memory-mode", memory]
        command += ["--config", "Arm/vela.ini"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
        summaries = sorted(folder.glob("*_summary_*.csv"))
        if done.returncode != 0 or not summaries:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise ValueError(f"{program}: {name}: {said[-1] if said else f'exit code {done.returncode}'}")
        with summaries[0].open(encoding="utf-8", newline="") as file:
            row = next(csv.DictReader(file))
    return VelaEstimate(
        cycles=round(float(row["cycles_total"])),
        ms=round(1e3 * float(row["inference_time"]), 3),
        clock_mhz=float(row["core_clock"]) / 1e6,
        sram_kib=round(float(row["sram_memory_used"]), 1),
        macs=round(float(row["nn_macs"])),
        npu_operators=_count(done.stdout, "NPU operators"),
        cpu_operators=_count(done.stdout, "CPU operators"),
    )


def _count(text: str, name: str) -> int:
    """The number in a line such as "NPU operators = 33 (94.3%)"; 0 without one."""
    for line in text.splitlines():
        if line.startswith(name):
            return int(line.partition("=")[2].split()[0])
    return 0
