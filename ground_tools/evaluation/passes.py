"""Dropout passes of a bundle's networks over images, kept as raw scores so that choices can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from flight.bundle import Bundle
from flight.inference.closed_form import load_closed_forms
from flight.inference.fusion import fuse, fusion_weights
from flight.inference.head_noise import HeadNoise
from flight.inference.network import Network, load_networks
from flight.inference.tiles import PassNetwork, tile_networks
from flight.inference.uncertainty import Accumulator
from flight.settings import default_settings
from ground_tools.datasets.noise import network_inputs
from ground_tools.foundation.progress import progress

Networks = Sequence[PassNetwork]


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


@dataclass(frozen=True)
class ImageScores:
    """What the networks give of an image.

    passes: (P, networks, K, H, W) float32 raw scores of every pass. covariances: of each network's head, where it is in
    closed form, see ClosedFormNetwork.find_covariance; else empty. seed: of the head's noise. samples: draws of it per
    pass.
    """

    passes: np.ndarray
    covariances: tuple[np.ndarray, ...] = ()
    seed: int = 0
    samples: int = 0


def load_default_networks(bundle: Bundle, threads: int) -> Networks:
    """A bundle's networks as frames are answered by default: their heads in closed form, where all have one."""
    if bundle.in_closed_form:
        return tile_networks(bundle, load_closed_forms(bundle, threads).values())
    return tile_networks(bundle, load_networks(bundle, threads))


def begin_image(bundle: Bundle, networks: Networks, frame: np.ndarray, seed: int, passes: int) -> None:
    """Give an image to all networks.

    frame: (H, W), or (H, W, 3) where they take colours, uint8, of the maps' size. seed: of the masks.
    """
    image = (frame / np.float32(255.0)).astype(np.float32)
    if frame.ndim == 2:
        image = np.repeat(image[:, :, None], bundle.channels, axis=2)
    for network in networks:
        network.begin(image, seed, passes)


def image_scores(bundle: Bundle, networks: Networks, frame: np.ndarray, seed: int, passes: int) -> ImageScores:
    """What the networks give of an image. frame, seed: see begin_image."""
    begin_image(bundle, networks, frame, seed, passes)
    found = np.stack([[network.run(number) for network in networks] for number in range(passes)])
    covariances = tuple(
        network.find_covariance() for network in networks if not isinstance(network, Network) and network.in_closed_form
    )
    return ImageScores(found, covariances, seed, default_settings(bundle).head_samples if covariances else 0)


def scores_without_dropout(networks: Networks) -> ImageScores:
    """What the networks give of the image that they were given, with dropout off."""
    return ImageScores(np.stack([network.run_without_dropout() for network in networks])[None])


def run_passes(
    bundle: Bundle, frames: np.ndarray, passes: int, threads: int = 2, label: str | None = None
) -> Iterator[ImageScores]:
    """What the networks give of each image, by the engine that answers frames by default.

    frames: (N, H, W) uint8, of the maps' size. The seed of image i is i. label: of the
    progress.
    """
    networks = load_default_networks(bundle, threads)
    for seed, frame in enumerate(progress(frames, unit="image", label=label)):
        yield image_scores(bundle, networks, frame, seed, passes)


def mode_moments(
    bundle: Bundle, scores: ImageScores, mode: str, gamma: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean probability (K, H, W), predictive entropy (H, W) and mutual information (H, W) of one image in one mode.

    Returns float32, entropies in nats.
    """
    roles = [network.name for network in bundle.networks]
    chosen, weights = [roles.index(mode)] if mode in roles else [], np.ones((len(bundle.classes), 1), np.float32)
    if bundle.fusion is not None and mode == bundle.fusion.mode:
        chosen, weights = list(range(len(roles))), fusion_weights(bundle.fusion, roles, gamma)
    noise = _begin_noise(scores, chosen, weights)
    accumulator = Accumulator(scores.passes.shape[2:])
    for number, of_pass in enumerate(scores.passes):
        fused = fuse([of_pass[place] for place in chosen], weights) if len(chosen) > 1 else of_pass[chosen[0]]
        if noise is None:
            accumulator.add(fused.copy())
            continue
        for sample in range(scores.samples):
            drawn = noise.draw(number, sample // 2)
            accumulator.add(fused - drawn if sample % 2 else fused + drawn)
    return accumulator.result()


def _begin_noise(scores: ImageScores, chosen: list[int], weights: np.ndarray) -> HeadNoise | None:
    """The noise of the chosen networks' heads, as flight draws it; None for whole passes."""
    if not scores.samples:
        return None
    noise = _make_noise(scores.passes.shape[2:])
    covariances = [scores.covariances[place] for place in chosen]
    noise.begin(covariances, weights, scores.seed, len(scores.passes), scores.samples)
    return noise


@lru_cache(maxsize=2)
def _make_noise(shape: tuple[int, int, int]) -> HeadNoise:
    return HeadNoise(shape)


def mode_result(bundle: Bundle, scores: ImageScores, mode: str, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Class map (H, W) uint8 and predictive entropy (H, W) float32, nats, of one image in one mode."""
    mean, entropy, _ = mode_moments(bundle, scores, mode, gamma)
    return mean.argmax(axis=0).astype(np.uint8), entropy
