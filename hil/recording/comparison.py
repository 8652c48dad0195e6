"""Compares products with recorded ones: bit-identical, or in what they differ."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flight.icd.limits import TOPIC_NAVIGATION
from flight.icd.products import Product, ProductError, decode_product
from flight.schema import format_text, format_value
from hil.recording.channels import RecordedMessage, read_header
from hil.recording.reader import RecordingReader

# What a product's planes follow from, and what it says of them: equal, if everything is.
_FIELDS: tuple[str, ...] = (
    "status",
    "flags",
    "bundle",
    "mode",
    "gamma",
    "passes_requested",
    "passes_used",
    "engine",
    "seed",
)
_FIELDS += ("uncertainty_threshold", "risk_threshold", "map_to_sensor", "classes")
_MOST_DIFFERENCES = 100

ProductKey = tuple[str, int, int, str]  # source, epoch, frame_id, topic


@dataclass(frozen=True)
class _Recorded:
    """What is kept of a recorded product. classes: the compressed class map of a navigation product, else b""."""

    fields: dict[str, Any]
    digests: dict[str, str]
    classes: bytes


def _digest(product: Product) -> _Recorded:
    header = product.header
    planes = {name: hashlib.sha256(plane.tobytes()).hexdigest() for name, plane in product.planes.items()}
    classes = b""
    if product.topic == TOPIC_NAVIGATION and product.planes:
        classes = zlib.compress(product.planes["class_map"].tobytes(), 1)
    return _Recorded({name: header.get(name) for name in _FIELDS}, planes, classes)


@dataclass
class Comparison:
    """How products compare with those of a recording.

    Attributes:
        recorded: number of products in the recording.
        identical: products equal in every bit of every plane, and in what they state of how they were made.
        different: products that are not.
        fields: number of products in which a header's field or a plane differs, by its name.
        class_agreement: share of pixels with the recorded class, of each navigation product that differs.
        differences: of the first hundred: source, epoch, frame_id, topic, and the names of what differs.
        not_recorded: products that the recording has none for.
        parameters: (recorded, now) of each parameter that differs between the first housekeeping and the service's.
    """

    recorded: int = 0
    identical: int = 0
    different: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    class_agreement: list[float] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)
    not_recorded: int = 0
    parameters: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    _waiting: dict[ProductKey, _Recorded] = field(default_factory=dict)
    _recorded_parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Recorded products for which none has come."""
        return len(self._waiting)

    def expect(self, message: RecordedMessage, epochs: Mapping[tuple[str, int], int]) -> None:
        """Take in a message of the recording.

        Args:
            message: of any kind.
            epochs: (source, recorded epoch) -> the epoch under which its frames are sent now.
        """
        if message.kind == "product":
            try:
                product = decode_product(message.parts)
            except ProductError:
                return
            source, epoch, frame_id = product.frame_key
            self._waiting[source, epochs.get((source, epoch), epoch), frame_id, product.topic] = _digest(product)
            self.recorded += 1
        elif message.kind == "telemetry" and not self._recorded_parameters:
            found = read_header("telemetry", message.parts)
            if found is not None and found[0] == "housekeeping":
                self._recorded_parameters = found[1]["parameters"]

    def compare(self, product: Product) -> None:
        """Compare a product that has come with the recorded one of its frame and topic."""
        key = (*product.frame_key, product.topic)
        recorded = self._waiting.pop(key, None)
        if recorded is None:
            self.not_recorded += 1
            return
        now = _digest(product)
        names = [name for name in _FIELDS if recorded.fields[name] != now.fields[name]]
        planes = recorded.digests.keys() | now.digests.keys()
        names += sorted(name for name in planes if recorded.digests.get(name) != now.digests.get(name))
        if not names:
            self.identical += 1
            return
        self.different += 1
        self.fields.update(names)
        if len(self.differences) < _MOST_DIFFERENCES:
            place = dict(zip(("source", "epoch", "frame_id", "topic"), key, strict=True))
            self.differences.append({**place, "different": names})
        if recorded.classes and now.classes:
            before, after = (np.frombuffer(zlib.decompress(part.classes), np.uint8) for part in (recorded, now))
            if before.size == after.size:
                self.class_agreement.append(float((before == after).mean()))

    def compare_parameters(self, housekeeping: dict[str, Any]) -> None:
        """Compare the service's parameters with those of the recording's first housekeeping."""
        before, now = self._recorded_parameters, housekeeping["parameters"]
        names = sorted(before.keys() & now.keys())
        self.parameters = {name: (before[name], now[name]) for name in names if before[name] != now[name]}

    def describe(self) -> Iterable[str]:
        """The comparison in lines for people."""
        yield (
            f"products: {self.recorded} recorded, {self.identical} bit-identical, {self.different} different, "
            f"{self.missing} missing"
        )
        if self.fields:
            counts = ", ".join(f"{name} {count}" for name, count in self.fields.most_common())
            yield f"different: {counts}"
        if self.class_agreement:
            mean, least = np.mean(self.class_agreement), min(self.class_agreement)
            yield f"of those that differ, pixels of the recorded class: {mean:.2%}, worst frame {least:.2%}"
        for name, (before, now) in self.parameters.items():
            yield f"parameter {format_text(name)}: recorded {format_value(before)}, here {format_value(now)}"

    def report(self) -> dict[str, Any]:
        """The comparison for programs."""
        return {
            "recorded": self.recorded,
            "identical": self.identical,
            "different": self.different,
            "missing": self.missing,
            "not_recorded": self.not_recorded,
            "different_fields": dict(self.fields),
            "class_agreement": {
                "mean": float(np.mean(self.class_agreement)) if self.class_agreement else None,
                "least": min(self.class_agreement, default=None),
            },
            "parameters": {name: list(values) for name, values in self.parameters.items()},
            "differences": self.differences,
        }


@dataclass
class Contents:
    """What a recording holds.

    Attributes:
        messages: number, by kind.
        malformed: number of those that break the contract, by kind.
        duration_s: from the first message to the last one.
        cameras: number of frames, by source and epoch.
        bundles: name, version and hash of those that the products are of.
        events: number, by severity.
        ending: "" for a whole recording, else why it is none.
    """

    messages: Counter[str] = field(default_factory=Counter)
    malformed: Counter[str] = field(default_factory=Counter)
    duration_s: float = 0.0
    cameras: Counter[tuple[str, int]] = field(default_factory=Counter)
    bundles: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    ending: str = ""

    def describe(self) -> Iterable[str]:
        """The contents in lines for people."""
        counts = ", ".join(f"{kind} {count}" for kind, count in sorted(self.messages.items())) or "nothing"
        yield f"{counts}; {self.duration_s:.1f} s; {self.ending or 'whole'}"
        for kind, count in sorted(self.malformed.items()):
            yield f"{kind}: {count} break the contract"
        for (source, epoch), count in sorted(self.cameras.items()):
            yield f"camera {source!r}, epoch {epoch}: {count} frames"
        for bundle, count in self.bundles.items():
            yield f"bundle {format_text(bundle)}: {count} products"
        if self.events:
            yield f"events: {', '.join(f'{severity} {count}' for severity, count in sorted(self.events.items()))}"


def read_contents(path: Path) -> Contents:
    """Read what a recording holds. Raises RecordingError, OSError: see RecordingReader."""
    contents = Contents()
    first, last = None, 0
    reader = RecordingReader(path)
    for message in reader.messages():
        contents.messages[message.kind] += 1
        first, last = message.time_ns if first is None else first, message.time_ns
        found = read_header(message.kind, message.parts)
        if found is None:
            contents.malformed[message.kind] += 1
            continue
        name, header = found
        if name == "frame":
            contents.cameras[header["source"], header["epoch"]] += 1
        elif name == "map":
            bundle = header["bundle"]
            contents.bundles[f"{bundle['name']} {bundle['version']}, {bundle['sha256'][:16]}..."] += 1
        elif name == "event":
            contents.events[header["severity"]] += 1
    contents.duration_s = 0.0 if first is None else (last - first) / 1e9
    contents.ending = reader.ending
    return contents
