"""Dropout passes of a bundle's networks over a set, kept as raw scores so that choices can be compared."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from flight.bundle import Bundle
from flight.inference.fusion import fuse, fusion_weights
from flight.inference.network import Network
from flight.inference.uncertainty import Accumulator
from ground_tools.datasets.noise import with_noise


def set_inputs(images: np.ndarray) -> np.ndarray:
    """A set's images with the fixed noise of validation and test, quantized to the 8 bits of a camera.

    images: (N, H, W) uint8. Returns (N, H, W) uint8.
    """
    return np.rint(with_noise(images)[..., 0] * 255.0).astype(np.uint8)


def passes_over(bundle: Bundle, frames: np.ndarray, passes: int, threads: int = 2) -> Iterator[np.ndarray]:
    """Raw scores of every pass of every network, image after image: (P, networks, K, H, W) float32.

    frames: (N, H, W) uint8, of the networks' input size. The seed of image i is i.
    """
    shape = (bundle.height, bundle.width, bundle.channels)
    networks = [Network(file, index, shape, len(bundle.classes), threads) for index, file in enumerate(bundle.networks)]
    for seed, frame in enumerate(tqdm(frames, unit="image", file=sys.stderr)):
        image = np.repeat((frame / np.float32(255.0))[:, :, None], bundle.channels, axis=2).astype(np.float32)
        for network in networks:
            network.begin(image, seed, passes)
        yield np.stack([[network.run(number) for network in networks] for number in range(passes)])


def mode_result(bundle: Bundle, scores: np.ndarray, mode: str, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Class map (H, W) uint8 and predictive entropy (H, W) float32, nats, of one image in one mode.

    scores: (P, networks, K, H, W) float32, left as they are.
    """
    roles = [network.role for network in bundle.networks]
    if bundle.fusion is not None and mode == bundle.fusion.mode:
        weights = fusion_weights(bundle.fusion, roles, gamma)
        fused = [fuse(list(scores_of_pass), weights) for scores_of_pass in scores]
    else:
        fused = [scores_of_pass[roles.index(mode)] for scores_of_pass in scores]
    _, _, classes, height, width = scores.shape
    accumulator = Accumulator((classes, height, width))
    for scores_of_pass in fused:
        accumulator.add(scores_of_pass.copy())
    mean, entropy, _ = accumulator.result()
    return mean.argmax(axis=0).astype(np.uint8), entropy
