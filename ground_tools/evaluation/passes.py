"""Dropout passes of a bundle's networks over images, kept as raw scores so that choices can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from flight.bundle import Bundle
from flight.inference.fusion import fuse, fusion_weights
from flight.inference.network import Network, load_networks
from flight.inference.uncertainty import Accumulator
from ground_tools.datasets.noise import network_inputs
from ground_tools.foundation.progress import progress


def camera_frames(images: np.ndarray, noise: dict[str, Any] | None) -> np.ndarray:
    """A set's images as a camera gives them: with the fixed noise of validation and test, quantized to 8 bits.

    images: (N, H, W) or (N, H, W, 3) uint8. noise: the set's, from its description; None for real images, which have
    their own. Returns the same shape, uint8.
    """
    inputs = network_inputs(images, noise)
    return np.rint((inputs if images.ndim == 4 else inputs[..., 0]) * 255.0).astype(np.uint8)


def count_passes(bundle: Bundle, asked: int) -> int:
    """How many passes the flight engine would make: one where no network has dropout masks."""
    return asked if any(network.dropout_masks for network in bundle.networks) else 1


def begin_image(bundle: Bundle, networks: list[Network], frame: np.ndarray, seed: int, passes: int) -> None:
    """Give an image to all networks.

    frame: (H, W), or (H, W, 3) where they take colours, uint8, of the networks' input size. seed: of the masks.
    """
    image = (frame / np.float32(255.0)).astype(np.float32)
    if frame.ndim == 2:
        image = np.repeat(image[:, :, None], bundle.channels, axis=2)
    for network in networks:
        network.begin(image, seed, passes)


def image_scores(networks: list[Network], passes: int) -> np.ndarray:
    """Raw scores of every pass of every network on the image they were given: (P, networks, K, H, W) float32."""
    return np.stack([[network.run(number) for network in networks] for number in range(passes)])


def run_passes(
    bundle: Bundle, frames: np.ndarray, passes: int, threads: int = 2, label: str | None = None
) -> Iterator[np.ndarray]:
    """Raw scores of every pass of every network, image after image: (P, networks, K, H, W) float32.

    frames: (N, H, W) uint8, of the networks' input size. The seed of image i is i. label: of the
    progress.
    """
    networks = load_networks(bundle, threads)
    for seed, frame in enumerate(progress(frames, unit="image", label=label)):
        begin_image(bundle, networks, frame, seed, passes)
        yield image_scores(networks, passes)


def mode_moments(
    bundle: Bundle, scores: np.ndarray, mode: str, gamma: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean probability (K, H, W), predictive entropy (H, W) and mutual information (H, W) of one image in one mode.

    scores: (P, networks, K, H, W) float32, left as they are. Returns float32, entropies in nats.
    """
    roles = [network.name for network in bundle.networks]
    if bundle.fusion is not None and mode == bundle.fusion.mode:
        weights = fusion_weights(bundle.fusion, roles, gamma)
        fused = (fuse(list(scores_of_pass), weights) for scores_of_pass in scores)
    else:
        fused = (scores_of_pass[roles.index(mode)] for scores_of_pass in scores)
    _, _, classes, height, width = scores.shape
    accumulator = Accumulator((classes, height, width))
    for scores_of_pass in fused:
        accumulator.add(scores_of_pass.copy())
    return accumulator.result()


def mode_result(bundle: Bundle, scores: np.ndarray, mode: str, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Class map (H, W) uint8 and predictive entropy (H, W) float32, nats, of one image in one mode.

    scores: (P, networks, K, H, W) float32, left as they are.
    """
    mean, entropy, _ = mode_moments(bundle, scores, mode, gamma)
    return mean.argmax(axis=0).astype(np.uint8), entropy
