"""Figures for accelerators and small boards: counted in the files, written by one command."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flight.bundle import load_bundle
from ground_tools import cli
from ground_tools.export.accelerator_figures import (
    AcceleratorFigures,
    FileFigures,
    frame_figures,
    measure_files,
    read_speeds,
)
from ground_tools.export.accelerator_page import accelerator_section
from ground_tools.export.edgetpu import rewrite_for_edgetpu
from ground_tools.export.graph_work import Work, measure_work
from ground_tools.export.tflite_graph import GraphWriter, Operators, Quantization, SourceGraph, schema
from ground_tools.export.vela import CONFIGURATIONS, estimate, find_vela
from ground_tools.foundation.json_records import from_plain, read_json

DOCS = Path(__file__).parents[3] / "docs"
STEPS = Quantization(0.1, 0)
BEGIN, END = "<!-- accelerators: begin -->", "<!-- accelerators: end -->"
SUMMARY = "cycles_total,inference_time,core_clock,sram_memory_used,nn_macs\n"


def write_vela(folder: Path, fails: bool = False) -> Path:
    """A program that answers as Vela does, with figures that stand for themselves."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "vela"
    if fails:
        path.write_text("#!/bin/sh\necho 'Error: no network' >&2\nexit 1\n")
    else:
        path.write_text(
            "#!/bin/sh\n"
            '[ "$1" = --version ] && { echo 9.9.9; exit; }\n'
            f"printf '{SUMMARY}2000,0.004,500000000.0,96.5,1000\\n' > \"$3/network_summary_x.csv\"\n"
            "echo 'CPU operators = 2 (20.0%)'\necho 'NPU operators = 8 (80.0%)'\n"
        )
    path.chmod(0o755)
    return path


def test_work_is_counted_as_arithmetic_has_it() -> None:
    writer = GraphWriter()
    x = writer.add_new_input((1, 8, 8, 4), STEPS, "image")
    x = writer.add_convolution(x, np.ones((6, 3, 3, 4)), np.zeros(6), STEPS, same=True)
    weights = writer.add_constant(np.ones((5, 3, 3, 6), np.int8), STEPS)
    size = writer.add_constant(np.array([1, 16, 16, 5], dtype=np.int32))
    options = schema.TransposeConvOptionsT()
    options.strideH = options.strideW = 2
    out = writer.add_tensor((1, 16, 16, 5), STEPS)
    writer.add_output(writer.add_operator(Operators.TRANSPOSE_CONV, [size, weights, x], out, options), "scores")
    work = measure_work(SourceGraph(writer.finish()))
    convolution, transposed = 8 * 8 * 6 * 9 * 4, 8 * 8 * 6 * 9 * 5
    assert work.macs == convolution + transposed
    # Kernel and bias of the one; kernel and output size of the other.
    assert work.parameter_bytes == 6 * 9 * 4 + 6 * 4 + 5 * 9 * 6 + 4 * 4
    assert work.moved_bytes == work.parameter_bytes + 8 * 8 * 4 + 2 * 8 * 8 * 6 + 16 * 16 * 5
    assert work.times(3) == Work(3 * work.macs, 3 * work.moved_bytes, work.parameter_bytes)


def test_a_frames_cost_is_that_of_its_runs() -> None:
    def file(part: str, macs: int) -> FileFigures:
        return FileFigures("A", part, Work(macs, 2 * macs, 10), 4, 3, macs // 2, ["ADD"], 100, 50, {})

    files = [file("whole", 1000), file("features", 100), file("passes", 10), file("covariance", 1)]
    frames = frame_figures(files, passes=20, orientations=8)
    assert frames["passes"].work == Work(20_000, 40_000, 10)
    assert frames["closed_form"].work == Work(8 * 100 + 20 * 10 + 1, 2 * (8 * 100 + 20 * 10 + 1), 30)
    assert frames["closed_form"].runs == {"features": 8, "passes": 20, "covariance": 1}
    assert frames["closed_form"].link_bytes == 29 * 100
    few = frame_figures(files, passes=4, orientations=8)["closed_form"]
    assert few.runs["features"] == 4


def test_what_goes_over_the_link_is_what_the_mapped_part_reads_and_leaves() -> None:
    bundle = load_bundle(Path("models/unet_s"))
    (network,) = bundle.networks
    assert network.closed_form is not None
    parts = ("features", "passes", "covariance")
    contents = {part: rewrite_for_edgetpu(getattr(network.closed_form, part)) for part in parts}
    closed_form = replace(network.closed_form, **contents)
    twin = replace(network, content=rewrite_for_edgetpu(network.content), closed_form=closed_form)
    whole, features, passes, covariance = measure_files(bundle, replace(bundle, networks=(twin,)), None)
    names = [whole.part, features.part, passes.part, covariance.part]
    assert names == ["whole", "features", "passes", "covariance"]
    skips = 128 * 128 * 16 + 64 * 64 * 32 + 32 * 32 * 64
    assert features.link_bytes == 128 * 128 + 16 * 16 * 256 + skips
    masks = 16 * 16 * 256 + 32 * 32 * 128 + 64 * 64 * 64 + 128 * 128 * 32
    channels = passes.link_bytes - masks - 16 * 16 * 256 - skips
    assert channels % (128 * 128) == 0
    assert 5 <= channels // (128 * 128) <= 40
    assert covariance.mapped == covariance.operations - len(covariance.cpu)
    assert whole.mapped == whole.operations
    assert whole.link_bytes == 128 * 128 * (1 + 5 + 128 + 256) + masks


def test_velas_figures_are_read(tmp_path: Path) -> None:
    program = write_vela(tmp_path / "bin")
    found = estimate(str(program), b"", "a file", "ethos-u55-256")
    assert (found.cycles, found.ms, found.clock_mhz, found.sram_kib, found.macs) == (2000, 4.0, 500.0, 96.5, 1000)
    assert (found.npu_operators, found.cpu_operators) == (8, 2)
    with pytest.raises(ValueError, match="a file: Error: no network"):
        estimate(str(write_vela(tmp_path / "other", fails=True)), b"", "a file", "ethos-u55-256")
    with pytest.raises(ValueError, match=r"--vela absent: expected a program, got none; pip install 'rubblemap\["):
        find_vela("absent")


@pytest.mark.skipif(shutil.which("vela") is None, reason="the extra accelerators is not installed")
def test_vela_itself_takes_the_shipped_files() -> None:
    network = load_bundle(Path("models/unet_h")).networks[0]
    assert network.closed_form is not None
    for configuration in CONFIGURATIONS:
        found = estimate(find_vela("vela"), network.closed_form.features, "features", configuration)
        assert found.cpu_operators == 0
        assert 0.1 < found.ms < 20
        assert found.cycles == pytest.approx(found.ms * 1e3 * found.clock_mhz, rel=0.01)


def test_one_command_writes_the_tables(
    closed_form_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs, vela = tmp_path / "docs", write_vela(tmp_path / "bin")
    docs.mkdir()
    arguments = ["estimate-accelerators", "--bundle", str(closed_form_bundle), "--vela", str(vela)]
    assert cli.main([*arguments, "--write", str(docs)]) == 2
    assert "expected the lines <!-- accelerators: begin -->" in capsys.readouterr().err
    (docs / "accelerators.md").write_text(f"# Title\n\n{BEGIN}\n{END}\n")
    assert cli.main([*arguments, "--write", str(docs)]) == 0
    page, record = (docs / "accelerators.md").read_text(), json.loads((docs / "accelerators.json").read_text())
    figures = from_plain(AcceleratorFigures, record, "accelerators.json")
    assert accelerator_section(figures).strip() in page
    assert figures.vela == "9.9.9"
    assert {each.part for each in figures.files} == {"whole", "features", "passes", "covariance"}
    # Two networks: so many runs of four milliseconds each.
    runs = sum(figures.frames["closed_form"].runs.values())
    assert figures.frames["closed_form"].vela_ms["ethos-u55-256"] == 4.0 * runs
    for processor in read_speeds().processors.values():
        assert processor.url in page


def test_the_shipped_figures_are_those_of_the_shipped_files() -> None:
    figures = from_plain(AcceleratorFigures, read_json(DOCS / "accelerators.json"), "accelerators.json")
    assert figures.frames == frame_figures(figures.files, figures.passes, figures.orientations)
    bundle = load_bundle(Path("models/unet_h"))
    assert [each.network for each in figures.files] == [network.name for network in bundle.networks for _ in range(4)]
    for each in figures.files:
        (network,) = (network for network in bundle.networks if network.name == each.network)
        content = network.content if each.part == "whole" else getattr(network.closed_form, each.part)
        assert measure_work(SourceGraph(content)) == each.work
