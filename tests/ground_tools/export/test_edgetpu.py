"""Files for the Coral Edge TPU: what maps by the documented rules, and what is written so that it does."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.bundle import load_bundle
from flight.inference.interpreter import is_compiled, make_interpreter, name_tensors
from ground_tools import cli
from ground_tools.export.edgetpu import rewrite_for_edgetpu
from ground_tools.export.edgetpu_bundle import compare_bundles, read_parity, write_edgetpu_bundle
from ground_tools.export.edgetpu_rules import check_graph, read_rules
from ground_tools.export.tflite_graph import GraphWriter, Operators, Quantization, SourceGraph, schema
from ground_tools.foundation.json_records import to_plain
from tests.closed_form_bundle import small_network
from tests.fake_edgetpu import write_compiler
from tests.tiny_bundle import promise_risks

STEPS = Quantization(0.1, 3)
PARTS = ("features", "passes", "covariance")


class Drawing:
    """A file of a few operations on an image of 8 x 8 px and 4 channels."""

    def __init__(self, shape: tuple[int, ...] = (1, 8, 8, 4)) -> None:
        self.writer = GraphWriter()
        self.x = self.writer.add_new_input(shape, STEPS, "image")

    def add(self, code: int, options: Any = None, *constants: np.ndarray, shape: tuple[int, ...] = ()) -> Drawing:
        """Apply an operation to the last tensor."""
        inputs = [self.x, *(self.writer.add_constant(values, STEPS) for values in constants)]
        output = self.writer.add_tensor(shape or self.writer.shape(self.x), STEPS)
        self.x = self.writer.add_operator(code, inputs, output, options)
        return self

    def finish(self) -> bytes:
        self.writer.add_output(self.x, "scores")
        return self.writer.finish()


def options(kind: Any, **fields: Any) -> Any:
    made = kind()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def integers(*values: Any) -> np.ndarray:
    return np.array(values, dtype=np.int32)


RELU = schema.ActivationFunctionType.RELU
# What is drawn, and why its last operation stays on the CPU; "" where it maps.
DRAWINGS: dict[str, tuple[Drawing, str]] = {
    "relu": (Drawing().add(Operators.RELU), ""),
    "leaky relu": (
        Drawing().add(Operators.LEAKY_RELU, options(schema.LeakyReluOptionsT, alpha=0.3)),
        "not among the operations that are documented as supported",
    ),
    "pooling": (
        Drawing().add(Operators.MAX_POOL_2D, options(schema.Pool2DOptionsT), shape=(1, 4, 4, 4)),
        "",
    ),
    "pooling with relu": (
        Drawing().add(Operators.MAX_POOL_2D, options(schema.Pool2DOptionsT, fusedActivationFunction=RELU)),
        "a fused activation function",
    ),
    "a constant appended": (
        Drawing().add(
            Operators.CONCATENATION,
            options(schema.ConcatenationOptionsT, axis=3),
            np.ones((1, 8, 8, 2), np.int8),
            shape=(1, 8, 8, 6),
        ),
        "a constant input, expected one of zeros beside one other",
    ),
    "zeros appended": (
        Drawing().add(
            Operators.CONCATENATION,
            options(schema.ConcatenationOptionsT, axis=3),
            np.full((1, 8, 8, 2), STEPS.zero_point, np.int8),
            shape=(1, 8, 8, 6),
        ),
        "",
    ),
    "every second row": (
        Drawing().add(
            Operators.STRIDED_SLICE,
            options(schema.StridedSliceOptionsT),
            integers(0, 0, 0, 0),
            integers(1, 8, 8, 4),
            integers(1, 2, 1, 1),
            shape=(1, 4, 8, 4),
        ),
        "strides of 2, expected 1",
    ),
    "the batch padded": (
        Drawing().add(Operators.PAD, None, integers([1, 0], [0, 0], [0, 0], [0, 0]), shape=(2, 8, 8, 4)),
        "a tensor of shape (2, 8, 8, 4), expected 1 for all but the last three sides",
    ),
    "a batch of two": (Drawing((2, 8, 8, 4)).add(Operators.RELU), "expected 1 for all but the last three sides"),
    "a mean over the batch": (
        Drawing().add(Operators.MEAN, None, integers(0), shape=(1, 8, 8, 4)),
        "over the batch",
    ),
    "a softmax over an image": (
        Drawing().add(Operators.SOFTMAX, options(schema.SoftmaxOptionsT, beta=1.0)),
        "an input of shape (1, 8, 8, 4), expected one dimension of at most 16,000",
    ),
    "an alpha for each pixel": (
        Drawing().add(Operators.PRELU, None, np.ones((8, 8, 4), np.int8)),
        "an alpha of shape (8, 8, 4), expected a constant for each channel",
    ),
    "an alpha for each channel": (Drawing().add(Operators.PRELU, None, np.ones((1, 1, 4), np.int8)), ""),
    "behind one that does not": (
        Drawing().add(Operators.LEAKY_RELU, options(schema.LeakyReluOptionsT)).add(Operators.RELU),
        "behind operation 1, LEAKY_RELU: the compiler makes one part alone",
    ),
}


@pytest.mark.parametrize("kind", DRAWINGS)
def test_every_operation_is_said_to_map_or_why_it_does_not(kind: str) -> None:
    drawing, why = DRAWINGS[kind]
    verdict = check_graph(drawing.finish())[-1]
    assert verdict.maps == (not why)
    assert str(verdict).startswith("stays on the CPU: " if why else "maps")
    assert why in str(verdict)


def test_a_float_tensor_stays_on_the_cpu() -> None:
    drawing = Drawing()
    drawing.x = drawing.writer.add_dequantization(drawing.x)
    drawing.x = drawing.writer.add_product(drawing.x, drawing.x)
    first, second = check_graph(drawing.finish())
    assert not first.maps
    assert "a tensor of float32, expected int8" in str(second)


def test_a_version_that_the_compiler_does_not_know_is_told() -> None:
    """It would reject the file as a whole. The shipped files have one such operator."""
    content = load_bundle(Path("models/unet_h")).networks[0].content
    found = [str(verdict) for verdict in check_graph(content) if verdict.operator == "TRANSPOSE_CONV"]
    assert len(found) == 4
    assert all("version 4 of the operator, expected at most 3 (the file is rejected)" in text for text in found)


def test_the_table_names_its_source_and_operators_that_there_are() -> None:
    rules = read_rules()
    assert rules.source.url.startswith("https://coral.ai/")
    assert set(rules.operations) <= set(vars(Operators))
    assert "LEAKY_RELU" not in rules.operations
    assert rules.memory.parameters_bytes == 8 << 20


# Rewriting


def run_both(content: bytes, seed: int) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """What a file and its twin give for the same inputs, quantized as they are; by output."""
    interpreters = [make_interpreter(each, 1) for each in (content, rewrite_for_edgetpu(content))]
    first, second = (name_tensors(each.get_input_details()) for each in interpreters)
    assert list(first) == list(second)
    generator = np.random.default_rng(seed)
    for name, detail in first.items():
        values = generator.integers(-128, 128, detail["shape"]).astype(np.int8)
        if name.startswith("mask"):
            values = np.where(generator.random(detail["shape"]) < 0.7, 127, -128).astype(np.int8)
        interpreters[0].set_tensor(detail["index"], values)
        interpreters[1].set_tensor(second[name]["index"], values)
    for interpreter in interpreters:
        interpreter.invoke()
    outputs = [name_tensors(each.get_output_details()) for each in interpreters]
    assert list(outputs[0]) == list(outputs[1])
    return [
        (
            name,
            interpreters[0].get_tensor(outputs[0][name]["index"]).astype(np.float64),
            interpreters[1].get_tensor(outputs[1][name]["index"]).astype(np.float64),
        )
        for name in outputs[0]
    ]


@settings(max_examples=30)
@given(
    scale=st.floats(0.01, 1.0),
    zero=st.integers(-128, 127),
    narrower=st.floats(0.4, 1.5),
    out_zero=st.integers(-128, 100),
    slope=st.sampled_from([0.01, 0.1, 0.3, 0.9]),
)
def test_a_leaky_relu_becomes_a_maximum_that_is_within_a_step(
    scale: float, zero: int, narrower: float, out_zero: int, slope: float
) -> None:
    writer = GraphWriter()
    x = writer.add_new_input((1, 16, 16, 4), Quantization(scale, zero), "image")
    out = writer.add_tensor((1, 16, 16, 4), Quantization(scale * narrower, out_zero))
    writer.add_operator(Operators.LEAKY_RELU, [x], out, options(schema.LeakyReluOptionsT, alpha=slope))
    writer.add_output(out, "scores")
    twin = rewrite_for_edgetpu(writer.finish())
    assert [verdict.operator for verdict in check_graph(twin)] == ["MUL", "MUL", "MAXIMUM"]
    interpreter = make_interpreter(twin, 1)
    (given_detail,), (got_detail,) = interpreter.get_input_details(), interpreter.get_output_details()
    steps = np.arange(1024).reshape(1, 16, 16, 4) % 256 - 128
    interpreter.set_tensor(given_detail["index"], steps.astype(np.int8))
    interpreter.invoke()
    values = scale * (steps - zero)
    exact = np.clip(np.where(values > 0, values, slope * values) / (scale * narrower) + out_zero, -128, 127)
    assert np.abs(interpreter.get_tensor(got_detail["index"]) - exact).max() <= 1.001


def test_every_part_of_a_shipped_network_is_rewritten_to_the_same_values() -> None:
    """All operations map but for the last step in float32. Within the rounding of the activations."""
    network = load_bundle(Path("models/unet_h")).networks[0]
    assert network.closed_form is not None
    parts = {part: getattr(network.closed_form, part) for part in PARTS}
    stays = {"passes": {"DEQUANTIZE", "CONV_2D"}, "covariance": {"DEQUANTIZE", "MUL", "CONV_2D", "ADD"}}
    for part, content in {**parts, "whole": network.content}.items():
        verdicts = check_graph(rewrite_for_edgetpu(content))
        assert {verdict.operator for verdict in verdicts if not verdict.maps} == stays.get(part, set())
        # What maps comes first, so that one part holds it.
        assert sorted(verdicts, key=lambda verdict: not verdict.maps) == verdicts
    for part, content in parts.items():
        for name, original, twin in run_both(content, 1):
            assert np.abs(twin - original).mean() <= 0.015 * original.std(), f"{part}: {name}"


def test_what_is_no_leaky_relu_keeps_its_bits() -> None:
    """Transposed convolutions, and a convolution of which every second pixel is wanted."""
    generator = np.random.default_rng(0)
    writer = GraphWriter()
    x = writer.add_new_input((1, 9, 10, 4), STEPS, "image")
    kernel = generator.normal(0.0, 0.2, (6, 3, 3, 4))
    x = writer.add_convolution(x, kernel, np.zeros(6), Quantization(0.05, -3), same=True)
    writer.add_output(writer.add_every(x, 2), "scores")
    (_, original, twin), *_ = run_both(writer.finish(), 2)
    assert original.std() > 10
    assert np.array_equal(original, twin)
    # Its only operations in int8 that are rewritten are transposed convolutions with a ReLU.
    content = load_bundle(Path("models/unet_h")).networks[0].closed_form.features  # type: ignore[union-attr]
    source = SourceGraph(rewrite_for_edgetpu(content))
    names = [verdict.operator for verdict in check_graph(rewrite_for_edgetpu(content))]
    transposed = source.graph.operators[names.index("TRANSPOSE_CONV")]
    assert transposed.builtinOptions.fusedActivationFunction == schema.ActivationFunctionType.NONE
    assert names[names.index("TRANSPOSE_CONV") + 1] == "RELU"


# Bundles


@pytest.fixture(scope="module")
def twin_bundle(tmp_path_factory: pytest.TempPathFactory, closed_form_bundle: Path) -> Path:
    folder = tmp_path_factory.mktemp("edgetpu")
    source = Path(shutil.copytree(closed_form_bundle, folder / closed_form_bundle.name))
    write_edgetpu_bundle(promise_risks(source, {"Fused": [(0.02, 0.4)]}), folder / "twin", None)
    return folder / "twin"


def test_a_bundle_is_written_anew_and_compared(closed_form_bundle: Path, twin_bundle: Path) -> None:
    original, twin = load_bundle(closed_form_bundle), load_bundle(twin_bundle)
    assert twin.version == f"{original.version}+edgetpu"
    assert set(twin.manifest["metrics"]["edgetpu"]) == {"closed_form", "passes"}
    # Nobody has measured what these files keep of the promise.
    assert "risk_thresholds" not in twin.manifest
    frames = np.random.default_rng(3).integers(0, 256, (2, 32, 48, 3)).astype(np.uint8)
    for parity in compare_bundles(original, twin, frames).values():
        assert parity.images == 2
        assert parity.class_agreement > 0.97
        assert parity.entropy_difference < 0.5 * parity.other_masks
    first, *rest = twin.networks
    spoilt = replace(twin, networks=(replace(first, content=small_network(7).content), *rest))
    assert compare_bundles(original, spoilt, frames)["passes"].class_agreement < 0.9


def test_what_an_export_has_found_is_read_from_the_bundle(closed_form_bundle: Path, twin_bundle: Path) -> None:
    original, twin = load_bundle(closed_form_bundle), load_bundle(twin_bundle)
    assert to_plain(read_parity(original, twin)) == twin.manifest["metrics"]["edgetpu"]
    with pytest.raises(ValueError, match=r"--edgetpu: expected version .*\+edgetpu of "):
        read_parity(original, original)


def test_the_compiler_goes_over_every_file(closed_form_bundle: Path, tmp_path: Path) -> None:
    out, compiler = tmp_path / "compiled", write_compiler(tmp_path / "bin")
    arguments = ["export", "--bundle", str(closed_form_bundle), "--target", "edgetpu", "--out", str(out)]
    assert cli.main([*arguments, "--compiler", str(compiler)]) == 0
    for network in load_bundle(out).networks:
        assert network.closed_form is not None
        files = [network.content, *(getattr(network.closed_form, part) for part in PARTS)]
        assert all(is_compiled(content, "edgetpu") for content in files)


REFUSED = {
    "a network in float32": (["--target", "edgetpu"], "expected networks in int8, got others: First, Second"),
    "a compiler that is not there": (["--target", "edgetpu", "--compiler", "absent"], "--compiler absent: expected a"),
    "no target": ([], "--bundle: expected --target edgetpu beside it, got none"),
    "a compiler without a target": (["--compiler", "cc"], "expected --target edgetpu beside it, got none"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_written_is_told_in_one_line(
    closed_form_bundle: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    extra, cause = REFUSED[kind]
    bundle = tiny_bundle if kind == "a network in float32" else closed_form_bundle
    assert cli.main(["export", "--bundle", str(bundle), "--out", str(tmp_path / "out"), *extra]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ground-tools export: ")
    assert cause in line
    assert not (tmp_path / "out").exists()


def test_a_compiler_that_fails_leaves_no_bundle(
    closed_form_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compiler = write_compiler(tmp_path / "bin", "First_passes.tflite")
    out = tmp_path / "out"
    arguments = ["export", "--bundle", str(closed_form_bundle), "--target", "edgetpu", "--out", str(out)]
    assert cli.main([*arguments, "--compiler", str(compiler)]) == 2
    assert "Internal compiler error. Aborting!" in capsys.readouterr().err.splitlines()[-1]
    assert not out.exists()


def test_files_and_bundles_are_checked_by_one_command(
    twin_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check-accelerator", str(twin_bundle)]) == 1
    said = capsys.readouterr().out
    assert said.count(" operations map\n") == 8
    assert "DEQUANTIZE" in said
    assert "coral.ai" in said.splitlines()[-1]
    assert cli.main(["check-accelerator", str(twin_bundle / "First_features.tflite")]) == 0
    capsys.readouterr()
    (tmp_path / "no.tflite").write_bytes(b"no such file at all")
    for path, cause in ((tmp_path / "no.tflite", "expected a .tflite file"), (tmp_path / "absent", "No such file")):
        assert cli.main(["check-accelerator", str(path)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"ground-tools check-accelerator: {path}: ")
        assert cause in line
