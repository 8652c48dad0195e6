"""A bundle's networks for images of another size: the same weights, in graphs whose shapes are others."""

from __future__ import annotations

from dataclasses import replace

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from flight.bundle import Bundle, NetworkFile
from flight.closed_form_files import DropoutMask
from ground_tools.export.closed_form import build_closed_form
from ground_tools.export.tflite_graph import Operators, SourceGraph


def resize_bundle(bundle: Bundle, factor: float, images: np.ndarray) -> Bundle:
    """The bundle for images `factor` times as high and as wide.

    Args:
        bundle: as it is.
        factor: of the height and the width.
        images: (N, H, W, C) float32 in [0, 1], of the new size, for the ranges of the closed form.

    Raises:
        ValueError: a network has a shape that is not a size of an image, or that the factor makes no whole number.
    """
    networks = []
    for network in bundle.networks:
        resized = _resize_network(network, factor)
        if network.closed_form is not None:
            resized = replace(resized, closed_form=build_closed_form(resized, images))
        networks.append(resized)
    height, width = _scale(bundle.height, factor), _scale(bundle.width, factor)
    return replace(bundle, height=height, width=width, networks=tuple(networks))


def _resize_network(network: NetworkFile, factor: float) -> NetworkFile:
    source = SourceGraph(network.content)
    graph = source.graph
    for index, tensor in enumerate(graph.tensors):
        if source.constant(index) is None and len(tensor.shape) == 4:
            rows, columns = (_scale(int(side), factor) for side in tensor.shape[1:3])
            tensor.shape = [int(tensor.shape[0]), rows, columns, int(tensor.shape[3])]
            tensor.shapeSignature = None
    for operator in graph.operators:
        code = source.code(operator)
        if code == Operators.TRANSPOSE_CONV:
            _set_constant(source, int(operator.inputs[0]), source.shape(int(operator.outputs[0])))
        elif code in (Operators.RESHAPE, Operators.SLICE, Operators.STRIDED_SLICE, Operators.RESIZE_BILINEAR):
            raise ValueError(f"network {network.name}: expected no operator with a shape of its own, got number {code}")
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(source.model.Pack(builder), b"TFL3")
    masks = tuple(
        DropoutMask(
            mask.input, (*(_scale(side, factor) for side in mask.shape[:2]), mask.shape[2]), mask.keep_probability
        )
        for mask in network.dropout_masks
    )
    return replace(network, content=bytes(builder.Output()), dropout_masks=masks, closed_form=None)


def _set_constant(source: SourceGraph, tensor: int, shape: tuple[int, ...]) -> None:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.array(shape, dtype=np.int32).tobytes(), dtype=np.uint8)
    source.model.buffers.append(buffer)
    source.graph.tensors[tensor].buffer = len(source.model.buffers) - 1


def _scale(side: int, factor: float) -> int:
    scaled = side * factor
    if scaled != int(scaled) or scaled < 1:
        raise ValueError(f"size: expected a factor that makes whole numbers, got {factor:g} times {side}")
    return int(scaled)
