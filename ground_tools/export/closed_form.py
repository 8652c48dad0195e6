"""From a network's .tflite file to the files of the closed-form head, see docs/posterior.md.

- features: what no dropout mask changes; runs once for an image.
- passes: the rest with its masks, up to where the linear head begins, then the head as one folded convolution. Its
  scores come in steps of 0.05 nat: a class's range is covered by as many int8 channels as it takes, each of which
  saturates outside of its own part, and their sum is the score.
- covariance: the same without dropout, then the covariance of the scores by the head's masks, at every second pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flight.bundle import NetworkFile
from flight.closed_form_files import ClosedFormFiles
from flight.inference.interpreter import make_interpreter, name_tensors
from flight.inference.masks import Masks
from flight.inference.network import describe_mask
from flight.inference.pixels import PixelInput
from ground_tools.export.folded_head import FoldedHead, ScoreWindows
from ground_tools.export.linear_head import LinearHead, covariance_kernels
from ground_tools.export.recalibration import MaskProduct, is_passing, recalibrate
from ground_tools.export.tflite_graph import GraphWriter, Operators, Quantization, SourceGraph
from ground_tools.foundation.sampling import evenly

SCORE_STEP = 0.05
# The ranges of many images are those of a few.
_RANGES_IMAGES = 32
# Beyond what the images showed, nat.
_RANGE_MARGIN = 2.0
COVARIANCE_STRIDE = 2


@dataclass(frozen=True)
class _Parts:
    """Where a network is cut. Tensors are indices of the source.

    features: what masks do not change and the rest reads. masks: of the passes, by name. tail: where the head begins.
    convolutions: the head's (kernel, bias, output) tensors.
    """

    source: SourceGraph
    image: int
    features: tuple[int, ...]
    masks: dict[str, int]
    tail: int
    convolutions: tuple[tuple[int, int, int], ...]
    head: LinearHead


def split_network(file: NetworkFile) -> _Parts:
    """Find a network's linear head, and what its masks do not change.

    Raises:
        ValueError: it does not end in int8 convolutions with dropout masks between them.
    """
    source = SourceGraph(file.content)
    by_tensor = {source.find(mask.input): mask for mask in file.dropout_masks}
    convolutions: list[tuple[int, int, int]] = []
    keep: list[float] = []
    tensor = source.find(file.scores_output)
    while True:
        operator = source.producers.get(tensor)
        if operator is None or source.code(operator) != Operators.CONV_2D or not _is_linear(source, operator):
            break
        x, kernel, bias = (int(i) for i in operator.inputs)
        convolutions.insert(0, (kernel, bias, tensor))
        tensor = x
        product = source.producers.get(x)
        if product is None or source.code(product) != Operators.MUL:
            break
        mask = next((int(i) for i in product.inputs if int(i) in by_tensor), None)
        if mask is None:
            break
        keep.insert(0, by_tensor[mask].keep_probability)
        tensor = next(int(i) for i in product.inputs if int(i) != mask)
    # A mask before the first convolution is not the head's.
    keep = keep[-(len(convolutions) - 1) :] if len(convolutions) > 1 else []
    if not keep:
        raise ValueError(
            f"network {file.name}: expected int8 convolutions with dropout masks between them at its end, got none"
        )
    tail = next(int(i) for i in source.producers[convolutions[0][2]].inputs)
    head = LinearHead(
        tuple(source.weights(kernel) for kernel, _, _ in convolutions),
        tuple(source.weights(bias) for _, bias, _ in convolutions),
        tuple(keep),
    )
    image = source.find(file.image_input)
    if tail == image:
        raise ValueError(f"network {file.name}: expected something before its linear head, got the image")
    changed = _changed_by(source, set(by_tensor))
    reading = _needed_for(source, tail)
    masks = {mask.input: tensor for tensor, mask in by_tensor.items() if tensor in reading}
    features = tuple(
        sorted(
            tensor
            for tensor in reading
            if tensor not in changed
            and tensor not in by_tensor
            and (tensor in source.producers or tensor == image)
            and any(
                tensor in operator.inputs and int(operator.outputs[0]) in changed & reading
                for operator in source.graph.operators
            )
        )
    )
    return _Parts(source, image, features or (tail,), masks, tail, tuple(convolutions), head)


def _is_linear(source: SourceGraph, operator: Any) -> bool:
    options = operator.builtinOptions
    plain = (options.fusedActivationFunction, options.padding, options.strideH, options.strideW) == (0, 0, 1, 1)
    kernel = source.shape(int(operator.inputs[1]))
    return plain and source.is_int8(int(operator.outputs[0])) and kernel[1] == kernel[2]


def _changed_by(source: SourceGraph, masks: set[int]) -> set[int]:
    """The tensors that depend on masks."""
    changed = set(masks)
    for operator in source.graph.operators:
        if any(int(i) in changed for i in operator.inputs):
            changed |= {int(i) for i in operator.outputs}
    return changed - masks


def _needed_for(source: SourceGraph, tensor: int) -> set[int]:
    """The tensors that a tensor is computed from, and itself."""
    needed, stack = set(), [tensor]
    while stack:
        one = stack.pop()
        if one in needed or one < 0:
            continue
        needed.add(one)
        if one in source.producers:
            stack += [int(i) for i in source.producers[one].inputs]
    return needed


def feature_names(count: int) -> list[str]:
    """Names of the tensors between the files."""
    return [f"feature_{number}" for number in range(1, count + 1)]


def build_closed_form(
    file: NetworkFile, images: np.ndarray, stride: int = COVARIANCE_STRIDE, score_step: float = SCORE_STEP
) -> ClosedFormFiles:
    """Make the files of one network.

    Args:
        file: the network, in int8.
        images: (N, H, W, C) float32 in [0, 1], for the scores' ranges.
        stride: of the covariance, pixels.
        score_step: of the scores, nat.

    Raises:
        ValueError: see split_network.
    """
    parts = split_network(file)
    images = images[evenly(len(images), min(_RANGES_IMAGES, len(images)))]
    _recalibrate(parts, file, images)
    low, high = _score_ranges(parts, file, images)
    return ClosedFormFiles(
        _features_file(parts, file.image_input),
        _passes_file(parts, low - _RANGE_MARGIN, high + _RANGE_MARGIN, score_step),
        _covariance_file(parts, stride),
        tuple(mask for mask in file.dropout_masks if mask.input in parts.masks),
    )


def _network_inputs(file: NetworkFile, images: np.ndarray) -> list[np.ndarray]:
    scaling = PixelInput(file.pixels, images.shape[-1])
    return [scaling.scale(image) for image in images]


def _recalibrate(parts: _Parts, file: NetworkFile, images: np.ndarray) -> None:
    """Give all that leads to the head, and the means in it, the ranges in which they are rounded least."""
    generator = np.random.default_rng(0)
    inputs = []
    for image in _network_inputs(file, images):
        values = {file.image_input: image[None]}
        for mask in file.dropout_masks:
            # The head's own masks are 1: the covariance needs the means.
            of_pass = mask.input in parts.masks
            kept = generator.random((1, *mask.shape)) < mask.keep_probability
            values[mask.input] = (kept / mask.keep_probability if of_pass else np.ones(kept.shape)).astype(np.float32)
        inputs.append(values)
    tensors = _needed_for(parts.source, parts.tail) | {output for _, _, output in parts.convolutions[:-1]}
    recalibrate(parts.source, file.content, tensors, inputs, _mask_products(parts, file, tensors))


def _mask_products(parts: _Parts, file: NetworkFile, tensors: set[int]) -> list[MaskProduct]:
    """The products with the passes' masks whose outputs are among tensors, and read by no operator that passes on."""
    source, found = parts.source, []
    for mask in file.dropout_masks:
        tensor = parts.masks.get(mask.input)
        for operator in source.graph.operators:
            output = int(operator.outputs[0])
            if source.code(operator) != Operators.MUL or tensor not in operator.inputs or output not in tensors:
                continue
            masked = next(int(i) for i in operator.inputs if int(i) != tensor)
            if not any(output in reader.inputs and is_passing(source, reader) for reader in source.graph.operators):
                found.append(MaskProduct(output, masked, 1.0 / mask.keep_probability))
    return found


def _features_file(parts: _Parts, image: str) -> bytes:
    writer = GraphWriter()
    known = {parts.image: writer.add_input(parts.source, parts.image, image)}
    writer.copy(parts.source, parts.features, known)
    for name, tensor in zip(feature_names(len(parts.features)), parts.features, strict=True):
        writer.add_output(known[tensor], name)
    return writer.finish()


def _start(parts: _Parts) -> tuple[GraphWriter, dict[int, int]]:
    writer = GraphWriter()
    names = feature_names(len(parts.features))
    known = {t: writer.add_input(parts.source, t, n) for n, t in zip(names, parts.features, strict=True)}
    return writer, known


def _add_decoder(writer: GraphWriter, parts: _Parts, known: dict[int, int]) -> int:
    for name, tensor in parts.masks.items():
        known[tensor] = writer.add_input(parts.source, tensor, name)
    writer.copy(parts.source, [parts.tail], known)
    return known[parts.tail]


def _score_ranges(parts: _Parts, file: NetworkFile, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and largest folded score of each class over images, each in one pass."""
    import tensorflow as tf

    features = make_interpreter(_features_file(parts, file.image_input), 1)
    writer, known = _start(parts)
    writer.add_output(_add_decoder(writer, parts, known), "tail")
    decoder = make_interpreter(writer.finish(), 1)
    inputs, outputs = name_tensors(decoder.get_input_details()), name_tensors(features.get_output_details())
    (image_detail,), (tail_detail,) = features.get_input_details(), decoder.get_output_details()
    described = [mask for mask in file.dropout_masks if mask.input in parts.masks]
    masks = Masks([describe_mask(mask, inputs[mask.input]) for mask in described], 0)
    scale, zero_point = tail_detail["quantization"]
    kernels = [tf.constant(kernel.transpose(1, 2, 3, 0), tf.float32) for kernel in parts.head.kernels]
    found = []
    for seed, image in enumerate(_network_inputs(file, images)):
        step, zero = image_detail["quantization"]
        features.set_tensor(image_detail["index"], Quantization(step, zero).quantize(image)[None])
        features.invoke()
        for name, detail in outputs.items():
            decoder.set_tensor(inputs[name]["index"], features.get_tensor(detail["index"]))
        masks.begin(seed, 1)
        for index, mask in enumerate(described):
            masks.fill(index, 0, decoder.tensor(inputs[mask.input]["index"])().reshape(-1))
        decoder.invoke()
        y = (decoder.get_tensor(tail_detail["index"]).astype(np.float32) - zero_point) * np.float32(scale)
        for kernel, bias in zip(kernels, parts.head.biases, strict=True):
            y = tf.nn.conv2d(y, kernel, 1, "SAME") + bias.astype(np.float32)
        found.append(np.asarray(y)[0].reshape(-1, y.shape[-1]))
    scores = np.concatenate(found).astype(np.float64)
    return scores.min(axis=0), scores.max(axis=0)


def _passes_file(parts: _Parts, low: np.ndarray, high: np.ndarray, step: float) -> bytes:
    writer, known = _start(parts)
    x = _add_decoder(writer, parts, known)
    windows = ScoreWindows.cover(low, high, step)
    stacked = FoldedHead(writer, x, parts.head, windows).add()
    count = len(low)
    sums = np.zeros((count, 1, 1, len(windows.classes)))
    sums[windows.classes, 0, 0, np.arange(len(windows.classes))] = 1.0
    writer.add_output(writer.add_convolution(writer.add_dequantization(stacked), sums, windows.offsets, None), "scores")
    return writer.finish()


def _covariance_file(parts: _Parts, stride: int) -> bytes:
    writer, known = _start(parts)
    for tensor in parts.masks.values():
        # A mask of ones, which the product spreads over all units.
        quantization = parts.source.quantization(tensor)
        one = quantization.quantize(np.ones((1, 1, 1, 1)))
        known[tensor] = writer.add_constant(one, quantization)
    writer.copy(parts.source, [parts.tail], known)
    x = known[parts.tail]
    kernels = covariance_kernels(parts.head)
    total = None
    for mask, (kernel, bias, output) in enumerate(parts.convolutions[:-1]):
        last = mask + 1 == len(kernels)
        x = _add_mean(writer, parts.source, x, (kernel, bias, output), stride if last else 1)
        values = writer.add_dequantization(x if last or stride == 1 else writer.add_every(x, stride))
        squares = writer.add_product(values, values)
        # Of neighbours much the same: the kernel's sum is enough.
        summed = kernels[mask].sum(axis=(1, 2))[:, None, None, :]
        part = writer.add_convolution(squares, summed, np.zeros(len(summed)), None)
        total = part if total is None else writer.add_sum(total, part)
    assert total is not None
    writer.add_output(total, "covariance")
    return writer.finish()


def _add_mean(writer: GraphWriter, source: SourceGraph, x: int, tensors: Sequence[int], stride: int) -> int:
    """A convolution of the head without dropout, at every stride-th pixel from the first."""
    kernel, bias, output = tensors
    weights = source.weights(kernel)
    quantization = source.quantization(output)
    if stride == 1:
        return writer.add_convolution(x, weights, source.weights(bias), quantization, same=True)
    radius = weights.shape[1] // 2
    padded = writer.add_padding(x, radius, radius)
    return writer.add_convolution(padded, weights, source.weights(bias), quantization, stride=stride)
