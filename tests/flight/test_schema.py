"""flight.schema against the jsonschema package, and its messages."""

from __future__ import annotations

import copy

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.schema import SchemaError, check, load_schema

FRAME = load_schema("flight.icd.schemas", "frame")
VALID_FRAME = {
    "schema": 1,
    "type": "frame",
    "source": "navcam",
    "epoch": 3,
    "frame_id": 7,
    "capture_time_ns": 10**18,
    "height": 128,
    "width": 128,
    "dtype": "u8",
    "bit_depth": 8,
    "centered": True,
}
SCHEMAS = [
    load_schema(package, name)
    for package, names in {
        "flight.icd.schemas": ("frame", "map", "command", "reply", "event", "housekeeping"),
        "flight.schemas": ("manifest", "configuration"),
    }.items()
    for name in names
]
values = st.recursive(
    # Whole floats are left out: JSON Schema takes 1.0 for an integer, the ICD does not.
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats(0.1, 0.9) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def accepted(value: object, schema: dict) -> bool:
    try:
        check(value, schema, "value")
    except SchemaError:
        return False
    return True


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema["title"])
def test_the_schemas_are_valid_json_schema(schema: dict) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


@settings(max_examples=400)
@given(
    field=st.sampled_from([*VALID_FRAME, "channels", "exposure_s", "range_km", "sun_direction_camera"]), value=values
)
def test_verdicts_on_frames_are_those_of_jsonschema(field: str, value: object) -> None:
    frame = {**VALID_FRAME, field: value}
    reference = jsonschema.Draft202012Validator(FRAME).is_valid(frame)
    if field == "source" and isinstance(value, str):
        reference = reference and len(value.encode()) <= 32  # maxBytes is ours
    assert accepted(frame, FRAME) == reference


@settings(max_examples=200)
@given(value=values)
def test_verdicts_on_anything_are_those_of_jsonschema(value: object) -> None:
    for schema in SCHEMAS:
        assert accepted(value, schema) == jsonschema.Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("width", 0, "frame.width: expected 16..4096, got 0"),
        ("width", True, "frame.width: expected 16..4096, got True"),
        ("dtype", "f32", "frame.dtype: expected u8 | u16, got 'f32'"),
        ("source", "", "frame.source: expected at least 1 characters, got ''"),
        ("source", "é" * 17, f"frame.source: expected at most 32 bytes, got '{'é' * 17}'"),
        ("sun_direction_camera", [0, 1], "frame.sun_direction_camera: expected 3 items, got [0, 1]"),
        ("exposure_s", float("nan"), "frame.exposure_s: expected 0..86400, got nan"),
    ],
)
def test_messages_name_field_expectation_and_value(field: str, value: object, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        check({**VALID_FRAME, field: value}, FRAME, "frame")
    assert str(caught.value) == message


def test_a_missing_field_is_named() -> None:
    frame = copy.deepcopy(VALID_FRAME)
    del frame["height"]
    with pytest.raises(SchemaError, match=r"^frame\.height: expected a value, got None$"):
        check(frame, FRAME, "frame")
