"""The parameters: the bundle's defaults, then the configuration, then what commands have set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flight.bundle import Bundle
from flight.schema import SchemaError, check, shown
from flight.service.commands import CommandError
from flight.service.events import EventSink
from flight.service.record import RecordStore
from flight.settings import PARAMETER_SCHEMAS, Settings, default_parameters, settings_from


@dataclass(frozen=True, kw_only=True)
class Parameters(Settings):
    """The parameters of the ICD, and the mode.

    self_test_interval: frames after which the worker is tested while idle, and at the latest after twice as many;
    0: on command only.
    """

    publish_full: bool
    self_test_interval: int

    def settings(self) -> Settings:
        """What the engine needs of them."""
        return settings_from(self.values())

    def values(self) -> dict[str, Any]:
        """All of them by name."""
        return {name: getattr(self, name) for name in ("mode", *PARAMETER_SCHEMAS)}


def parameter_schema(name: str, bundle: Bundle) -> dict[str, Any] | None:
    """The schema of a parameter or of the mode; None for an unknown name."""
    if name == "mode":
        return {"enum": list(bundle.modes)}
    schema: dict[str, Any] | None = PARAMETER_SCHEMAS.get(name)
    return schema


def checked(name: str, value: Any, bundle: Bundle) -> Any:
    """The value as the parameters hold it. Raises KeyError for an unknown name, SchemaError for a bad value."""
    schema = parameter_schema(name, bundle)
    if schema is None:
        raise KeyError(name)
    check(value, schema, name)
    return float(value) if schema.get("type") == "number" else value


class ParameterTable:
    """The parameters in force. now: their values.

    configured: the values of the configuration. bundle: whose defaults count, until follow() names another.
    """

    now: Parameters

    def __init__(self, records: RecordStore, configured: dict[str, Any], bundle: Bundle, events: EventSink) -> None:
        self._records = records
        self._configured = configured
        self._events = events
        self.follow(bundle)

    def follow(self, bundle: Bundle) -> None:
        """Let a bundle's defaults count; recorded values that it does not take are left out, and told as events."""
        self._bundle = bundle
        self.now, problems = self._in_force()
        for problem in problems:
            self._events.send("record_not_applicable", problem)

    def _in_force(self) -> tuple[Parameters, list[str]]:
        """The parameters, and a line for each recorded value that the bundle does not take."""
        values = {**default_parameters(self._bundle), **self._configured}
        problems = []
        for name, value in self._records.record.parameters.items():
            try:
                values[name] = checked(name, value, self._bundle)
            except KeyError:
                problems.append(f"{name}: no such parameter")
            except SchemaError as error:
                problems.append(str(error))
        return Parameters(**values), problems

    def set(self, values: Any) -> dict[str, Any]:
        """Set and record all of the values, or none; returns them as they are now. Raises CommandError, SchemaError."""
        if not isinstance(values, dict) or not values:
            raise CommandError("invalid_argument", f"values: expected a map of parameters, got {shown(values)}")
        changed = {}
        for name, value in values.items():
            if not isinstance(name, str) or parameter_schema(name, self._bundle) is None:
                known = " | ".join(self.now.values())
                raise CommandError("unknown_parameter", f"name: expected {known}, got {shown(name)}")
            changed[name] = checked(name, value, self._bundle)
        try:
            self._records.change(parameters={**self._records.record.parameters, **changed})
        except OSError as error:
            raise CommandError("storage_failed", f"not changed: the record: {error.strerror}") from error
        self.now, _ = self._in_force()
        return changed
