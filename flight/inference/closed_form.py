"""A network whose head's dropout is computed in closed form: a pass runs the rest of it alone.

Most of a UNet's operations are in its head, a few convolutions with dropout masks between them and nothing else. Given
the features that come in, the head's scores are sums of thousands of independent terms: normal, with a mean, which is
the head without dropout folded into one convolution, and a covariance, linear in squares. See docs/posterior.md.

So a network comes in three parts: features, which no mask changes, once for each orientation; passes, to the mean of
the scores; and the covariance, once for a frame, from the features without dropout, which serves all passes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle, BundleError, NetworkFile
from flight.closed_form_files import ClosedFormFiles
from flight.inference.checksums import ArrayChecksum
from flight.inference.interpreter import make_interpreter, name_tensors
from flight.inference.network import (
    NetworkFaultError,
    PassInputs,
    bind_image,
    bind_tensor,
    dequantize,
)
from flight.inference.orientations import undo_orientation
from flight.inference.pixels import PixelInput

Features = list[NDArray[Any]]


class ClosedFormNetwork(PassInputs):
    """A loaded network with its head in closed form. Not thread-safe.

    Args:
        file: the network, with its closed_form files.
        index: of the network in the bundle; networks of different index get different masks.
        shape: height, width and channels of the input.
        classes: number of classes K.
        threads: for the interpreters.
        orientations: the passes take this many orientations of the image in turn, see inference.orientations.
        accelerator: that the files are compiled for and run on; None for the processor.

    Raises:
        BundleError: a file is not a TFLite model, or its tensors do not fit the others' or the manifest.
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
        parts = file.closed_form
        if parts is None:
            raise BundleError(f"network {file.name}: expected files of the closed-form head, got none")
        self._interpreters = _load_parts(file.name, parts, threads, accelerator)
        features, passes, covariance = self._interpreters
        pixels = PixelInput(file.pixels, shape[2])
        image = bind_image(file, index, name_tensors(features.get_input_details()), shape, pixels)
        self._outputs = name_tensors(features.get_output_details())
        inputs = name_tensors(passes.get_input_details())
        self._of_passes = _bind_features(f"{file.name} passes", self._outputs, inputs)
        self._of_covariance = _bind_features(
            f"{file.name} covariance", self._outputs, name_tensors(covariance.get_input_details())
        )
        super().__init__(file.name, pixels, image, inputs, parts.dropout_masks, index, orientations)
        unbound = set(inputs) - set(self._outputs) - {mask.input for mask in parts.dropout_masks}
        if unbound:
            raise BundleError(f"network {file.name}: inputs that the manifest does not name: {sorted(unbound)}")
        scores = name_tensors(passes.get_output_details())
        self._scores = bind_tensor(file.name, scores, "scores", (*shape[:2], classes))
        self._covariance = _bind_covariance(file.name, covariance, shape[:2], classes)
        # By tile and orientation.
        self._features: dict[tuple[int, int], Features] = {}
        self._checksums: list[ArrayChecksum] = []

    in_closed_form = True

    @property
    def covariance_steps(self) -> tuple[int, int]:
        """How many rows and columns apart the pixels are of which `find_covariance` gives the covariance."""
        (height, width), covariance = self._scores["shape"][1:3], self._covariance["shape"]
        return int(height // covariance[1]), int(width // covariance[2])

    @property
    def stochastic(self) -> bool:
        """Whether passes differ: always, by their draws of the head's noise."""
        return True

    def begin_tiles(self, images: list[NDArray[np.float32]], seed: int, passes: int) -> None:
        """As of PassInputs; the features are computed anew when they are first asked for."""
        super().begin_tiles(images, seed, passes)
        self._features, self._checksums = {}, []

    def check(self) -> None:
        """Check that the features and the banks of masks are what they were.

        Raises:
            UpsetError: they are not.
        """
        for checksum in self._checksums:
            checksum.check()
        super().check()

    def run(self, number: int) -> NDArray[np.float32]:
        """Run one pass on the image of the last `begin`.

        Args:
            number: of the pass, 0..passes-1.

        Returns:
            (K, H, W) float32, the mean of the raw scores (logits) over the head's masks.

        Raises:
            NetworkFaultError: the network gave what its arithmetic cannot give.
        """
        orientation = number % len(self._images)
        interpreter = self._set_features(orientation)
        self._set_masks(interpreter, number)
        return undo_orientation(self._invoke(interpreter, self._scores), orientation)

    def run_without_dropout(self) -> NDArray[np.float32]:
        """Run one pass with all masks 1, without the head's noise: dropout off. See Network.run_without_dropout.

        Returns:
            (K, H, W) float32 raw scores (logits), of orientation 0.

        Raises:
            NetworkFaultError: the network gave what its arithmetic cannot give.
        """
        interpreter = self._set_features(0)
        self._keep_all(interpreter)
        return self._invoke(interpreter, self._scores)

    def find_covariance(self) -> NDArray[np.float32]:
        """The covariance of the scores by the head's masks, from the features without dropout, of orientation 0.

        Returns:
            (K (K + 1) / 2, h, w) float32: the lower triangle row by row, at every pixel whose row is a multiple of
            H / h and whose column is one of W / w.

        Raises:
            NetworkFaultError: the network gave what its arithmetic cannot give.
        """
        interpreter = self._interpreters[2]
        for detail, values in zip(self._of_covariance, self._find_features(0), strict=True):
            interpreter.set_tensor(detail["index"], values)
        return self._invoke(interpreter, self._covariance)

    def _set_features(self, orientation: int) -> Any:
        """Give an orientation's features to the interpreter of the passes. Returns that."""
        interpreter = self._interpreters[1]
        for detail, values in zip(self._of_passes, self._find_features(orientation), strict=True):
            interpreter.set_tensor(detail["index"], values)
        return interpreter

    def _find_features(self, orientation: int) -> Features:
        """Those of the tile in an orientation, computed when first asked for, in the order of the file's outputs."""
        place = self._tile, orientation
        if place not in self._features:
            interpreter = self._interpreters[0]
            interpreter.set_tensor(self._image["index"], self._images[orientation])
            interpreter.invoke()
            found = [interpreter.get_tensor(detail["index"]) for detail in self._outputs.values()]
            self._features[place] = found
            self._checksums.append(ArrayChecksum(found, f"features of network {self.name}"))
        return self._features[place]

    def _invoke(self, interpreter: Any, output: dict[str, Any]) -> NDArray[np.float32]:
        interpreter.invoke()
        values = dequantize(interpreter.get_tensor(output["index"])[0], output)
        if not np.isfinite(values).all():
            raise NetworkFaultError(f"network {self.name}: expected finite scores, got NaN or infinity")
        return values


def load_closed_forms(bundle: Bundle, threads: int, accelerator: str | None = None) -> dict[str, ClosedFormNetwork]:
    """Load those of a bundle's networks whose head is in closed form.

    Args:
        bundle: a validated bundle.
        threads: for each network's interpreters.
        accelerator: to run them on; None for the processor.

    Returns:
        By name.

    Raises:
        BundleError: see ClosedFormNetwork.
    """
    shape, classes = bundle.network_shape, len(bundle.classes)
    return {
        file.name: ClosedFormNetwork(file, index, shape, classes, threads, bundle.orientations, accelerator)
        for index, file in enumerate(bundle.networks)
        if file.closed_form is not None
    }


def _load_parts(network: str, parts: ClosedFormFiles, threads: int, accelerator: str | None) -> tuple[Any, Any, Any]:
    def load(part: str, content: bytes) -> Any:
        try:
            return make_interpreter(content, threads, accelerator=accelerator)
        except ValueError as error:
            raise BundleError(f"network {network}: {part}: not a TFLite model that can run here ({error})") from error

    return (
        load("features", parts.features),
        load("passes", parts.passes),
        load("covariance", parts.covariance),
    )


def _bind_features(
    place: str, outputs: dict[str, dict[str, Any]], inputs: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """The inputs that take the features, which must be of the very kind that comes out."""
    bound = []
    for name, detail in outputs.items():
        found = bind_tensor(place, inputs, name, tuple(int(side) for side in detail["shape"][1:]))
        if (found["dtype"], found["quantization"]) != (detail["dtype"], detail["quantization"]):
            raise BundleError(f"network {place}: tensor {name}: expected the quantization of the features, got another")
        bound.append(found)
    return bound


def _bind_covariance(network: str, interpreter: Any, size: tuple[int, int], classes: int) -> dict[str, Any]:
    outputs = name_tensors(interpreter.get_output_details())
    shape = [int(side) for side in outputs["covariance"]["shape"]] if "covariance" in outputs else [1, 1, 1, 0]
    for side, of_map in zip(shape[1:3], size, strict=False):
        if side < 1 or of_map % side:
            raise BundleError(f"network {network}: covariance: expected a side that divides {of_map}, got {side}")
    return bind_tensor(network, outputs, "covariance", (shape[1], shape[2], classes * (classes + 1) // 2))
