"""Messages made to harm whoever decodes them: each is refused by the contract's own error, and by nothing else."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flight.icd.frame_message
import flight.icd.product_message
from flight.icd import control
from flight.icd.control import MessageError, decode_message, describe_event
from flight.icd.frames import FrameError, decode_frame
from flight.icd.limits import ARRAY_ITEMS, NESTING
from flight.icd.packing import PackingError, unpack_map
from flight.icd.products import ProductError, decode_product
from flight.schema import SchemaError, check, format_text, format_value
from tests.golden.vectors import GOLDEN, read_vector


def deep(levels: int, opening: bytes = b"\x91") -> bytes:
    return opening * levels + b"\xc0"


# What stands in place of one value of a map that is right otherwise.
VALUES = {
    "arrays 1,000 deep": deep(1000),
    "maps 1,000 deep": deep(1000, b"\x81\xa1k"),
    "arrays and maps, 33 deep with the map": deep(NESTING // 2, b"\x91\x81\xa1k"),
    "arrays deeper than msgpack's stack": deep(3000),
    "an empty array at depth 33": b"\x91" * (NESTING - 1) + b"\x90",
    "arrays said to have 60,000 items each": b"\xdc\xea\x60" * 900,
    "an array said to have 4 billion items": b"\xdd\xff\xff\xff\xff\xc0",
    "a map said to have 4 billion pairs": b"\xdf\xff\xff\xff\xff\xc0",
    "an array of 1,025 items": msgpack.packb([0] * (ARRAY_ITEMS + 1)),
    "a text said to have 4 GB": b"\xdb\xff\xff\xff\xffx",
    "a text that is not UTF-8": b"\xa2\xff\xfe",
    "a text with half of a surrogate pair": b"\xa3\xed\xa0\x80",
    "binary data": b"\xc4\x01x",
    "no binary data": b"\xc4\x00",
    "an extension": b"\xd4\x05x",
    "an extension without bytes": b"\xc7\x00\x05",
    "a timestamp of 32 bits": b"\xd6\xff\xff\xff\xff\xff",
    "a timestamp of 64 bits, its nanoseconds beyond a second": b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "a timestamp in the year 292 billion": b"\xc7\x0c\xff\x3b\x9a\xc9\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
    "bytes as a key": b"\x81\xc4\x01k\x01",
    "no bytes as a key": b"\x81\xc4\x00\x01",
    "a number as a key": b"\x81\x01\x01",
    "an array as a key": b"\x81\x90\x01",
    "nil as a key": b"\x81\xc0\x01",
    "the byte that msgpack never uses": b"\xc1",
}


def with_value(kind: str, key: str, value: bytes) -> bytes:
    """A right map of a kind, with other bytes for the value of a key; a key that it has not is added."""
    right = msgpack.unpackb(right_header(kind))
    pairs = [msgpack.packb(name) + (value if name == key else msgpack.packb(held)) for name, held in right.items()]
    if key not in right:
        pairs.append(msgpack.packb(key) + value)
    head = bytes([0x80 + len(pairs)]) if len(pairs) < 16 else b"\xde" + len(pairs).to_bytes(2, "big")
    return head + b"".join(pairs)


def right_header(kind: str) -> bytes:
    """The golden header or map of a kind."""
    if kind == "map":
        return read_vector(GOLDEN / "map_navigation.bin")[1]
    return read_vector(GOLDEN / f"{kind}.bin")[0 if kind == "frame" else -1]


def decode(kind: str, data: bytes) -> Any:
    if kind == "frame":
        return decode_frame([data, read_vector(GOLDEN / "frame.bin")[1]])
    if kind == "map":
        parts = read_vector(GOLDEN / "map_navigation.bin")
        return decode_product([parts[0], data, *parts[2:]])
    return decode_message(kind, data)


KINDS = {"frame": FrameError, "map": ProductError} | dict.fromkeys(
    ("command", "reply", "event", "housekeeping"), MessageError
)
KEYS = ("schema", "type", "source", "name", "code", "result", "arguments", "flags", "planes", "counters", "a new key")


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_value_is_refused_by_the_contracts_error_in_one_printable_line(kind: str, value: bytes) -> None:
    for key in KEYS:
        with pytest.raises(KINDS[kind]) as caught:
            decode(kind, with_value(kind, key, value))
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400


def test_the_maps_that_carry_the_hostile_values_are_right_without_them() -> None:
    for kind in KINDS:
        decode(kind, with_value(kind, "a new key", msgpack.packb([1, {"two": [3.0, None, True]}])))


@pytest.mark.parametrize("levels", [1, 2, NESTING - 1, NESTING, NESTING + 1, 400])
def test_the_depth_is_limited_and_no_less_is_refused(levels: int) -> None:
    data = b"\x81\xa1k" + deep(levels - 1)
    if levels <= NESTING:
        assert list(unpack_map(data, 4096, "map")) == ["k"]
    else:
        with pytest.raises(PackingError, match="nested at most 32 deep, got more"):
            unpack_map(data, 4096, "map")


def test_the_longest_array_is_taken() -> None:
    assert unpack_map(msgpack.packb({"k": [7] * ARRAY_ITEMS}), 4096, "map") == {"k": [7] * ARRAY_ITEMS}


def test_of_a_key_that_stands_there_twice_the_last_value_counts() -> None:
    assert unpack_map(b"\x82\xa1k\x01\xa1k\x02", 100, "map") == {"k": 2}


@pytest.mark.parametrize("opening", [b"\xdc\xff\xff", b"\xdd\x00\x00\xff\xff", b"\xdc\x04\x00", b"\x9f", b"\x81\xa1k"])
def test_decoding_takes_little_memory_whatever_lengths_are_said(opening: bytes) -> None:
    data = (b"\x81\xa1k" + opening * 65536)[:65536]
    tracemalloc.start()
    try:
        with pytest.raises(PackingError):
            unpack_map(data, 65536, "map")
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("deep"), OverflowError("big"), KeyError("k")])
def test_whatever_a_decoder_raises_is_that_messages_fault(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults that nobody thought of, anywhere behind the bytes."""

    def fail(*_: Any) -> None:
        raise error

    modules: dict[str, Any] = {"frame": flight.icd.frame_message, "map": flight.icd.product_message}
    for kind, expected in KINDS.items():
        data = with_value(kind, "a new key", b"\x01")
        for place in ("unpack_map", "check"):
            with monkeypatch.context() as patch:
                patch.setattr(modules.get(kind, control), place, fail)
                with pytest.raises(expected, match=f"cannot be decoded \\({type(error).__name__}"):
                    decode(kind, data)


class Hostile:
    """A value whose own code fails."""

    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __repr__


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def nested_map(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"k": value}
    return value


def endless() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


SHOWN: dict[str, Callable[[], Any]] = {
    "nested lists": lambda: nested(100_000),
    "nested maps": lambda: nested_map(100_000),
    "a list that holds itself": endless,
    "a number of 100,000 digits": lambda: 10**100_000,
    "a negative one": lambda: -(10**100_000),
    "a text of 100 MB": lambda: "x" * 100_000_000,
    "a million items": lambda: list(range(1_000_000)),
    "a map of 100,000 pairs": lambda: dict.fromkeys(range(100_000), "x"),
    "escape sequences": lambda: "\x1b[2J\r\n\x07\u202e\ud800",
    "bytes": lambda: b"\x1b\xff" * 1000,
    "what cannot be shown": Hostile,
    "a line break in another's repr": lambda: type("Two\nlines", (), {})(),
    "a tuple with all of it": lambda: (nested(10), Hostile(), float("nan"), None, True, b"", {}),
}


@pytest.mark.parametrize("make", SHOWN.values(), ids=SHOWN.keys())
def test_any_value_is_shown_in_a_short_printable_line(make: Callable[[], Any]) -> None:
    for value in (make(), {"k": make()}, [make(), 1], (make(),)):
        text = format_value(value)
        assert 0 < len(text) <= 60
        assert text.isprintable()
        assert len(format_text(text, 20)) <= 20


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=500)
@given(value=plain)
def test_a_value_that_is_short_is_shown_as_python_writes_it(value: object) -> None:
    text = format_value(value)
    assert text.isprintable()
    expected = repr(value)
    assert text == expected or (len(expected) > 60 and len(text) <= 60 and text.endswith("..."))


@settings(max_examples=200)
@given(text=st.text(st.characters(), max_size=100), limit=st.integers(10, 90))
def test_a_text_is_shown_in_a_line_of_its_limit(text: str, limit: int) -> None:
    shown = format_text(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    shown.encode("utf-8")
    if text.isprintable() and len(text) <= limit:
        assert shown == text


def test_a_name_that_a_terminal_would_obey_comes_out_of_no_refusal_as_it_was() -> None:
    frame = with_value("frame", "source", msgpack.packb("\x1b[2J" * 40))
    with pytest.raises(FrameError, match=re.escape(r"at most 32 bytes, got '\x1b[2J")):
        decode("frame", frame)
    with pytest.raises(SchemaError) as caught:
        check({"\x1b[2J\n" * 30: 1}, {"additionalProperties": False}, "map")
    assert str(caught.value).isprintable()


def test_an_event_with_a_hostile_text_is_one_printable_line() -> None:
    message, arguments = describe_event("command_rejected", {"code": "malformed", "problem": "a\x1b[2J\nb\ud800"})
    assert message.isprintable()
    assert arguments["problem"].encode("utf-8")
