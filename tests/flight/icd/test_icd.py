"""The wire contract: what is encoded is decoded, and nothing else gets through."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.icd.catalogue import EVENTS, REJECTION_REASONS
from flight.icd.control import MessageError, decode_message, encode_message, event_values
from flight.icd.document import make_files
from flight.icd.frames import FrameError, decode_frame, encode_frame
from flight.icd.limits import HEADER_BYTES
from flight.icd.packing import pack_map
from flight.icd.products import ProductError, decode_product, encode_product
from tests.golden.vectors import GOLDEN, VECTORS, product, product_header, read_vector

U64 = st.integers(0, 2**64 - 1)


def frame_parts(**changes: object) -> list[bytes]:
    """A good frame message with fields of its header replaced; None leaves a field out."""
    pixels = np.arange(16 * 20, dtype=np.uint8).reshape(16, 20)
    parts = encode_frame(pixels, source="cam", epoch=1, frame_id=2, capture_time_ns=3, centered=False)
    header = msgpack.unpackb(parts[0])
    for field, value in changes.items():
        if value is None:
            del header[field]
        else:
            header[field] = value
    return [pack_map(header), parts[1]]


@settings(max_examples=60)
@given(
    height=st.integers(16, 64),
    width=st.integers(16, 64),
    channels=st.sampled_from([1, 3]),
    wide=st.booleans(),
    epoch=st.integers(0, 2**32 - 1),
    frame_id=U64,
    time_ns=U64,
    centered=st.booleans(),
    source=st.text(min_size=1, max_size=8),
)
def test_a_frame_comes_back_as_it_was(height, width, channels, wide, epoch, frame_id, time_ns, centered, source):
    dtype = np.uint16 if wide else np.uint8
    shape = (height, width) if channels == 1 else (height, width, 3)
    pixels = np.random.default_rng(height * width).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
    parts = encode_frame(
        pixels, source=source, epoch=epoch, frame_id=frame_id, capture_time_ns=time_ns, centered=centered
    )
    frame = decode_frame(parts)
    assert np.array_equal(frame.pixels, pixels)
    assert frame.pixels.dtype == dtype
    assert frame.key == (epoch, frame_id)
    assert frame.header["source"] == source
    assert frame.header["centered"] is centered


@pytest.mark.parametrize(
    ("parts", "reason", "message"),
    [
        ([b"x"], "wrong_parts", "expected 2 message parts, got 1"),
        ([b"\xff\xfe", b""], "malformed_header", "no msgpack map"),
        ([msgpack.packb([1, 2]), b""], "malformed_header", "expected a msgpack map with string keys, got list"),
        ([b"\x80" + b"x" * HEADER_BYTES, b""], "malformed_header", f"expected at most {HEADER_BYTES} bytes"),
        (frame_parts(schema=2), "unknown_schema", "frame.schema: expected 1, got 2"),
        (frame_parts(width=8), "invalid_field", "frame.width: expected 16..4096, got 8"),
        (frame_parts(dtype="f32"), "invalid_field", "frame.dtype: expected u8 | u16, got 'f32'"),
        (frame_parts(bit_depth=12), "invalid_field", "frame.bit_depth: expected 8..8 for u8, got 12"),
        (frame_parts(centered=None), "invalid_field", "frame.centered: expected a value, got None"),
        (frame_parts(height=17), "size_mismatch", "expected 17 x 20 x 1 x 1 = 340 bytes, got 320"),
        (frame_parts(crc32=5), "crc_mismatch", "expected 0x00000005"),
    ],
)
def test_a_bad_frame_is_refused_with_reason_and_place(parts: list[bytes], reason: str, message: str) -> None:
    with pytest.raises(FrameError) as caught:
        decode_frame(parts)
    assert caught.value.reason == reason
    assert reason in REJECTION_REASONS
    assert message in str(caught.value)


@settings(max_examples=500)
@given(header=st.binary(max_size=200), pixels=st.binary(max_size=50))
def test_random_bytes_never_crash_the_frame_decoder(header: bytes, pixels: bytes) -> None:
    with pytest.raises(FrameError):
        decode_frame([header, pixels])


@settings(max_examples=300)
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_in_the_pixels_is_noticed(position: int, bit: int) -> None:
    parts = frame_parts()
    damaged = bytearray(parts[1])
    damaged[position % len(damaged)] ^= 1 << bit
    with pytest.raises(FrameError) as caught:
        decode_frame([parts[0], bytes(damaged)])
    assert caught.value.reason == "crc_mismatch"


def test_unknown_optional_keys_are_ignored() -> None:
    assert decode_frame(frame_parts(gain_db=3)).header["gain_db"] == 3


def product_parts() -> list[bytes]:
    return product("map.navigation")


CLASS_MAP = np.arange(24).reshape(4, 6) % 4


def test_a_product_comes_back_as_it_was() -> None:
    decoded = decode_product(product_parts())
    assert decoded.topic == "map.navigation"
    assert np.array_equal(decoded.planes["class_map"], CLASS_MAP)
    assert decoded.planes["predictive_entropy"].dtype == np.float16
    assert not decoded.planes["class_map"].flags.writeable


@settings(max_examples=400)
@given(part=st.integers(0, 4), position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_damaged_product_is_never_handed_over_as_another(part: int, position: int, bit: int) -> None:
    original = product_parts()
    parts = [bytearray(p) for p in original]
    parts[part][position % len(parts[part])] ^= 1 << bit
    try:
        decoded = decode_product([bytes(p) for p in parts])
    except ProductError:
        return
    # A flip in a header value that stays inside its range cannot be noticed; the bytes of the planes are as they
    # were, though a flip may have changed their shape (4 x 6 into 6 x 4 takes more than one).
    assert part == 1
    assert np.array_equal(decoded.planes["class_map"], CLASS_MAP)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p[:1], "expected 2..10 message parts"),
        (lambda p: p[:4], "map.planes: expected 2 entries as parts came, got 3"),
        (lambda p: [b"map.hazard", *p[1:]], "map.topic"),
        (lambda p: [*p[:2], p[2] + b"x", *p[3:]], "plane class_map: expected 24 bytes, got 25"),
        (lambda p: [*p[:2], b"x" * 24, *p[3:]], "plane class_map: crc32"),
        (
            lambda p: [p[0], p[1].replace(b"\xd9\x40" + b"ab" * 32, b"\xd9\x41" + b"ab" * 32 + b"\n"), *p[2:]],
            "map.bundle.sha256: expected 0..64 characters",
        ),
        (
            lambda p: [p[0], p[1].replace(b"\xa5index\x02", b"\xa5index\x03"), *p[2:]],
            "map.classes[2].index: expected 2, got 3",
        ),
        (
            lambda p: [p[0], product("map.navigation", planes=[])[1]],
            "map.planes: expected class_map, enhanced_class_map",
        ),
        (
            lambda p: [
                b"map.hazard",
                p[1].replace(b"map.navigation", b"map.hazard").replace(b"\xaemap", b"\xaamap"),
                *p[2:],
            ],
            "map.planes: expected hazard",
        ),
    ],
)
def test_a_bad_product_is_refused(change, message: str) -> None:
    with pytest.raises(ProductError, match=re.escape(message)):
        decode_product(change(product_parts()))


def test_a_full_product_has_a_layer_for_each_class() -> None:
    parts = product("map.full")
    classes = [{"index": index, "name": "x", "role": "safe"} for index in range(4)]
    with pytest.raises(ProductError, match="plane mean_probability: expected 4 layers as classes, got 3"):
        decode_product([parts[0], msgpack.packb({**msgpack.unpackb(parts[1]), "classes": classes}), *parts[2:]])


def test_an_invalid_product_may_carry_no_planes() -> None:
    with pytest.raises(ProductError, match="expected none in an invalid product"):
        decode_product(product("map.navigation", status="invalid"))
    assert decode_product(encode_product({**product_header(), "status": "invalid"}, [])).planes == {}


def test_what_the_service_would_refuse_is_not_encoded() -> None:
    arguments = {"source": "cam", "epoch": 1, "frame_id": 1, "capture_time_ns": 0, "centered": True}
    with pytest.raises(FrameError, match=r"frame\.bit_depth: expected 8\.\.8 for u8, got 12"):
        encode_frame(np.zeros((16, 16), dtype=np.uint8), bit_depth=12, **arguments)
    with pytest.raises(FrameError, match="expected at most 41943040 bytes of pixels, got 50331648"):
        encode_frame(np.zeros((4096, 4096, 3), dtype=np.uint8), **arguments)


def test_a_number_beyond_64_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be encoded as msgpack"):
        encode_message("command", {"id": 1, "name": "x", "arguments": {"value": 2**80}})


def test_a_long_event_message_is_cut_in_bytes() -> None:
    data = encode_message("event", event_values("worker_died", "é" * 2000, {}, 0, 0))
    assert decode_message("event", data)["message"] == "é" * 512


@settings(max_examples=300)
@given(data=st.binary(max_size=300))
def test_random_bytes_never_crash_the_other_decoders(data: bytes) -> None:
    for kind in ("command", "reply", "event", "housekeeping"):
        with pytest.raises(MessageError):
            decode_message(kind, data)
    with pytest.raises(ProductError):
        decode_product([b"map.navigation", data])


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(MessageError):
        decode_message("command", b"\x91" * 5000)


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_of_the_catalogue_can_be_sent(name: str) -> None:
    data = encode_message("event", event_values(name, "text", {"a": 1}, 5, 0))
    assert decode_message("event", data)["id"] == EVENTS[name].id


def test_event_ids_are_distinct() -> None:
    assert len({event.id for event in EVENTS.values()}) == len(EVENTS)


@pytest.mark.parametrize("name", VECTORS)
def test_golden_vectors_are_what_is_encoded_now(name: str) -> None:
    assert read_vector(GOLDEN / f"{name}.bin") == VECTORS[name]()


def test_golden_vectors_decode() -> None:
    frame = decode_frame(read_vector(GOLDEN / "frame.bin"))
    assert zlib.crc32(frame.pixels.tobytes()) == frame.header["crc32"]
    for topic in ("navigation", "hazard", "full"):
        assert decode_product(read_vector(GOLDEN / f"map_{topic}.bin")).topic == f"map.{topic}"
    for kind in ("command", "reply"):
        assert decode_message(kind, read_vector(GOLDEN / f"{kind}.bin")[0])["type"] == kind
    for kind in ("event", "housekeeping"):
        assert decode_message(kind, read_vector(GOLDEN / f"{kind}.bin")[1])["type"] == kind


@pytest.mark.parametrize("path", make_files(), ids=lambda path: path.name)
def test_the_document_is_the_code(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == make_files()[path], "run: python -m flight.icd.document --write"
