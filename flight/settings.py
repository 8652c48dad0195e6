"""What a frame is processed with: its settings and the seed of its dropout masks. Pure values, without an engine.

Defaults, limits and descriptions of the parameters stand in flight/schemas/configuration.json.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from flight.bundle import Bundle
from flight.risk_thresholds import RiskThreshold, choose_threshold, default_risk
from flight.schema import load_schema

# Parameter -> its JSON Schema; one without a default has the bundle's. The mode is not among them: its choices, too,
# are the bundle's.
PARAMETER_SCHEMAS: dict[str, dict[str, Any]] = load_schema("flight.schemas", "configuration")["properties"][
    "parameters"
]["properties"]


@dataclass(frozen=True, kw_only=True)
class QualityLimits:
    """Thresholds of the flags; parameters of the ICD.

    saturated_fraction: of the body's pixels at full scale, above which a frame is saturated. dark_level: of full
    scale, below which the brightest of a frame is dark. smallest_body_pixels: sensor pixels that the larger side
    of the body's box must have. second_body_fraction: area of another body over the largest one's from which it
    counts. entropy_factor: times the validation images' 99th percentile of the mean entropy, above which a map's
    mean entropy is high. least_body_evidence: of the input monitor, below which there is no body in a frame.
    """

    saturated_fraction: float
    dark_level: float
    smallest_body_pixels: int
    second_body_fraction: float
    entropy_factor: float
    least_body_evidence: float


@dataclass(frozen=True, kw_only=True)
class LandingLimits:
    """What a pixel may have at most to be landed on, whatever its class; parameters of the ICD.

    most_hazard_probability: 0..1. most_entropy: predictive entropy over ln K, 0..1. Both on an absolute scale, while
    uncertainty_threshold goes by the map's own extremes, which nonsense has too.
    """

    most_hazard_probability: float
    most_entropy: float


@dataclass(frozen=True, kw_only=True)
class Settings(QualityLimits, LandingLimits):
    """How a frame is processed; the parameters of the ICD, and the mode. deadline_ms: 0 for none.

    uncertain_rule: "risk" or "relative", see risk_in_force. risk: share of the unmarked pixels that may be wrong.

    engine: "auto" for the closed-form head where the bundle has it, "passes" for whole passes. head_samples: draws of
    the head's noise per pass.
    """

    mode: str
    passes: int
    engine: str
    head_samples: int
    gamma: float
    uncertainty_threshold: float
    uncertain_rule: str
    risk: float
    deadline_ms: int
    minimum_passes: int
    centering: str


def default_parameters(bundle: Bundle) -> dict[str, Any]:
    """The mode and every parameter by name: what the bundle's manifest states, and defaults for the rest."""
    defaults = {name: schema["default"] for name, schema in PARAMETER_SCHEMAS.items() if "default" in schema}
    return {
        "mode": bundle.modes[0],
        "passes": bundle.passes,
        "gamma": bundle.gamma,
        "uncertainty_threshold": bundle.uncertainty_threshold,
        "risk": default_risk(bundle.risk_thresholds[bundle.modes[0]]),
        **defaults,
    }


def default_settings(bundle: Bundle) -> Settings:
    """The settings with which a bundle's frames are processed unless told otherwise."""
    return settings_from(default_parameters(bundle))


def settings_from(parameters: dict[str, Any]) -> Settings:
    """The settings among parameters; the others are not the engine's."""
    return Settings(**{name: parameters[name] for name in Settings.__dataclass_fields__})


def risk_in_force(bundle: Bundle, settings: Settings) -> RiskThreshold | None:
    """The promise by which uncertain pixels are marked; None for the relative rule.

    That is in force where the settings ask for it, and where the bundle promises nothing in their mode.
    """
    if settings.uncertain_rule == "relative":
        return None
    return choose_threshold(bundle.risk_thresholds[settings.mode], settings.risk)


def describe_rule(bundle: Bundle, settings: Settings) -> dict[str, Any]:
    """The fields of a product's header that tell by which rule its pixels are uncertain.

    By risk, uncertainty_threshold is 1: consumers that know the relative rule alone then expect no pixel to be marked.
    """
    promise = risk_in_force(bundle, settings)
    if promise is None:
        return {"uncertainty_threshold": settings.uncertainty_threshold, "uncertain_rule": "relative"}
    told = {"uncertain_rule": "risk", "risk": promise.risk, "risk_threshold": promise.threshold}
    return {"uncertainty_threshold": 1.0, **told}


def check_risk(bundle: Bundle, mode: str, risk: float, name: str = "risk") -> None:
    """Raise ValueError, one line, where a bundle promises risks in a mode, but none as small as this.

    Args:
        bundle: with the promises.
        mode: in which it is to be kept.
        risk: asked for.
        name: where it was asked for.
    """
    table = bundle.risk_thresholds[mode]
    if table and risk < table[0].risk:
        raise ValueError(
            f"{name}: expected {table[0].risk:g} or more, the least that bundle {bundle.name} promises in mode {mode}, "
            f"got {risk:g}"
        )


def frame_seed(base_seed: int, source: str, epoch: int, frame_id: int) -> int:
    """Seed of a frame's dropout masks; the product states it, so that the product can be computed again.

    The first 8 bytes, as a little-endian number, of SHA-256 over base_seed, epoch and frame_id (little-endian uint64
    each) and the UTF-8 bytes of the source.

    Args:
        base_seed: of the service's configuration, 0..2^64-1.
        source: name of the camera.
        epoch: boot count of the camera.
        frame_id: of the frame.

    Returns:
        0..2^64-1.
    """
    numbers = b"".join(value.to_bytes(8, "little") for value in (base_seed, epoch, frame_id))
    return int.from_bytes(hashlib.sha256(numbers + source.encode("utf-8")).digest()[:8], "little")
