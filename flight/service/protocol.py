"""The private messages between the service and its worker, over one PAIR socket.

A message is a msgpack map of one of the kinds below, followed by parts that are not maps: a frame's pixels, a
product's planes. Each side parses a message once, into the dataclass of its kind, and checks every field: a worker
whose memory is corrupted may answer anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from flight.icd.catalogue import FLAGS
from flight.icd.control import truncate_text
from flight.icd.limits import PRODUCT_HEADER_BYTES, PRODUCT_TOPICS
from flight.icd.packing import PackingError, pack_map, unpack_map
from flight.schema import SchemaError, check, load_schema
from flight.settings import PARAMETER_SCHEMAS, Settings, settings_from

_FRAME: dict[str, Any] = load_schema("flight.icd.schemas", "frame")["properties"]
_MAP: dict[str, Any] = load_schema("flight.icd.schemas", "map")["properties"]
_STAGES = ("center", "passes", "fuse")


class ProtocolError(ValueError):
    """A message that breaks the protocol, or is not due; the text names the field."""


def _make_map_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a map with these fields and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


_NUMBER = {"type": "integer", "minimum": 0, "maximum": 2**64 - 1}
_SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$", "maxLength": 64}
_SHA256_OR_NONE = {"type": "string", "pattern": "^([0-9a-f]{64})?$", "maxLength": 64}
_TEXT = {"type": "string", "maxBytes": 1024}
_ENGINE_OR_NONE = {"enum": ["", *_MAP["engine"]["enum"]]}
_FRACTION = {"type": "number", "minimum": 0, "maximum": 1}
_TIME = {"type": "number", "minimum": 0, "maximum": 1e12}
_TIMING = _make_map_schema({stage: _MAP["timing_ms"]["properties"][stage] for stage in _STAGES})
_FLAGS = {**_MAP["flags"], "items": {"enum": list(FLAGS)}}
_TOPIC_NAMES = {"type": "array", "maxItems": len(PRODUCT_TOPICS), "items": {"enum": list(PRODUCT_TOPICS)}}
_PLANES_BY_TOPIC = {
    "type": "object",
    "properties": dict.fromkeys(PRODUCT_TOPICS, _MAP["planes"]),
    "additionalProperties": False,
}
# Which modes there are depends on the bundle: the engine checks the mode's name.
_SETTINGS = _make_map_schema(
    {name: PARAMETER_SCHEMAS.get(name, _MAP["mode"]) for name in Settings.__dataclass_fields__}
)


@dataclass(frozen=True)
class FrameJob:
    """Process a frame.

    Attributes:
        job: number, that the answer repeats.
        height, width, channels, dtype, bit_depth, centered: as in the frame's header.
        seed: of the dropout masks.
        settings: how the frame is processed.
        started: monotonic clock, s; a deadline counts from it.
        topics: products that are wanted.
        crc32: over the pixels, as in the frame message.
        pixels: as in the frame message.
    """

    KIND: ClassVar = "frame"
    job: int = field(metadata=_NUMBER)
    height: int = field(metadata=_FRAME["height"])
    width: int = field(metadata=_FRAME["width"])
    channels: int = field(metadata=_FRAME["channels"])
    dtype: str = field(metadata=_FRAME["dtype"])
    bit_depth: int = field(metadata=_FRAME["bit_depth"])
    centered: bool = field(metadata=_FRAME["centered"])
    seed: int = field(metadata=_NUMBER)
    settings: Settings = field(metadata=_SETTINGS)
    started: float = field(metadata=_TIME)
    topics: tuple[str, ...] = field(metadata=_TOPIC_NAMES)
    crc32: int = field(metadata=_FRAME["crc32"])
    pixels: bytes = field(repr=False)


@dataclass(frozen=True)
class SelfTestJob:
    """Run the bundle's self-test, of both engines.

    Attributes:
        job: number, that the answer repeats.
        engine: the parameter in force. Whole passes stay loaded with "passes", and are given back else.
    """

    KIND: ClassVar = "self_test"
    job: int = field(metadata=_NUMBER)
    engine: str = field(default="auto", metadata=PARAMETER_SCHEMAS["engine"])


@dataclass(frozen=True)
class Ping:
    """Send a heartbeat."""

    KIND: ClassVar = "ping"


@dataclass(frozen=True)
class Ready:
    """The worker has loaded its bundle and run the self-test.

    Attributes:
        sha256: of the bundle's manifest.
        environment: all that the bits of an answer may depend on besides the bundle.
        agreement: fraction of the self-test's pixels with the recorded class, 0..1.
        digest: SHA-256 of the whole answer.
        guarded_bytes: memory that is checked after every frame; 0 if none can be, or is to be.
        passes_digest: SHA-256 of the answer of whole passes; "" where there is nothing else, or if the start did not
            test them.
    """

    KIND: ClassVar = "ready"
    sha256: str = field(metadata=_SHA256)
    environment: str = field(metadata=_TEXT)
    agreement: float = field(metadata=_FRACTION)
    digest: str = field(metadata=_SHA256)
    guarded_bytes: int = field(default=0, metadata=_NUMBER)
    passes_digest: str = field(default="", metadata=_SHA256_OR_NONE)


@dataclass(frozen=True)
class StartFailed:
    """The worker could not load its bundle, or the self-test failed; it ends.

    Attributes:
        message: why.
        cause: "bundle", or "machine" where no other bundle would do better: a library that cannot be loaded, say.
    """

    KIND: ClassVar = "start_failed"
    message: str = field(metadata=_TEXT)
    cause: str = field(metadata={"enum": ["bundle", "machine"]})


@dataclass(frozen=True)
class SelfTestAnswer:
    """The answer to a self-test; fields as of Ready."""

    KIND: ClassVar = "tested"
    job: int = field(metadata=_NUMBER)
    sha256: str = field(metadata=_SHA256)
    environment: str = field(metadata=_TEXT)
    agreement: float = field(metadata=_FRACTION)
    digest: str = field(metadata=_SHA256)
    passes_digest: str = field(default="", metadata=_SHA256_OR_NONE)


@dataclass(frozen=True)
class MapsAnswer:
    """The answer to a frame.

    Attributes:
        job: number of the job.
        topics: by topic, the entries of the header's `planes`, in the order of the planes.
        map_to_sensor, passes_used, engine, flags, timing_ms: as in the product's header.
        planes: their bytes, topic after topic.
    """

    KIND: ClassVar = "maps"
    job: int = field(metadata=_NUMBER)
    topics: dict[str, list[dict[str, Any]]] = field(metadata=_PLANES_BY_TOPIC)
    map_to_sensor: list[float] = field(metadata=_MAP["map_to_sensor"])
    passes_used: int = field(metadata=_MAP["passes_used"])
    engine: str = field(metadata=_MAP["engine"])
    flags: list[str] = field(metadata=_FLAGS)
    timing_ms: dict[str, float] = field(metadata=_TIMING)
    planes: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True)
class Failed:
    """The job could not be carried out; the worker goes on."""

    KIND: ClassVar = "failed"
    job: int = field(metadata=_NUMBER)
    message: str = field(metadata=_TEXT)


@dataclass(frozen=True)
class Upset:
    """The answer to a frame after which memory of the worker had changed unexpectedly: it must be replaced."""

    KIND: ClassVar = "upset"
    job: int = field(metadata=_NUMBER)
    message: str = field(metadata=_TEXT)


@dataclass(frozen=True)
class Alive:
    """The answer to a ping."""

    KIND: ClassVar = "alive"


@dataclass(frozen=True)
class Progress:
    """A heartbeat while busy.

    Attributes:
        passes: dropout passes done; 0 when the frame is centred, or a step without passes is done.
        engine: that ran them, as of MapsAnswer; "" before the first.
    """

    KIND: ClassVar = "progress"
    passes: int = field(metadata=_NUMBER)
    engine: str = field(default="", metadata=_ENGINE_OR_NONE)


Job = FrameJob | SelfTestJob | Ping
Answer = Ready | StartFailed | SelfTestAnswer | MapsAnswer | Failed | Upset | Alive | Progress

_JOBS: tuple[type[Job], ...] = (FrameJob, SelfTestJob, Ping)
_ANSWERS: tuple[type[Answer], ...] = (Ready, StartFailed, SelfTestAnswer, MapsAnswer, Failed, Upset, Alive, Progress)
# Kinds with parts after their map, which are the fields without a schema.
_WITH_PARTS = (FrameJob, MapsAnswer)
_SCHEMAS = {
    kind: _make_map_schema(
        {"type": {"const": kind.KIND}, **{f.name: dict(f.metadata) for f in fields(kind) if f.metadata}}
    )
    for kind in (*_JOBS, *_ANSWERS)
}


def encode(message: Job | Answer) -> list[bytes]:
    """Encode a message: its parts."""
    kind = type(message)
    values = {name: getattr(message, name) for name in _SCHEMAS[kind]["properties"] if name != "type"}
    parts: Sequence[bytes] = ()
    if isinstance(message, FrameJob):
        values["settings"] = asdict(message.settings)
        parts = (message.pixels,)
    elif isinstance(message, MapsAnswer):
        parts = message.planes
    elif isinstance(message, StartFailed | Failed | Upset):
        values["message"] = truncate_text(message.message)
    return [pack_map({"type": kind.KIND, **values}), *parts]


def parse_job(parts: Sequence[bytes]) -> Job:
    """Parse a job from a message's parts. Raises ProtocolError."""
    kind, values = _parse(parts, _JOBS, "job")
    if kind is FrameJob:
        if len(parts) != 2:
            raise ProtocolError(f"job.frame: expected 2 parts, got {len(parts)}")
        values["settings"] = settings_from(values["settings"])
        return FrameJob(**{**values, "topics": tuple(values["topics"])}, pixels=parts[1])
    job: Job = kind(**values)
    return job


def parse_answer(parts: Sequence[bytes]) -> Answer:
    """Parse an answer from a message's parts. Raises ProtocolError."""
    kind, values = _parse(parts, _ANSWERS, "answer")
    if kind is MapsAnswer:
        count = sum(len(entries) for entries in values["topics"].values())
        if len(parts) != 1 + count:
            raise ProtocolError(f"answer.maps: expected {1 + count} parts for its planes, got {len(parts)}")
        return MapsAnswer(**values, planes=tuple(parts[1:]))
    answer: Answer = kind(**values)
    return answer


def find_due(state: str, job: FrameJob | SelfTestJob | None) -> tuple[type[Answer], ...]:
    """The kinds of answers that a worker in a state ("starting", "idle" or "busy"), with a job, may give."""
    if state == "starting":
        return Alive, Progress, Ready, StartFailed
    if isinstance(job, SelfTestJob):
        return Alive, Progress, SelfTestAnswer, Failed
    if isinstance(job, FrameJob):
        return Alive, Progress, MapsAnswer, Upset, Failed
    return (Alive,)


def _parse(parts: Sequence[bytes], kinds: Sequence[Any], what: str) -> tuple[Any, dict[str, Any]]:
    """The kind of a message, and its checked fields without those that have their own part."""
    try:
        values = unpack_map(parts[0], PRODUCT_HEADER_BYTES, what)
    except PackingError as error:
        raise ProtocolError(str(error)) from error
    by_name = {kind.KIND: kind for kind in kinds}
    try:
        check(values.get("type"), {"enum": list(by_name)}, f"{what}.type")
        kind = by_name[values["type"]]
        check(values, _SCHEMAS[kind], f"{what}.{kind.KIND}")
    except SchemaError as error:
        raise ProtocolError(str(error)) from error
    if kind not in _WITH_PARTS and len(parts) != 1:
        raise ProtocolError(f"{what}.{kind.KIND}: expected 1 part, got {len(parts)}")
    del values["type"]
    return kind, values
