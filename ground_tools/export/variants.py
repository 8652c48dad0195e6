"""What could be done otherwise in the closed form, to see what it costs and what it brings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flight.bundle import Bundle, NetworkFile
from flight.settings import Settings, default_settings
from ground_tools.export.closed_form import COVARIANCE_STRIDE, SCORE_STEP, build_closed_form

# The step of a single int8 output over the whole range of the scores.
_COARSE_STEP = 0.6


def closed_form_variants(bundle: Bundle, images: np.ndarray, passes: int) -> dict[str, tuple[Bundle, Settings]]:
    """Variants of the closed form, by what is different; "as it flies" is the first.

    Args:
        bundle: with the closed form.
        images: (N, H, W, C) float32 in [0, 1], for the scores' ranges where files are made anew.
        passes: where they are not what is different.
    """
    settings = replace(default_settings(bundle), engine="auto", passes=passes)
    variants = {"as it flies": (bundle, settings)}
    variants |= {f"{count} passes": (bundle, replace(settings, passes=count)) for count in (5, 10, 40)}
    variants |= {f"{draws} draws a pass": (bundle, replace(settings, head_samples=draws)) for draws in (2, 8)}
    if bundle.orientations > 1:
        variants["one orientation"] = (replace(bundle, orientations=1), settings)
    # The files as they are made here: the ranges are those of these images.
    for name, stride, step in (
        ("made from these images", COVARIANCE_STRIDE, SCORE_STEP),
        ("covariance at every pixel", 1, SCORE_STEP),
        ("covariance at every fourth row and column", 4, SCORE_STEP),
        (f"scores in steps of {_COARSE_STEP:g} nat", COVARIANCE_STRIDE, _COARSE_STEP),
    ):
        networks = tuple(_made_anew(network, images, stride, step) for network in bundle.networks)
        variants[name] = (replace(bundle, networks=networks), settings)
    return variants


def _made_anew(network: NetworkFile, images: np.ndarray, stride: int, step: float) -> NetworkFile:
    return replace(network, closed_form=build_closed_form(network, images, stride, step))
