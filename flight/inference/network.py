"""One network on the interpreter: the image is set once, then each pass runs with its own dropout masks."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle, BundleError, DropoutMask, NetworkFile
from flight.inference.interpreter import make_interpreter
from flight.inference.masks import draw_offsets, draw_pool
from flight.inference.orientations import apply_orientation, undo_orientation

# Of an int8 tensor: 256 steps of it stay far inside float32, and the softmax of such scores is exact.
_LARGEST_SCALE = 1e30


class NetworkFaultError(Exception):
    """A network gave what its arithmetic cannot give: memory that it computes with is damaged."""


class Network:
    """A loaded network. Not thread-safe.

    Tensors are found by the names in the manifest, never by position: converters reorder inputs.

    Args:
        file: the network and its tensors' names, from the bundle.
        index: of the network in the bundle; networks of different index get different masks.
        shape: height, width and channels of the input.
        classes: number of classes K.
        threads: for the interpreter.
        orientations: the passes take this many orientations of the image in turn, see inference.orientations.

    Raises:
        BundleError: the file is not a TFLite model, or its tensors are not those of the manifest.
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
        try:
            self._interpreter = make_interpreter(file.content, threads)
        except ValueError as error:
            raise BundleError(f"network {file.name}: not a TFLite model that can run here ({error})") from error
        inputs = {_strip_decoration(detail["name"]): detail for detail in self._interpreter.get_input_details()}
        outputs = {_strip_decoration(detail["name"]): detail for detail in self._interpreter.get_output_details()}
        self._image = _bind_tensor(file.name, inputs, file.image_input, shape)
        self._scores = _bind_tensor(file.name, outputs, file.scores_output, (*shape[:2], classes))
        # Whether integers are all that it computes with, which a scale alone cannot make infinite: see _bind_tensor.
        self._integer = file.quantization == "int8" or self._scores["dtype"] == np.int8
        self._masks = [_bind_tensor(file.name, inputs, mask.input, mask.shape) for mask in file.dropout_masks]
        unbound = set(inputs) - {file.image_input, *(mask.input for mask in file.dropout_masks)}
        if unbound:
            raise BundleError(f"network {file.name}: inputs that the manifest does not name: {sorted(unbound)}")
        self._sizes = [int(np.prod(mask.shape)) for mask in file.dropout_masks]
        self._pools = _draw_pools(file.dropout_masks, self._masks, self._sizes)
        self._offsets = np.zeros((0, len(self._masks)), dtype=np.int64)

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
        pixels = _quantize(image, self._image)
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
        ones = [np.ones(detail["shape"], dtype=np.float32) for detail in self._masks]
        return self._run([_quantize(mask, detail) for mask, detail in zip(ones, self._masks, strict=True)], 0)

    def _run(self, masks: list[NDArray[Any]], orientation: int) -> NDArray[np.float32]:
        self._interpreter.set_tensor(self._image["index"], self._images[orientation])
        for detail, mask in zip(self._masks, masks, strict=True):
            self._interpreter.set_tensor(detail["index"], mask)
        self._interpreter.invoke()
        scores = _dequantize(self._interpreter.get_tensor(self._scores["index"])[0], self._scores)
        finite = np.isfinite(scores)
        if not finite.all():
            if self._integer:
                raise NetworkFaultError(f"network {self.name}: expected finite scores, got NaN or infinity")
            scores[:, ~finite.all(axis=0)] = np.nan
        return undo_orientation(scores, orientation)

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


def _strip_decoration(name: str) -> str:
    """A tensor's name without what converters add to it: serving_default_image:0 -> image."""
    return name.removeprefix("serving_default_").split(":")[0]


def _bind_tensor(network: str, details: dict[str, Any], name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """The interpreter's details of the tensor `name`, after checks of its shape and dtype."""
    if name not in details:
        raise BundleError(f"network {network}: expected a tensor {name}, got {', '.join(sorted(details))}")
    detail: dict[str, Any] = details[name]
    place = f"network {network}: tensor {name}"
    if tuple(int(side) for side in detail["shape"]) != (1, *shape):
        raise BundleError(f"{place}: expected shape {(1, *shape)}, got {tuple(detail['shape'])}")
    if detail["dtype"] not in (np.int8, np.float32):
        raise BundleError(f"{place}: expected int8 or float32, got {detail['dtype'].__name__}")
    if detail["dtype"] == np.int8:
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
    quantized: NDArray[np.int8] = np.clip(np.rint(values / np.float32(scale)) + zero_point, -128, 127).astype(np.int8)
    return quantized


def _dequantize(values: NDArray[Any], detail: dict[str, Any]) -> NDArray[np.float32]:
    """(H, W, K) from the interpreter to (K, H, W) float32; one plane per class makes the sums over classes fast."""
    planes = np.ascontiguousarray(values.transpose(2, 0, 1)).astype(np.float32)
    if detail["dtype"] != np.float32:
        scale, zero_point = detail["quantization"]
        planes -= np.float32(zero_point)
        planes *= np.float32(scale)
    return planes
