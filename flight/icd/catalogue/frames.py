"""Why a message on the frames socket is rejected."""

from __future__ import annotations

REJECTION_REASONS: dict[str, str] = {
    "wrong_parts": "not two message parts, or more bytes of pixels than a message may have",
    "malformed_header": "the header is no msgpack map within the limits",
    "unknown_schema": "the schema number is not one this service knows",
    "invalid_field": "a header field is missing, of the wrong type or out of range",
    "size_mismatch": "the pixel part has not height * width * channels * itemsize bytes",
    "crc_mismatch": "the CRC-32 of the pixels differs from the header's",
    "not_increasing": "(epoch, frame_id) repeats or steps back for this source",
    "too_many_sources": "more camera sources than the service keeps track of",
    "rate_limited": "more frames per second than configured; this one was not looked at",
}
