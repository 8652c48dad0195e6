"""One network on the interpreter: the image is set once, then each pass runs with its own dropout masks."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle, BundleError, DropoutMask, NetworkFile
from flight.inference.interpreter import make_interpreter, name_tensors, strip_decorations
from flight.inference.masks import draw_offsets, draw_pool
from flight.inference.model_file import read_graph
from flight.inference.orientations import apply_orientation, undo_orientation
from flight.inference.output_kind import expected_channels, find_contradiction, make_scores
from flight.inference.pixels import PixelInput
from flight.libraries import LibraryError, explain_failure

# Of an integer tensor: 256 steps of it stay far inside float32, and the softmax of such scores is exact.
_LARGEST_SCALE = 1e30
_PROBE_SEED = 0x5052_4F42  # "PROB"; the same for all networks


class NetworkFaultError(Exception):
    """A network gave what its arithmetic cannot give: memory that it computes with is damaged."""


class Network:
    """A loaded network. Not thread-safe.

    Tensors are found by the names in the manifest, never by position: converters reorder inputs. What the manifest says
    of the output and of the pixels is compared with what the network does with an image of noise.

    Args:
        file: the network and its tensors' names, from the bundle.
        index: of the network in the bundle; networks of different index get different masks.
        shape: height, width and channels of the input.
        classes: number of classes K.
        threads: for the interpreter.
        orientations: the passes take this many orientations of the image in turn, see inference.orientations.

    Raises:
        BundleError: the file is not a TFLite model, or its tensors, its output or its pixels are not those of the
            manifest.
    """

    def __init__(
        self,
        file: NetworkFile,
        index: int,
        shape: tuple[int, int, int],
        classes: int,
        threads: int,
        orientations: int = 1,
    ) -> None:
        self.name = file.name
        self._index = index
        self._orientations = orientations
        self._images: list[NDArray[Any]] = []  # one per orientation
        self._classes = classes
        self._kind = file.output
        self._pixels = PixelInput(file.pixels, shape[2])
        masks = {mask.input: mask.shape for mask in file.dropout_masks}
        try:
            self._interpreter = make_interpreter(file.content, threads, {file.image_input: shape, **masks})
        except ValueError as error:
            raise BundleError(f"network {file.name}: not a TFLite model that can run here ({error})") from error
        inputs = name_tensors(self._interpreter.get_input_details())
        outputs = name_tensors(self._interpreter.get_output_details())
        self._image = _bind_image(file, index, inputs, shape, self._pixels)
        self._scores = _bind_output(file, outputs, shape[:2], classes)
        # Whether integers are all that it computes with, which a scale alone cannot make infinite: see _bind_tensor.
        self._integer = file.quantization != "float32" or self._scores["dtype"] != np.float32
        self._masks = [_bind_tensor(file.name, inputs, mask.input, mask.shape) for mask in file.dropout_masks]
        unbound = set(inputs) - {file.image_input, *masks}
        if unbound:
            raise BundleError(f"network {file.name}: inputs that the manifest does not name: {sorted(unbound)}")
        self._sizes = [int(np.prod(mask.shape)) for mask in file.dropout_masks]
        self._pools = _draw_pools(file.dropout_masks, self._masks, self._sizes)
        self._offsets = np.zeros((0, len(self._masks)), dtype=np.int64)
        self._source = _find_source(file)
        self.check_output(_make_probe(shape))

    @property
    def stochastic(self) -> bool:
        """Whether passes differ: True if the network has dropout masks as inputs."""
        return bool(self._masks)

    def begin(self, image: NDArray[np.float32], seed: int, passes: int) -> None:
        """Set the image and draw the masks of all passes.

        Args:
            image: (H, W, C) float32 in [0, 1].
            seed: of the frame, 0..2^64-1.
            passes: how many will be run.
        """
        pixels = _quantize(self._pixels.scale(image), self._image)
        self._images = [apply_orientation(pixels, number)[None] for number in range(min(self._orientations, passes))]
        if self._masks:
            lengths = [len(pool) for pool in self._pools]
            self._offsets = draw_offsets(seed, self._index, passes, lengths, self._sizes)

    @property
    def constants(self) -> list[NDArray[Any]]:
        """Arrays that never change: the pools of masks."""
        return list(self._pools)

    @property
    def frame_arrays(self) -> list[NDArray[Any]]:
        """Arrays that do not change from one `begin` to the next: the orientations of the image, the masks' offsets."""
        return [*self._images, self._offsets]

    def masks_checksum(self, checksum: int) -> int:
        """CRC-32 over the pools of masks.

        Args:
            checksum: CRC-32 of what comes before them; 0 to start.
        """
        for pool in self._pools:
            checksum = zlib.crc32(pool.data, checksum)
        return checksum

    def float_masks(self, number: int) -> list[NDArray[np.float32]]:
        """Dropout masks of one pass, dequantized, to feed the float network that this one was made from.

        Args:
            number: of the pass, 0..passes-1.

        Returns:
            One (1, H, W, C) float32 array per mask, in the manifest's order.
        """
        masks = []
        for detail, mask in zip(self._masks, self._select_masks(number), strict=True):
            if detail["dtype"] == np.float32:
                masks.append(mask)
            else:
                scale, zero_point = detail["quantization"]
                masks.append((mask.astype(np.float32) - np.float32(zero_point)) * np.float32(scale))
        return masks

    def run(self, number: int) -> NDArray[np.float32]:
        """Run one pass on the image of the last `begin`.

        Args:
            number: of the pass, 0..passes-1.

        Returns:
            (K, H, W) float32 raw scores (logits). Where one of a pixel's is not finite, all are NaN.

        Raises:
            NetworkFaultError: an int8 network gave scores that are not finite.
        """
        return self._run(self._select_masks(number), number % len(self._images))

    def run_without_dropout(self) -> NDArray[np.float32]:
        """Run the network once with all masks 1: dropout off, as after training. For comparison with the passes.

        In int8 a mask of 1 is rounded to the mask's quantization: exact for keep probabilities 0.8, 0.6 and 0.4,
        within 0.4 % for any of 0.5 or more.

        Returns:
            (K, H, W) float32 raw scores (logits), of orientation 0.
        """
        return self._run(self._kept_masks(), 0)

    def check_output(self, image: NDArray[np.float32]) -> None:
        """Compare what the network gives for an image, without dropout, with what the manifest says of its output.

        Args:
            image: (H, W, C) float32 in [0, 1]; becomes the image of the last `begin`.

        Raises:
            BundleError: they do not fit, or the network cannot be run.
        """
        self.begin(image, 0, 1)
        try:
            with explain_failure("TFLite runtime"):
                values = self._invoke(self._kept_masks(), 0)
        except LibraryError as error:
            raise BundleError(f"network {self.name}: not a TFLite model that can run here ({error})") from error
        problem = find_contradiction(values, self._kind, self._integer, self._source)
        if problem is not None:
            raise BundleError(f"network {self.name}: manifest.networks[{self._index}].output: {problem}")

    def _run(self, masks: list[NDArray[Any]], orientation: int) -> NDArray[np.float32]:
        values = self._invoke(masks, orientation)
        finite = np.isfinite(values)
        if not finite.all():
            if self._integer:
                raise NetworkFaultError(f"network {self.name}: expected finite scores, got NaN or infinity")
            values[:, ~finite.all(axis=0)] = np.nan
        return undo_orientation(make_scores(values, self._kind, self._classes, self._integer), orientation)

    def _invoke(self, masks: list[NDArray[Any]], orientation: int) -> NDArray[np.float32]:
        """Run the interpreter; returns its output, (C, H, W)."""
        self._interpreter.set_tensor(self._image["index"], self._images[orientation])
        for detail, mask in zip(self._masks, masks, strict=True):
            self._interpreter.set_tensor(detail["index"], mask)
        self._interpreter.invoke()
        values = self._interpreter.get_tensor(self._scores["index"])
        return _dequantize(values.reshape(*self._images[orientation].shape[1:3], -1), self._scores)

    def _kept_masks(self) -> list[NDArray[Any]]:
        ones = [np.ones(detail["shape"], dtype=np.float32) for detail in self._masks]
        return [_quantize(mask, detail) for mask, detail in zip(ones, self._masks, strict=True)]

    def _select_masks(self, number: int) -> list[NDArray[Any]]:
        """Masks of pass `number`, in the manifest's order: views of the pools, not copies."""
        if not self._masks:
            return []
        return [
            pool[offset : offset + size].reshape(detail["shape"])
            for detail, pool, size, offset in zip(
                self._masks, self._pools, self._sizes, self._offsets[number], strict=True
            )
        ]


def load_networks(bundle: Bundle, threads: int) -> list[Network]:
    """Load a bundle's networks.

    Args:
        bundle: a validated bundle.
        threads: for each network's interpreter.

    Returns:
        The networks in the bundle's order.

    Raises:
        BundleError: see Network.
    """
    shape = (bundle.height, bundle.width, bundle.channels)
    return [
        Network(file, index, shape, len(bundle.classes), threads, bundle.orientations)
        for index, file in enumerate(bundle.networks)
    ]


def _make_probe(shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """An image on which a network shows what its output is: noise, from black to white."""
    words = np.random.PCG64(_PROBE_SEED).random_raw(int(np.prod(shape)))
    return ((np.asarray(words, dtype=np.uint64) >> np.uint64(40)).astype(np.float32) / np.float32(2**24)).reshape(shape)


def _find_source(file: NetworkFile) -> str | None:
    """Name of the operator that computes the output; None where the file does not tell."""
    try:
        graph = read_graph(file.content)
    except ValueError:
        return None
    names = strip_decorations(list(graph.tensors))
    source = graph.find_source(graph.tensors[names.index(file.scores_output)]) if file.scores_output in names else None
    return None if source is None else source.name


def _bind_image(
    file: NetworkFile, index: int, inputs: dict[str, Any], shape: tuple[int, int, int], pixels: PixelInput
) -> dict[str, Any]:
    """The details of the image's tensor. A uint8 one without a scale takes the values as they are."""
    name = file.image_input
    detail = inputs.get(name)
    if detail is not None and detail["dtype"] == np.uint8 and detail["quantization"][0] == 0.0:
        inputs = {**inputs, name: {**detail, "quantization": (1.0, 0)}}
    detail = _bind_tensor(file.name, inputs, name, shape)
    if detail["dtype"] != np.float32:
        problem = pixels.find_contradiction(detail["dtype"], *detail["quantization"])
        if problem is not None:
            raise BundleError(f"network {file.name}: manifest.networks[{index}].pixels: {problem}")
    return detail


def _bind_output(file: NetworkFile, outputs: dict[str, Any], size: tuple[int, int], classes: int) -> dict[str, Any]:
    """The details of the output's tensor: (1, H, W, C), or as (1, H W, C) or (1, H, W) what holds the same values.

    Which numbers of channels C fit depends on the kind of output.
    """
    height, width = size
    channels = expected_channels(file.output, classes)
    shapes = {(height, width, count) for count in channels} | {(height * width, count) for count in channels}
    if 1 in channels:
        shapes.add((height, width))
    detail = outputs.get(file.scores_output)
    found = () if detail is None else tuple(int(side) for side in detail["shape"][1:])
    return _bind_tensor(file.name, outputs, file.scores_output, found if found in shapes else (*size, channels[0]))


def _bind_tensor(network: str, details: dict[str, Any], name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """The interpreter's details of the tensor `name`, after checks of its shape and dtype."""
    if name not in details:
        raise BundleError(f"network {network}: expected a tensor {name}, got {', '.join(sorted(details))}")
    detail: dict[str, Any] = details[name]
    place = f"network {network}: tensor {name}"
    found = tuple(int(side) for side in detail["shape"])
    if detail["dtype"] not in (np.int8, np.uint8, np.float32):
        hint = " (a map of classes has no scores)" if np.issubdtype(detail["dtype"], np.integer) else ""
        raise BundleError(f"{place}: expected int8, uint8 or float32, got {detail['dtype'].__name__}{hint}")
    if found != (1, *shape):
        hint = " (channels come first: convert it to NHWC)" if found == (1, *shape[-1:], *shape[:-1]) else ""
        raise BundleError(f"{place}: expected shape {(1, *shape)}, got {found}{hint}")
    if detail["dtype"] != np.float32:
        scale, _ = detail["quantization"]
        if not 0.0 < scale <= _LARGEST_SCALE:
            raise BundleError(f"{place}: quantization: expected a scale in (0, {_LARGEST_SCALE:g}], got {scale:g}")
    return detail


def _draw_pools(masks: tuple[DropoutMask, ...], details: list[dict[str, Any]], sizes: list[int]) -> list[NDArray[Any]]:
    """One pool per mask; masks of the same keep probability and quantization share one."""
    values = []
    for mask, detail in zip(masks, details, strict=True):
        # Inverted dropout: kept units are scaled by 1 / keep probability.
        kept, dropped = _quantize(np.array([1.0 / mask.keep_probability, 0.0], dtype=np.float32), detail)
        values.append((mask.keep_probability, kept.item(), dropped.item(), np.dtype(detail["dtype"])))
    lengths: dict[Any, int] = {}
    for key, size in zip(values, sizes, strict=True):
        lengths[key] = max(lengths.get(key, 0), 2 * size)
    drawn = {key: draw_pool(length, *key) for key, length in lengths.items()}
    return [drawn[key] for key in values]


def _quantize(values: NDArray[np.float32], detail: dict[str, Any]) -> NDArray[Any]:
    if detail["dtype"] == np.float32:
        return values
    scale, zero_point = detail["quantization"]
    limits = np.iinfo(detail["dtype"])
    steps = np.rint(values / np.float32(scale)) + zero_point
    quantized: NDArray[Any] = np.clip(steps, limits.min, limits.max).astype(detail["dtype"])
    return quantized


def _dequantize(values: NDArray[Any], detail: dict[str, Any]) -> NDArray[np.float32]:
    """(H, W, K) from the interpreter to (K, H, W) float32; one plane per class makes the sums over classes fast."""
    planes = np.ascontiguousarray(values.transpose(2, 0, 1)).astype(np.float32)
    if detail["dtype"] != np.float32:
        scale, zero_point = detail["quantization"]
        planes -= np.float32(zero_point)
        planes *= np.float32(scale)
    return planes
