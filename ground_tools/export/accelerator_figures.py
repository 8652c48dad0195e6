"""What a bundle asks of accelerators and of small boards: from its files alone, with public figures for the times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from flight.bundle import Bundle
from flight.closed_form_files import CLOSED_FORM_PARTS
from ground_tools.export.edgetpu_bundle import RewritingParity
from ground_tools.export.edgetpu_rules import check_graph
from ground_tools.export.graph_work import Work, is_constant, measure_work, runs_of, tensor_bytes
from ground_tools.export.tflite_graph import SourceGraph
from ground_tools.export.vela import CONFIGURATIONS, VelaEstimate, estimate
from ground_tools.foundation.descriptions import read_structure
from ground_tools.foundation.progress import progress
from ground_tools.foundation.structures import TomlTable

_SPEEDS = Path(__file__).with_name("public_speeds.toml")
ENGINES = ("closed_form", "passes")


class Processor(TomlTable, frozen=True):
    """A processor, and the fastest int8 network that someone has measured on it."""

    name: str
    core: str
    network: Annotated[str, Meta(description="that was measured")]
    macs: Annotated[int, Meta(gt=0, description="multiplications that are added up in one run of it")]
    macs_source: str
    ms: Annotated[float, Meta(gt=0, description="for one run")]
    source: str
    url: str

    @property
    def macs_per_s(self) -> float:
        """As measured."""
        return 1e3 * self.macs / self.ms


class EdgeTpu(TomlTable, frozen=True):
    """What Coral states."""

    macs_per_s: Annotated[int, Meta(gt=0, description="at most")]
    link_bytes_per_s: Annotated[int, Meta(gt=0, description="between processor and accelerator, at most")]
    source: str
    url: str


class PublicSpeeds(TomlTable, frozen=True):
    """The table."""

    processors: dict[str, Processor]
    edgetpu: EdgeTpu


@dataclass(frozen=True)
class FileFigures:
    """A file of a bundle.

    Attributes:
        network, part: "features", "passes" or "covariance" of the closed form; "whole" for whole passes.
        work: of one run, as the bundle has the file.
        operations, mapped: of the file written for the Edge TPU, how many, and how many map by the documented rules.
        mapped_macs: of those.
        cpu: the operations that stay on the CPU.
        link_bytes: of one run, what goes to the Edge TPU and comes back.
        activation_bytes: of the operation with the largest tensors, those that it reads and writes.
        vela: by configuration.
    """

    network: str
    part: str
    work: Work
    operations: int
    mapped: int
    mapped_macs: int
    cpu: list[str]
    link_bytes: int
    activation_bytes: int
    vela: dict[str, VelaEstimate]


@dataclass(frozen=True)
class FrameFigures:
    """An engine's frame, all networks.

    Attributes:
        runs: by part, of all networks.
        work: parameter_bytes of all files that it uses.
        link_bytes: to the Edge TPU and back.
        edgetpu_ms: at the peak that is stated; link_ms: at the link's; neither can be undercut.
        processor_ms: by processor, estimated.
        vela_ms: by configuration, Arm's estimate of what runs on the accelerator.
    """

    runs: dict[str, int]
    work: Work
    link_bytes: int
    edgetpu_ms: float
    link_ms: float
    processor_ms: dict[str, float]
    vela_ms: dict[str, float]


@dataclass(frozen=True)
class AcceleratorFigures:
    """Of a bundle, with so many passes. parity: by engine; frames: by engine."""

    bundle: str
    version: str
    passes: int
    orientations: int
    vela: str
    parity: dict[str, RewritingParity]
    files: list[FileFigures]
    frames: dict[str, FrameFigures]


def read_speeds() -> PublicSpeeds:
    """The table of the project."""
    return read_structure("table of public speeds", _SPEEDS, PublicSpeeds)


def measure_files(bundle: Bundle, twin: Bundle, vela: str | None) -> list[FileFigures]:
    """The figures of all files.

    Args:
        bundle: the bundle.
        twin: the same, written for the Edge TPU.
        vela: program; None for no estimates by it.
    """
    pairs = list(zip(_contents(bundle), _contents(twin), strict=True))
    found = []
    for (network, part, content), (_, _, rewritten) in progress(pairs, unit="file", label="files"):
        name = f"{network}, {part}"
        vela_estimates = {} if vela is None else {each: estimate(vela, content, name, each) for each in CONFIGURATIONS}
        found.append(_measure_file(network, part, content, rewritten, vela_estimates))
    return found


def frame_figures(files: list[FileFigures], passes: int, orientations: int) -> dict[str, FrameFigures]:
    """What a frame costs, by engine.

    Args:
        files: of all networks.
        passes: P, of each network.
        orientations: of the image, which the passes take in turn.
    """
    speeds = read_speeds()
    in_a_frame = runs_of(passes, orientations)
    frames = {}
    for engine in ENGINES:
        used = [each for each in files if (each.part == "whole") == (engine == "passes")]
        if not used:
            continue
        work, link, runs = Work(), 0, dict.fromkeys((each.part for each in used), 0)
        mapped_macs, vela_ms = 0, dict.fromkeys(used[0].vela, 0.0)
        for each in used:
            count = in_a_frame[each.part]
            runs[each.part] += count
            work += each.work.times(count)
            link += each.link_bytes * count
            mapped_macs += each.mapped_macs * count
            for configuration, estimated in each.vela.items():
                vela_ms[configuration] += estimated.ms * count
        frames[engine] = FrameFigures(
            runs=runs,
            work=work,
            link_bytes=link,
            edgetpu_ms=round(1e3 * mapped_macs / speeds.edgetpu.macs_per_s, 2),
            link_ms=round(1e3 * link / speeds.edgetpu.link_bytes_per_s, 1),
            processor_ms={
                name: round(1e3 * work.macs / each.macs_per_s, 0) for name, each in speeds.processors.items()
            },
            vela_ms={name: round(ms, 1) for name, ms in vela_ms.items()},
        )
    return frames


def _contents(bundle: Bundle) -> Iterator[tuple[str, str, bytes]]:
    for network in bundle.networks:
        yield network.name, "whole", network.content
        if network.closed_form is not None:
            for part in CLOSED_FORM_PARTS:
                yield network.name, part, getattr(network.closed_form, part)


def _measure_file(
    network: str, part: str, content: bytes, rewritten: bytes, vela: dict[str, VelaEstimate]
) -> FileFigures:
    verdicts, twin = check_graph(rewritten), SourceGraph(rewritten)
    operators = twin.graph.operators
    mapped = [operator for operator, verdict in zip(operators, verdicts, strict=True) if verdict.maps]
    rest = [operator for operator, verdict in zip(operators, verdicts, strict=True) if not verdict.maps]
    written = {int(i) for operator in mapped for i in operator.outputs}
    wanted = {int(i) for i in twin.graph.outputs} | {int(i) for operator in rest for i in operator.inputs}
    read = {int(i) for operator in mapped for i in operator.inputs} & {int(i) for i in twin.graph.inputs}
    used = [[int(i) for i in (*each.inputs, *each.outputs) if i >= 0] for each in mapped]
    activations = [sum(tensor_bytes(twin, i) for i in each if not is_constant(twin, i)) for each in used]
    return FileFigures(
        network=network,
        part=part,
        work=measure_work(SourceGraph(content)),
        operations=len(verdicts),
        mapped=len(mapped),
        mapped_macs=measure_work(twin, mapped).macs,
        cpu=[verdict.operator for verdict in verdicts if not verdict.maps],
        link_bytes=sum(tensor_bytes(twin, i) for i in read | (written & wanted)),
        activation_bytes=max(activations, default=0),
        vela=vela,
    )
