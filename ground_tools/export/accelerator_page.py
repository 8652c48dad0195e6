"""The tables of docs/accelerators.md."""

from __future__ import annotations

from pathlib import Path

from ground_tools.export.accelerator_figures import AcceleratorFigures, FileFigures, FrameFigures, read_speeds
from ground_tools.export.edgetpu_rules import read_rules
from ground_tools.export.vela import CONFIGURATIONS
from ground_tools.foundation.json_records import to_plain
from ground_tools.pages.blocks import Block, Heading, Table, Text, percent
from ground_tools.pages.markdown import markdown
from ground_tools.pages.sections import check_section, write_section

_PAGE, _RECORD, _SECTION = "accelerators.md", "accelerators.json", "accelerators"
_TITLES = {"closed_form": "closed form", "passes": "whole passes"}


def check_docs(docs: Path) -> None:
    """Raise ValueError unless DOCS/accelerators.md has the marks of its tables."""
    check_section(docs / _PAGE, _SECTION)


def write_figures(figures: AcceleratorFigures, docs: Path) -> None:
    """Put the tables into DOCS/accelerators.md, and the figures into DOCS/accelerators.json."""
    write_section(docs / _PAGE, _SECTION, accelerator_section(figures), to_plain(figures), docs / _RECORD)


def accelerator_section(figures: AcceleratorFigures) -> str:
    """The tables, as Markdown."""
    content: list[Block] = [
        Text(
            f"`{figures.bundle}` {figures.version}, {figures.passes} passes of each network, "
            f"{figures.orientations} orientations."
        ),
        Heading("What maps", 2),
        _mapping_table(figures.files),
        _memory_text(figures.files),
        Heading("What the rewriting changes", 2),
        _parity_table(figures),
        Heading("A frame", 2),
        _frame_table(figures.frames),
        Heading("Raspberry Pi, estimated", 2),
        _processor_table(figures.frames),
    ]
    if figures.vela:
        content += [Heading(f"Arm Ethos-U, estimated by Vela {figures.vela}", 2), _vela_table(figures)]
    return markdown(content)


def _mapping_table(files: list[FileFigures]) -> Table:
    head = ["file", "operations", "map", "GMAC", "of them mapped, %", "parameters, KiB", "to and fro, KiB"]
    head += ["largest operation's tensors, KiB", "stays on the CPU"]
    rows = []
    for each in files:
        share = each.mapped_macs / max(each.work.macs, each.mapped_macs)
        sizes = (each.work.parameter_bytes, each.link_bytes, each.activation_bytes)
        row = [f"{each.network}, {each.part}", str(each.operations), str(each.mapped), f"{each.work.macs / 1e9:.3f}"]
        row += [percent(share), *(f"{size / 1024:.0f}" for size in sizes), ", ".join(each.cpu) or "nothing"]
        rows.append(row)
    return Table(head, rows)


def _memory_text(files: list[FileFigures]) -> Text:
    room = read_rules().memory.parameters_bytes / 1024
    closed, whole = (
        sum(each.work.parameter_bytes for each in files if (each.part == "whole") == is_whole) / 1024
        for is_whole in (False, True)
    )
    return Text(
        f"Parameters of all networks: {closed:.0f} KiB in closed form, {whole:.0f} KiB for whole passes, of "
        f"{room:.0f} KiB on the chip, which it shares with executables and tensors."
    )


def _parity_table(figures: AcceleratorFigures) -> Table:
    head = ["engine", "images", "same class, %", "entropy apart, nat", "bias, nat", "other masks, nat"]
    rows = []
    for name, each in figures.parity.items():
        entropies = [f"{each.entropy_difference:.4f}", f"{each.entropy_bias:+.4f}", f"{each.other_masks:.4f}"]
        rows.append([_TITLES[name], str(each.images), percent(each.class_agreement, 2), *entropies])
    return Table(head, rows)


def _frame_table(frames: dict[str, FrameFigures]) -> Table:
    head = ["engine", "runs", "GMAC", "moved, MB", "parameters, MB", "Edge TPU: to and fro, MB"]
    head += ["arithmetic at its peak, ms", "link at its peak, ms"]
    rows = []
    for name, each in frames.items():
        runs = ", ".join(f"{count} {part}" for part, count in each.runs.items())
        sizes = (each.work.moved_bytes, each.work.parameter_bytes, each.link_bytes)
        row = [_TITLES[name], runs, f"{each.work.macs / 1e9:.1f}", *(f"{size / 1e6:.1f}" for size in sizes)]
        rows.append([*row, f"{each.edgetpu_ms:.1f}", f"{each.link_ms:.0f}"])
    return Table(head, rows)


def _processor_table(frames: dict[str, FrameFigures]) -> Table:
    head = ["board", "by", "GMAC/s", *(f"{_TITLES[name]}, ms" for name in frames), "source"]
    rows = []
    for key, each in read_speeds().processors.items():
        times = [f"{frame.processor_ms[key]:.0f}" for frame in frames.values()]
        source = f"[{each.source}]({each.url}); operations: {each.macs_source}"
        measured = f"{each.network}: {each.ms:g} ms"
        rows.append([f"{each.name}, {each.core}", measured, f"{each.macs_per_s / 1e9:.1f}", *times, source])
    return Table(head, rows)


def _vela_table(figures: AcceleratorFigures) -> Table:
    head = ["file or frame", "on the NPU", "on the CPU"]
    for name in CONFIGURATIONS:
        head += [f"{name}: cycles", "ms", "working memory, KiB"]
    rows = []
    for each in figures.files:
        first = next(iter(each.vela.values()))
        row = [f"{each.network}, {each.part}", str(first.npu_operators), str(first.cpu_operators)]
        for estimated in each.vela.values():
            row += [str(estimated.cycles), f"{estimated.ms:.2f}", f"{estimated.sram_kib:.0f}"]
        rows.append(row)
    for name, frame in figures.frames.items():
        row = [f"a frame, {_TITLES[name]}", "-", "-"]
        for ms in frame.vela_ms.values():
            row += ["-", f"{ms:.0f}", "-"]
        rows.append(row)
    return Table(head, rows)
