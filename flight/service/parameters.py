"""The parameters in force: the bundle's defaults, overridden by the configuration, overridden by commands."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from flight.bundle import Bundle
from flight.schema import SchemaError, check, format_value
from flight.service.commands import CommandError
from flight.service.events import EventSink
from flight.service.record import Record
from flight.service.record_writer import RecordWriter
from flight.settings import PARAMETER_SCHEMAS, Settings, check_risk, default_parameters, settings_from


@dataclass(frozen=True, kw_only=True)
class Parameters(Settings):
    """The parameters of the ICD, and the mode.

    Attributes:
        publish_full: whether map.full is published too.
        self_test_interval: frames after which the worker is tested while idle, and at the latest after twice as many;
            0: on command only.
    """

    publish_full: bool
    self_test_interval: int

    def settings(self) -> Settings:
        """The settings that the engine needs."""
        return settings_from(self.values())

    def values(self) -> dict[str, Any]:
        """All values by name."""
        return {name: getattr(self, name) for name in ("mode", *PARAMETER_SCHEMAS)}


def parameter_schema(name: str, bundle: Bundle) -> dict[str, Any] | None:
    """The schema of a parameter, or of the mode; None for an unknown name."""
    if name == "mode":
        return {"enum": list(bundle.modes)}
    schema: dict[str, Any] | None = PARAMETER_SCHEMAS.get(name)
    return schema


def check_parameter(name: str, value: Any, bundle: Bundle) -> Any:
    """Check a value and return it as Parameters holds it, a float for type number.

    Raises:
        KeyError: there is no such parameter.
        SchemaError: the value is not of the parameter's type or range.
    """
    schema = parameter_schema(name, bundle)
    if schema is None:
        raise KeyError(name)
    check(value, schema, name)
    return float(value) if schema.get("type") == "number" else value


class ParameterTable:
    """Combines and changes the parameters.

    Attributes:
        current: the values in force.
    """

    current: Parameters

    def __init__(self, records: RecordWriter, configured: dict[str, Any], bundle: Bundle, events: EventSink) -> None:
        """Combine the values for a bundle.

        Args:
            records: the record, with what commands have set.
            configured: values of the configuration.
            bundle: whose defaults count, until use_bundle() names another.
            events: gets recorded values that do not apply.
        """
        self._records = records
        self._configured = configured
        self._events = events
        self.use_bundle(bundle)

    def use_bundle(self, bundle: Bundle) -> None:
        """Use a bundle's defaults; recorded values that it does not take are left out, with an event.

        With an event, too, a risk below the least that it promises, in whose place that is in force.
        """
        self._bundle = bundle
        self.current, problems = self._combine()
        if self.current.uncertain_rule == "risk":
            try:
                check_risk(bundle, self.current.mode, self.current.risk)
            except ValueError as error:
                problems.append(str(error))
        for problem in problems:
            self._events.send("record_not_applicable", problem=problem)

    def _combine(self) -> tuple[Parameters, list[str]]:
        """Returns the parameters, and a line for each recorded value that the bundle does not take."""
        values = {**default_parameters(self._bundle), **self._configured}
        problems = []
        for name, value in self._records.record.parameters.items():
            try:
                values[name] = check_parameter(name, value, self._bundle)
            except KeyError:
                problems.append(f"{name}: no such parameter")
            except SchemaError as error:
                problems.append(str(error))
        return Parameters(**values), problems

    def set(self, values: dict[str, Any]) -> Generator[None, None, dict[str, Any]]:
        """Set and record all of the values, or none, as a generator that ends when they are recorded and in force.

        Args:
            values: one or more by name, "mode" among them.

        Returns:
            The values as they are now: a whole number for a parameter of type number became a float.

        Raises:
            SchemaError: a value is not of the parameter's type or range.
            CommandError: there is no value, no such parameter, no promise of so small a risk, or the record could not
                be written.
        """
        if not values:
            raise CommandError("invalid_argument", "values: expected a map of parameters, got {}")
        changed = {}
        for name, value in values.items():
            if parameter_schema(name, self._bundle) is None:
                known = " | ".join(self.current.values())
                raise CommandError("unknown_parameter", f"name: expected {known}, got {format_value(name)}")
            changed[name] = check_parameter(name, value, self._bundle)
        self._check_risk(changed)

        def update(record: Record) -> Record:
            return replace(record, parameters={**record.parameters, **changed})

        try:
            yield from self._records.change(update)
        except OSError as error:
            raise CommandError("storage_failed", f"not changed: the record: {error.strerror}") from error
        self.current, _ = self._combine()
        return changed

    def _check_risk(self, changed: dict[str, Any]) -> None:
        """Refuse a risk that is asked for and that the bundle does not promise in the mode that is to be in force."""
        values = {**self.current.values(), **changed}
        if "risk" in changed and values["uncertain_rule"] == "risk":
            try:
                check_risk(self._bundle, values["mode"], values["risk"])
            except ValueError as error:
                raise CommandError("invalid_argument", str(error)) from error
