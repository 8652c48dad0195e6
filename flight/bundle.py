"""A model bundle: a folder with manifest.json, one .tflite file per network, a self-test, card.md and SHA256SUMS.

Everything that the service knows of a mission's networks comes from the manifest: the classes and their roles,
the input's geometry, the networks with their dropout masks, the fusion rule and the default parameters.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flight.schema import SchemaError, check, load_schema

_SCHEMA = load_schema("flight.schemas", "manifest")
MANIFEST_BYTES = 1024 * 1024
# Of all the files together.
BUNDLE_BYTES = 256 * 1024 * 1024
SUMS = "SHA256SUMS"
SUMS_BYTES = 64 * 1024
_SUMS_LINE = re.compile(rb"([0-9a-f]{64})  ([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})")


class BundleError(ValueError):
    """A bundle that is missing, malformed or changed; the message names the file and the field."""


@dataclass(frozen=True)
class DropoutMask:
    """A dropout mask that is an input of the graph. shape: (H, W, C) without the batch axis."""

    input: str
    shape: tuple[int, ...]
    keep_probability: float


@dataclass(frozen=True)
class NetworkFile:
    """One network. content: the verified bytes of the .tflite file, the ones that will be run."""

    role: str
    content: bytes
    image_input: str
    scores_output: str
    dropout_masks: tuple[DropoutMask, ...]


@dataclass(frozen=True)
class ClassDefinition:
    """One class. role: what it means to a consumer: "background", "safe", "hazard" or "terminator"."""

    index: int
    name: str
    color: tuple[int, int, int]
    role: str


@dataclass(frozen=True)
class FusionRule:
    """Per class: the network whose score is taken, and the one it is mixed with by log10(gamma), if any."""

    mode: str
    classes: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class SelfTest:
    """A known image (PNG bytes) and the class map (PNG bytes) that it gave when the bundle was made."""

    image: bytes
    class_map: bytes
    seed: int
    passes: int
    minimum_agreement: float


@dataclass(frozen=True)
class Bundle:
    """A validated bundle.

    orientations: of the image, which the passes go through by turns: 1, 4, or 8 where height and width are equal.
    sha256: of manifest.json, which holds the hashes of the networks and of the self-test. validation_entropy: 99th
    percentile over the validation images of the map's mean predictive entropy, nats; None when it is not stated.
    files: the content of every file, by name, as it was verified.
    """

    path: Path
    name: str
    version: str
    sha256: str
    classes: tuple[ClassDefinition, ...]
    height: int
    width: int
    channels: int
    orientations: int
    networks: tuple[NetworkFile, ...]
    fusion: FusionRule | None
    passes: int
    gamma: float
    uncertainty_threshold: float
    validation_entropy: float | None
    self_test: SelfTest
    manifest: dict[str, Any]
    files: dict[str, bytes]

    @staticmethod
    def sha256_of(files: dict[str, bytes]) -> str:
        """What `sha256` is for a bundle of these files."""
        return hashlib.sha256(files["manifest.json"]).hexdigest()

    @property
    def hashes(self) -> dict[str, str]:
        """File name -> SHA-256 of every file, SHA256SUMS included."""
        return {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}

    def verify(self) -> None:
        """Raise BundleError unless the contents held here still have their hashes."""
        for name, expected in _read_sums(self.path, self.files[SUMS]).items():
            _check_hash(Path(name), self.files[name], expected)
        if self.sha256 != Bundle.sha256_of(self.files):
            raise BundleError(f"{self.path}: the manifest's hash in memory was changed")

    @property
    def identity(self) -> dict[str, str]:
        """The `bundle` field of products and telemetry."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256}

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes that the bundle can run in; the first is the default."""
        single = tuple(network.role for network in self.networks)
        return (self.fusion.mode, *single) if self.fusion else single


def write_sums(path: Path) -> None:
    """Write a bundle's SHA256SUMS: a line for every other file, as the sha256sum program writes them."""
    names = sorted(file.name for file in path.iterdir() if file.name != SUMS)
    lines = (f"{hashlib.sha256((path / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    (path / SUMS).write_text("".join(lines), encoding="ascii")


def _read_sums(path: Path, raw: bytes) -> dict[str, str]:
    """File name -> SHA-256, as SHA256SUMS states them.

    That file is there because a changed manifest may still be a valid one; sha256sum --check reads it too.
    """
    sums: dict[str, str] = {}
    lines = raw.split(b"\n")
    if lines.pop() != b"":
        raise BundleError(f"{path / SUMS}: expected a line end at the end")
    for number, line in enumerate(lines, start=1):
        match = _SUMS_LINE.fullmatch(line)
        name = match[2].decode("ascii") if match else ""
        if match is None or name in sums or name == SUMS:
            raise BundleError(f"{path / SUMS}: line {number}: expected a SHA-256, two blanks and a file's name")
        sums[name] = match[1].decode("ascii")
    if "manifest.json" not in sums:
        raise BundleError(f"{path / SUMS}: expected a line for manifest.json, got none")
    return sums


def read_files(path: Path) -> dict[str, bytes]:
    """File name -> content of all of a bundle's files, SHA256SUMS among them, each of the hash stated there.

    Raises BundleError.
    """
    files = {SUMS: _read(path / SUMS, SUMS_BYTES)}
    room = BUNDLE_BYTES
    for name, expected in _read_sums(path, files[SUMS]).items():
        files[name] = _read(path / name, min(room, MANIFEST_BYTES if name == "manifest.json" else room))
        _check_hash(path / name, files[name], expected)
        room -= len(files[name])
    return files


def load_bundle(path: Path) -> Bundle:
    """Read and validate a bundle: every file against SHA256SUMS, the manifest against its schema.

    Raises BundleError naming the file and, where one is to blame, the field.
    """
    return parse_bundle(path, read_files(path))


def parse_bundle(path: Path, files: dict[str, bytes]) -> Bundle:
    """A bundle from its verified files (see read_files). path: where they are, for messages. Raises BundleError."""
    manifest_path = path / "manifest.json"
    raw = files["manifest.json"]
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{manifest_path}: no JSON ({error})") from error
    try:
        check(manifest, _SCHEMA, "manifest")
    except SchemaError as error:
        raise BundleError(f"{manifest_path}: {error}") from error
    networks = tuple(_network(path, files, index, entry) for index, entry in enumerate(manifest["networks"]))
    roles = [network.role for network in networks]
    if len(set(roles)) != len(roles):
        raise BundleError(f"{manifest_path}: manifest.networks: expected distinct roles, got {roles}")
    for index, entry in enumerate(manifest["classes"]):
        if entry["index"] != index:
            raise BundleError(
                f"{manifest_path}: manifest.classes[{index}].index: expected {index}, got {entry['index']}"
            )
    test = manifest["self_test"]
    return Bundle(
        path=path,
        name=manifest["name"],
        version=manifest["version"],
        sha256=Bundle.sha256_of(files),
        classes=tuple(
            ClassDefinition(c["index"], c["name"], (c["color"][0], c["color"][1], c["color"][2]), c["role"])
            for c in manifest["classes"]
        ),
        height=manifest["input"]["height"],
        width=manifest["input"]["width"],
        channels=manifest["input"]["channels"],
        orientations=_orientations(manifest_path, manifest["input"]),
        networks=networks,
        fusion=_fusion(manifest_path, manifest, roles),
        passes=manifest["defaults"]["passes"],
        gamma=float(manifest["defaults"]["gamma"]),
        uncertainty_threshold=float(manifest["defaults"]["uncertainty_threshold"]),
        validation_entropy=manifest.get("validation_entropy", {}).get("percentile_99"),
        self_test=SelfTest(
            _stated(path, files, test["image"], test["image_sha256"]),
            _stated(path, files, test["class_map"], test["class_map_sha256"]),
            test["seed"],
            test["passes"],
            test["minimum_agreement"],
        ),
        manifest=manifest,
        files=files,
    )


def _orientations(manifest_path: Path, entry: dict[str, int]) -> int:
    count = entry.get("orientations", 1)
    if count == 8 and entry["height"] != entry["width"]:
        raise BundleError(
            f"{manifest_path}: manifest.input.orientations: expected 1 or 4 for {entry['height']} x {entry['width']} "
            f"pixels, got 8: turned by a quarter they do not fit"
        )
    return count


def _network(path: Path, files: dict[str, bytes], index: int, entry: dict[str, Any]) -> NetworkFile:
    masks = tuple(
        DropoutMask(mask["input"], tuple(mask["shape"]), float(mask["keep_probability"]))
        for mask in entry["dropout_masks"]
    )
    names = [entry["image_input"], *(mask.input for mask in masks)]
    if len(set(names)) != len(names):
        raise BundleError(
            f"{path / 'manifest.json'}: manifest.networks[{index}]: expected distinct input names, got {names}"
        )
    content = _stated(path, files, entry["file"], entry["sha256"])
    return NetworkFile(entry["role"], content, entry["image_input"], entry["scores_output"], masks)


def _fusion(manifest_path: Path, manifest: dict[str, Any], roles: list[str]) -> FusionRule | None:
    entry = manifest.get("fusion")
    if entry is None:
        if len(roles) > 1:
            raise BundleError(f"{manifest_path}: manifest.fusion: expected a rule for {len(roles)} networks, got none")
        return None
    if len(entry["classes"]) != len(manifest["classes"]):
        raise BundleError(
            f"{manifest_path}: manifest.fusion.classes: expected {len(manifest['classes'])} items, "
            f"got {len(entry['classes'])}"
        )
    rules = tuple((rule["network"], rule.get("log_gamma_with")) for rule in entry["classes"])
    for index, rule in enumerate(rules):
        for role in rule:
            if role is not None and role not in roles:
                raise BundleError(
                    f"{manifest_path}: manifest.fusion.classes[{index}]: expected one of {', '.join(roles)}, got {role}"
                )
    if entry["mode"] in roles:
        raise BundleError(f"{manifest_path}: manifest.fusion.mode: expected a name of its own, got {entry['mode']}")
    return FusionRule(entry["mode"], rules)


def _stated(path: Path, files: dict[str, bytes], name: str, expected: str) -> bytes:
    """The content of a file that the manifest names, which must have the hash that the manifest states."""
    if name not in files:
        raise BundleError(f"{path / SUMS}: expected a line for {name}, which the manifest names, got none")
    _check_hash(path / name, files[name], expected)
    return files[name]


def _check_hash(path: Path, content: bytes, expected: str) -> None:
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected:
        raise BundleError(f"{path}: sha256: expected {expected[:16]}..., got {actual[:16]}...: the file was changed")


def _read(path: Path, limit: int) -> bytes:
    try:
        # Opening a pipe for reading waits for a writer unless told not to.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BundleError(f"{path}: expected a regular file")
            content = file.read(limit + 1)
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from error
    if len(content) > limit:
        raise BundleError(f"{path}: expected at most {limit} bytes, got more")
    return content
