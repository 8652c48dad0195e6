"""One network on the interpreter: the image is set once, then each pass runs with its own dropout masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle, BundleError, NetworkFile
from flight.closed_form_files import DropoutMask
from flight.inference.interpreter import is_compiled, make_interpreter, name_tensors, strip_decorations
from flight.inference.masks import Masks, MaskTensor
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


class PassInputs:
    """What the passes through a network take: the orientations of an image, and dropout masks.

    Args:
        name: of the network.
        pixels: how pixels become inputs.
        image: the interpreter's details of the image's tensor.
        inputs: those of all that the passes take, by name.
        masks: which of them are masks.
        index: of the network in the bundle; networks of different index get different masks.
        orientations: the passes take this many orientations of the image in turn, see inference.orientations.

    Raises:
        BundleError: a mask's tensor is not there, or not of its shape.
    """

    def __init__(
        self,
        name: str,
        pixels: PixelInput,
        image: dict[str, Any],
        inputs: dict[str, dict[str, Any]],
        masks: tuple[DropoutMask, ...],
        index: int,
        orientations: int,
    ) -> None:
        self.name = name
        self._pixels = pixels
        self._image = image
        self._orientations = orientations
        self._tiles: list[list[NDArray[Any]]] = [[]]  # of each tile, an image per orientation
        self._tile = 0
        self._masks = [bind_tensor(name, inputs, mask.input, mask.shape) for mask in masks]
        described = [describe_mask(mask, detail) for mask, detail in zip(masks, self._masks, strict=True)]
        self.masks = Masks(described, index)

    def begin(self, image: NDArray[np.float32], seed: int, passes: int) -> None:
        """Set the image and draw the masks of all passes.

        Args:
            image: (H, W, C) float32 in [0, 1].
            seed: of the frame, 0..2^64-1.
            passes: how many will be run.
        """
        self.begin_tiles([image], seed, passes)

    def begin_tiles(self, images: list[NDArray[np.float32]], seed: int, passes: int) -> None:
        """Set the tiles of an image, select the first of them, and draw the masks of all passes, which tiles share.

        Args:
            images: (H, W, C) float32 in [0, 1] each.
            seed: of the frame, 0..2^64-1.
            passes: how many will be run.
        """
        count = min(self._orientations, passes)
        pixels = [quantize(self._pixels.scale(image), self._image) for image in images]
        self._tiles = [[apply_orientation(tile, number)[None] for number in range(count)] for tile in pixels]
        self._tile = 0
        self.masks.begin(seed, passes, count)

    def select_tile(self, tile: int) -> None:
        """Let what is run next be run on a tile of the last `begin_tiles`, by its number."""
        self._tile = tile

    @property
    def frame_arrays(self) -> list[NDArray[Any]]:
        """Arrays that do not change from one `begin` to the next: orientations of the image, what masks are made of."""
        return [image for tile in self._tiles for image in tile] + self.masks.frame_arrays

    @property
    def _images(self) -> list[NDArray[Any]]:
        """Of the tile that was selected, one per orientation."""
        return self._tiles[self._tile]

    def check(self) -> None:
        """Check that the banks of masks are as they were drawn. Raises UpsetError."""
        self.masks.check()

    def _set_masks(self, interpreter: Any, number: int) -> None:
        """Put the masks of a pass straight into an interpreter's inputs: one copy less."""
        for index, detail in enumerate(self._masks):
            self.masks.fill(index, number, interpreter.tensor(detail["index"])().reshape(-1))

    def _keep_all(self, interpreter: Any) -> None:
        """Set all masks of an interpreter to 1."""
        for detail in self._masks:
            ones = quantize(np.ones(detail["shape"], dtype=np.float32), detail)
            interpreter.set_tensor(detail["index"], ones)


class Network(PassInputs):
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
        accelerator: that the file is compiled for and runs on; None for the processor.

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
        accelerator: str | None = None,
    ) -> None:
        self._index = index
        self._classes = classes
        self._kind = file.output
        masks = {mask.input: mask.shape for mask in file.dropout_masks}
        try:
            self._interpreter = make_interpreter(file.content, threads, {file.image_input: shape, **masks}, accelerator)
        except ValueError as error:
            raise BundleError(f"network {file.name}: not a TFLite model that can run here ({error})") from error
        inputs = name_tensors(self._interpreter.get_input_details())
        outputs = name_tensors(self._interpreter.get_output_details())
        pixels = PixelInput(file.pixels, shape[2])
        image = bind_image(file, index, inputs, shape, pixels)
        self._scores = _bind_output(file, outputs, shape[:2], classes)
        # Whether integers are all that it computes with, which a scale alone cannot make infinite: see bind_tensor.
        self._integer = file.quantization != "float32" or self._scores["dtype"] != np.float32
        super().__init__(file.name, pixels, image, inputs, file.dropout_masks, index, orientations)
        unbound = set(inputs) - {file.image_input, *masks}
        if unbound:
            raise BundleError(f"network {file.name}: inputs that the manifest does not name: {sorted(unbound)}")
        self._source = _find_source(file)
        self.check_output(_make_probe(shape))

    in_closed_form = False

    @property
    def stochastic(self) -> bool:
        """Whether passes differ: True if the network has dropout masks as inputs."""
        return bool(self._masks)

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
        self._set_masks(self._interpreter, number)
        return self._run(number % len(self._images))

    def run_without_dropout(self) -> NDArray[np.float32]:
        """Run the network once with all masks 1: dropout off, as after training. For comparison with the passes.

        In int8 a mask of 1 is rounded to the mask's quantization: exact for keep probabilities 0.8, 0.6 and 0.4,
        within 0.4 % for any of 0.5 or more.

        Returns:
            (K, H, W) float32 raw scores (logits), of orientation 0.
        """
        self._keep_all(self._interpreter)
        return self._run(0)

    def check_output(self, image: NDArray[np.float32]) -> None:
        """Compare what the network gives for an image, without dropout, with what the manifest says of its output.

        Args:
            image: (H, W, C) float32 in [0, 1]; becomes the image of the last `begin`.

        Raises:
            BundleError: they do not fit, or the network cannot be run.
        """
        self.begin(image, 0, 1)
        self._keep_all(self._interpreter)
        try:
            with explain_failure("TFLite runtime"):
                values = self._invoke(0)
        except LibraryError as error:
            raise BundleError(f"network {self.name}: not a TFLite model that can run here ({error})") from error
        problem = find_contradiction(values, self._kind, self._integer, self._source)
        if problem is not None:
            raise BundleError(f"network {self.name}: manifest.networks[{self._index}].output: {problem}")

    def _run(self, orientation: int) -> NDArray[np.float32]:
        """Run the network with the masks that were set."""
        values = self._invoke(orientation)
        finite = np.isfinite(values)
        if not finite.all():
            if self._integer:
                raise NetworkFaultError(f"network {self.name}: expected finite scores, got NaN or infinity")
            values[:, ~finite.all(axis=0)] = np.nan
        return undo_orientation(make_scores(values, self._kind, self._classes, self._integer), orientation)

    def _invoke(self, orientation: int) -> NDArray[np.float32]:
        """Run the interpreter; returns its output, (C, H, W)."""
        self._interpreter.set_tensor(self._image["index"], self._images[orientation])
        self._interpreter.invoke()
        values = self._interpreter.get_tensor(self._scores["index"])
        return dequantize(values.reshape(*self._images[orientation].shape[1:3], -1), self._scores)


def load_networks(
    bundle: Bundle,
    threads: int,
    accelerator: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Network]:
    """Load a bundle's networks.

    Args:
        bundle: a validated bundle.
        threads: for each network's interpreter.
        accelerator: to run them on; None for the processor. Where the closed form runs there, whole passes of a network
            that its compiler did not take run on the processor.
        progress: called with 0 after each network.

    Returns:
        The networks in the bundle's order.

    Raises:
        BundleError: see Network.
    """
    networks, classes = [], len(bundle.classes)
    for index, file in enumerate(bundle.networks):
        place = _choose_place(file, accelerator)
        networks.append(Network(file, index, bundle.network_shape, classes, threads, bundle.orientations, place))
        if progress is not None:
            progress(0)
    return networks


def _choose_place(file: NetworkFile, accelerator: str | None) -> str | None:
    """Where whole passes run: see load_networks."""
    if accelerator is None or file.closed_form is None:
        return accelerator
    try:
        return accelerator if is_compiled(file.content, accelerator) else None
    except ValueError as error:
        raise BundleError(f"network {file.name}: not a TFLite model that can run here ({error})") from error


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


def bind_image(
    file: NetworkFile, index: int, inputs: dict[str, Any], shape: tuple[int, int, int], pixels: PixelInput
) -> dict[str, Any]:
    """Find the tensor of the image. A uint8 one without a scale takes the values as they are.

    Args:
        file: the network.
        index: of the network in the bundle, for messages.
        inputs: the interpreter's details by name.
        shape: height, width and channels of the input.
        pixels: how pixels become inputs.

    Raises:
        BundleError: there is none of this shape, or it was made for other pixels.
    """
    name = file.image_input
    detail = inputs.get(name)
    if detail is not None and detail["dtype"] == np.uint8 and detail["quantization"][0] == 0.0:
        inputs = {**inputs, name: {**detail, "quantization": (1.0, 0)}}
    detail = bind_tensor(file.name, inputs, name, shape)
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
    return bind_tensor(file.name, outputs, file.scores_output, found if found in shapes else (*size, channels[0]))


def bind_tensor(network: str, details: dict[str, Any], name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Find a tensor by its name, and check its shape and dtype.

    Args:
        network: name of the network, for messages.
        details: the interpreter's, by name.
        name: of the tensor.
        shape: that it must have, without the batch axis.

    Raises:
        BundleError: there is no such tensor.
    """
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


def describe_mask(mask: DropoutMask, detail: dict[str, Any]) -> MaskTensor:
    """What the masks of an input are like.

    Args:
        mask: from the manifest.
        detail: the interpreter's, of its tensor.
    """
    # Inverted dropout: kept units are scaled by 1 / keep probability.
    kept, dropped = quantize(np.array([1.0 / mask.keep_probability, 0.0], dtype=np.float32), detail)
    size = int(np.prod(mask.shape))
    return MaskTensor(size, mask.keep_probability, kept.item(), dropped.item(), np.dtype(detail["dtype"]))


def quantize(values: NDArray[np.float32], detail: dict[str, Any]) -> NDArray[Any]:
    """Values as a tensor holds them.

    Args:
        values: float32.
        detail: the interpreter's, of the tensor.
    """
    if detail["dtype"] == np.float32:
        return values
    scale, zero_point = detail["quantization"]
    limits = np.iinfo(detail["dtype"])
    steps = np.rint(values / np.float32(scale)) + zero_point
    quantized: NDArray[Any] = np.clip(steps, limits.min, limits.max).astype(detail["dtype"])
    return quantized


def dequantize(values: NDArray[Any], detail: dict[str, Any]) -> NDArray[np.float32]:
    """What a tensor holds, as planes: one plane per class makes the sums over classes fast.

    Args:
        values: (H, W, K) from the interpreter.
        detail: the interpreter's, of the tensor.

    Returns:
        (K, H, W) float32.
    """
    planes = np.ascontiguousarray(values.transpose(2, 0, 1)).astype(np.float32)
    if detail["dtype"] != np.float32:
        scale, zero_point = detail["quantization"]
        planes -= np.float32(zero_point)
        planes *= np.float32(scale)
    return planes
