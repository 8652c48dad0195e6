"""Campaign: inputs over the decoders, coverage-guided, with atheris."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from flight.bundle import SUMS
from flight.service.record import Record, encode_copy
from tests.golden.vectors import read_vector

_GOLDEN = Path(__file__).parents[1] / "golden"


def run(folder: Path, bundle: Path, inputs: int) -> dict[str, Any]:
    """Try so many inputs; memory is compared between the end and a tenth of the way."""
    corpus, progress = folder / "corpus", folder / "progress.txt"
    corpus.mkdir()
    write_corpus(corpus, bundle)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.reliability.decoder_target",
            str(progress),
            f"-atheris_runs={inputs}",
            "-seed=1",
            "-max_len=2000",
            "-rss_limit_mb=2048",
            "-timeout=5",
            f"-artifact_prefix={folder}/",
            str(corpus),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split() for line in progress.read_text(encoding="ascii").splitlines()] if progress.exists() else []
    tried = int(lines[-1][0]) if lines else 0
    crashed = len(list(folder.glob("crash-*"))) + len(list(folder.glob("timeout-*"))) + len(list(folder.glob("oom-*")))
    if done.returncode != 0 and crashed == 0:
        crashed = 1
    memory = [int(line[1]) for line in lines]
    early = memory[len(memory) // 10] if memory else 0
    result = {
        "inputs_tried": tried,
        "inputs_crashed": crashed,
        "decoder_rss_growth": round(memory[-1] / early - 1.0, 4) if early else 0.0,
    }
    if crashed:
        result["decoder_output"] = done.stderr[-2000:]
    return result


def write_corpus(folder: Path, bundle: Path) -> None:
    """Good inputs to start from: the golden vectors, a manifest, a record; the first byte chooses the decoder."""

    def packed(parts: list[bytes]) -> bytes:
        small = [part[:400] for part in parts]
        body = b"".join(len(part).to_bytes(2, "little") + part for part in small[:-1])
        return bytes([len(small) - 1]) + body + small[-1]

    kinds = {"frame": 0, "map_navigation": 1, "map_hazard": 1, "map_full": 1}
    for name, target in kinds.items():
        (folder / name).write_bytes(bytes([target]) + packed(read_vector(_GOLDEN / f"{name}.bin")))
    for target, name in ((2, "command"), (3, "reply"), (4, "event"), (5, "housekeeping")):
        (folder / name).write_bytes(bytes([target]) + read_vector(_GOLDEN / f"{name}.bin")[-1])
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest").write_bytes(bytes([6]) + json.dumps(manifest).encode("utf-8"))
    (folder / "sums").write_bytes(bytes([7]) + (bundle / SUMS).read_bytes())
    (folder / "record").write_bytes(bytes([8]) + encode_copy(Record(parameters={"passes": 5}), 3))
