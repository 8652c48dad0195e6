"""One network on the interpreter: the image is set once, then each pass runs with its own dropout masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle, BundleError, DropoutMask, NetworkFile
from flight.inference.interpreter import make_interpreter
from flight.inference.masks import Masks, MaskTensor
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
        tensors = [_describe_mask(mask, detail) for mask, detail in zip(file.dropout_masks, self._masks, strict=True)]
        self.masks = Masks(tensors, index)

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
        self.masks.begin(seed, passes, len(self._images))

    @property
    def frame_arrays(self) -> list[NDArray[Any]]:
        """Arrays that do not change from one `begin` to the next: orientations of the image, what masks are made of."""
        return [*self._images, *self.masks.frame_arrays]

    def float_masks(self, number: int) -> list[NDArray[np.float32]]:
        """Dropout masks of one pass, dequantized, to feed the float network that this one was made from.

        Args:
            number: of the pass, 0..passes-1.

        Returns:
            One (1, H, W, C) float32 array per mask, in the manifest's order.
        """
        masks = []
        for index, detail in enumerate(self._masks):
            mask = np.empty(detail["shape"], dtype=detail["dtype"])
            self.masks.fill(index, number, mask.reshape(-1))
            if detail["dtype"] != np.float32:
                scale, zero_point = detail["quantization"]
                mask = (mask.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
            masks.append(mask)
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
        for index, detail in enumerate(self._masks):
            # Straight into the input: one copy less.
            self.masks.fill(index, number, self._interpreter.tensor(detail["index"])().reshape(-1))
        return self._run(number % len(self._images))

    def run_without_dropout(self) -> NDArray[np.float32]:
        """Run the network once with all masks 1: dropout off, as after training. For comparison with the passes.

        In int8 a mask of 1 is rounded to the mask's quantization: exact for keep probabilities 0.8, 0.6 and 0.4,
        within 0.4 % for any of 0.5 or more.

        Returns:
            (K, H, W) float32 raw scores (logits), of orientation 0.
        """
        for detail in self._masks:
            ones = _quantize(np.ones(detail["shape"], dtype=np.float32), detail)
            self._interpreter.set_tensor(detail["index"], ones)
        return self._run(0)

    def _run(self, orientation: int) -> NDArray[np.float32]:
        """Run the network with the masks that were set."""
        self._interpreter.set_tensor(self._image["index"], self._images[orientation])
        self._interpreter.invoke()
        scores = _dequantize(self._interpreter.get_tensor(self._scores["index"])[0], self._scores)
        finite = np.isfinite(scores)
        if not finite.all():
            if self._integer:
                raise NetworkFaultError(f"network {self.name}: scores: expected finite ones of int8, got others")
            scores[:, ~finite.all(axis=0)] = np.nan
        return undo_orientation(scores, orientation)


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


def _describe_mask(mask: DropoutMask, detail: dict[str, Any]) -> MaskTensor:
    # Inverted dropout: kept units are scaled by 1 / keep probability.
    kept, dropped = _quantize(np.array([1.0 / mask.keep_probability, 0.0], dtype=np.float32), detail)
    size = int(np.prod(mask.shape))
    return MaskTensor(size, mask.keep_probability, kept.item(), dropped.item(), np.dtype(detail["dtype"]))


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
