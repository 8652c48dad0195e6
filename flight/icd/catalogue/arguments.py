"""Typed arguments: what commands take and what events carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

# "texts" is a list of texts, "map" a map with text keys, "scalar" any single value.
ArgumentType = Literal["text", "texts", "integer", "number", "boolean", "map", "scalar"]

_SCHEMAS: dict[ArgumentType, dict[str, Any]] = {
    "text": {"type": "string"},
    "texts": {"type": "array", "items": {"type": "string"}},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "map": {"type": "object"},
    "scalar": {"type": ["boolean", "integer", "number", "string"]},
}


@dataclass(frozen=True)
class Argument:
    """One argument of a command or an event.

    Attributes:
        name: on the wire.
        type: see ArgumentType.
        description: what it means.
        units: of a number, such as "s"; "" for none.
        low: smallest number, or fewest characters of a text; None for no limit.
        high: largest number, or most characters of a text; None for no limit.
    """

    name: str
    type: ArgumentType
    description: str
    units: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, for flight.schema.check."""
        low, high = ("minLength", "maxLength") if self.type == "text" else ("minimum", "maximum")
        limits = {key: limit for key, limit in ((low, self.low), (high, self.high)) if limit is not None}
        return {**_SCHEMAS[self.type], **limits}
