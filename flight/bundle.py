"""Model bundles: a folder with manifest.json, one .tflite file per network, a self-test, card.md and SHA256SUMS.

All that the service knows about a mission's networks is in the manifest: the classes and their roles, the size of the
input, the networks with their dropout masks, the fusion rule and the default parameters.
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

from flight.closed_form_files import CLOSED_FORM_PARTS, ClosedFormFiles, DropoutMask, choose_masks
from flight.pixel_scaling import PLAIN_PIXELS, PixelScaling, parse_pixels
from flight.risk_thresholds import RiskTable, parse_risk_thresholds
from flight.schema import SchemaError, check, load_schema
from flight.tile_layout import TileLayout, parse_layout, parse_orientations

_SCHEMA = load_schema("flight.schemas", "manifest")
MANIFEST_BYTES = 1024 * 1024
# All files together.
BUNDLE_BYTES = 256 * 1024 * 1024
SUMS = "SHA256SUMS"
SUMS_BYTES = 64 * 1024
_SUMS_LINE = re.compile(rb"([0-9a-f]{64})  ([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})")


class BundleError(ValueError):
    """A bundle is missing, malformed or changed; the message names the file and the field."""


@dataclass(frozen=True)
class NetworkFile:
    """One network of a bundle.

    Attributes:
        name: such as "UNetS"; the manifest's networks[].role. Also the mode that runs this network alone.
        content: verified bytes of the .tflite file; the interpreter is given these, the file is not read again.
        image_input: name of the input tensor of the image.
        scores_output: name of the output tensor.
        dropout_masks: in the manifest's order.
        quantization: "int8", "uint8" or "float32", as the manifest says: what it computes with.
        output: what the output is, "logits", "probabilities" or "sigmoid", see inference.output_kind.
        pixels: how pixels become inputs.
        closed_form: None where there is nothing but the whole network.
    """

    name: str
    content: bytes
    image_input: str
    scores_output: str
    dropout_masks: tuple[DropoutMask, ...]
    quantization: str
    output: str = "logits"
    pixels: PixelScaling = PLAIN_PIXELS
    closed_form: ClosedFormFiles | None = None


@dataclass(frozen=True)
class ClassDefinition:
    """One class of a bundle.

    Attributes:
        index: in the class map, 0..K-1.
        name: such as "boulders".
        color: red, green, blue, 0..255, for pictures.
        role: what the class means to a consumer: "background", "safe", "hazard" or "terminator".
    """

    index: int
    name: str
    color: tuple[int, int, int]
    role: str


@dataclass(frozen=True)
class FusionRule:
    """How the scores of several networks are fused, see inference.fusion.

    Attributes:
        mode: name of the mode that fuses, such as "UNetH".
        classes: per class, the name of the network whose score is taken, and of the network that it is mixed with by
            log10(gamma), or None.
    """

    mode: str
    classes: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class SelfTest:
    """A known image and the class map that it gave when the bundle was made, see inference.self_test.

    Attributes:
        image: bytes of a PNG file, 8 bits, as large as the networks' input.
        class_map: bytes of a PNG file, 8 bits, a class index per pixel.
        seed: of the dropout masks.
        passes: number of passes.
        minimum_agreement: fraction of the pixels that must get the recorded class, 0..1.
    """

    image: bytes
    class_map: bytes
    seed: int
    passes: int
    minimum_agreement: float


@dataclass(frozen=True)
class Bundle:
    """A validated bundle.

    Attributes:
        path: its folder.
        name: from the manifest.
        version: from the manifest.
        sha256: of manifest.json, which states the hashes of the networks and of the self-test; hexadecimal.
        classes: K classes, by index.
        height: of the maps, pixels; of the networks' input too, where there are no tiles.
        width: likewise.
        channels: of the networks' input, 1 or 3.
        tiles: that the networks take, one by one; None where they take the map whole.
        orientations: how many orientations of the image the passes take in turn: 1, 4, or 8 for square images.
        networks: in the manifest's order.
        fusion: None for a single network.
        passes: default number of passes.
        gamma: default gamma of the fusion rule, 1..10.
        uncertainty_threshold: default threshold on the scaled entropy, 0..1.
        validation_entropy: 99th percentile, over the validation images, of a map's mean predictive entropy, nats;
            None if the manifest does not state it.
        risk_thresholds: mode -> thresholds with a promise, the least risk first; empty where nothing is promised.
        input_monitor: verified bytes of the fitted monitor's JSON file, see inference.input_monitor; None if there is
            none.
        self_test: see inference.self_test.
        manifest: content of manifest.json.
        files: verified content of every file, by name.
    """

    path: Path
    name: str
    version: str
    sha256: str
    classes: tuple[ClassDefinition, ...]
    height: int
    width: int
    channels: int
    tiles: TileLayout | None
    orientations: int
    networks: tuple[NetworkFile, ...]
    fusion: FusionRule | None
    passes: int
    gamma: float
    uncertainty_threshold: float
    validation_entropy: float | None
    risk_thresholds: dict[str, RiskTable]
    input_monitor: bytes | None
    self_test: SelfTest
    manifest: dict[str, Any]
    files: dict[str, bytes]

    @staticmethod
    def hash_manifest(files: dict[str, bytes]) -> str:
        """The `sha256` of a bundle with these files."""
        return hashlib.sha256(files["manifest.json"]).hexdigest()

    @property
    def hashes(self) -> dict[str, str]:
        """File name -> SHA-256 of every file, including SHA256SUMS; computed from `files` at every call."""
        return {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}

    def verify(self) -> None:
        """Raise BundleError if the contents in memory no longer have the hashes that SHA256SUMS states."""
        for name, expected in _read_sums(self.path, self.files[SUMS]).items():
            _check_hash(Path(name), self.files[name], expected)
        if self.sha256 != Bundle.hash_manifest(self.files):
            raise BundleError(f"{self.path}: the manifest's hash in memory was changed")

    @property
    def identity(self) -> dict[str, str]:
        """The `bundle` field of products and telemetry."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256}

    @property
    def network_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the networks' input."""
        place = self if self.tiles is None else self.tiles
        return place.height, place.width, self.channels

    @property
    def in_closed_form(self) -> bool:
        """Whether all networks have their heads in closed form, so that frames can do without whole passes."""
        return all(network.closed_form is not None for network in self.networks)

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes that the bundle can run in; the first is the default."""
        return _name_modes(self.fusion, [network.name for network in self.networks])


def _name_modes(fusion: FusionRule | None, networks: list[str]) -> tuple[str, ...]:
    return (fusion.mode, *networks) if fusion else tuple(networks)


def write_sums(path: Path) -> None:
    """Write SHA256SUMS, in the format of the sha256sum program, with a line for every other file.

    Args:
        path: folder of the bundle.
    """
    names = sorted(file.name for file in path.iterdir() if file.name != SUMS)
    lines = (f"{hashlib.sha256((path / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    (path / SUMS).write_text("".join(lines), encoding="ascii")


def _read_sums(path: Path, raw: bytes) -> dict[str, str]:
    """File name -> SHA-256, from the content of SHA256SUMS.

    It covers the manifest too: a changed manifest may still be valid, and its own hashes would not show the change.
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
    """Read all files of a bundle and check them against SHA256SUMS.

    Args:
        path: folder of the bundle.

    Returns:
        File name -> content, including SHA256SUMS.

    Raises:
        BundleError: a file is missing, too large, not a regular file, or does not have its hash.
    """
    files = {SUMS: _read(path / SUMS, SUMS_BYTES)}
    bytes_left = BUNDLE_BYTES
    for name, expected in _read_sums(path, files[SUMS]).items():
        files[name] = _read(path / name, min(bytes_left, MANIFEST_BYTES if name == "manifest.json" else bytes_left))
        _check_hash(path / name, files[name], expected)
        bytes_left -= len(files[name])
    return files


def load_bundle(path: Path) -> Bundle:
    """Read and validate a bundle: every file against SHA256SUMS, the manifest against its schema.

    Args:
        path: folder of the bundle.

    Raises:
        BundleError: names the file and, if it is the manifest, the field.
    """
    return parse_bundle(path, read_files(path))


def parse_bundle(path: Path, files: dict[str, bytes]) -> Bundle:
    """Make a bundle from the content of its files.

    Args:
        path: folder of the bundle, for messages.
        files: from read_files.

    Raises:
        BundleError: names the file and, if it is the manifest, the field.
    """
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
    channels = manifest["input"]["channels"]
    try:
        tiles, orientations = parse_layout(manifest["input"]), parse_orientations(manifest["input"])
    except ValueError as error:
        raise BundleError(f"{manifest_path}: manifest.input.{error}") from error
    networks = tuple(
        _parse_network(path, files, index, entry, channels) for index, entry in enumerate(manifest["networks"])
    )
    names = [network.name for network in networks]
    if len(set(names)) != len(names):
        raise BundleError(f"{manifest_path}: manifest.networks: expected distinct roles, got {names}")
    fusion = _parse_fusion(manifest_path, manifest, names)
    try:
        risk_thresholds = parse_risk_thresholds(manifest.get("risk_thresholds"), _name_modes(fusion, names))
    except ValueError as error:
        raise BundleError(f"{manifest_path}: manifest.risk_thresholds{error}") from error
    return Bundle(
        path=path,
        name=manifest["name"],
        version=manifest["version"],
        sha256=Bundle.hash_manifest(files),
        classes=_parse_classes(manifest_path, manifest["classes"]),
        height=manifest["input"]["height"],
        width=manifest["input"]["width"],
        channels=channels,
        tiles=tiles,
        orientations=orientations,
        networks=networks,
        fusion=fusion,
        passes=manifest["defaults"]["passes"],
        gamma=float(manifest["defaults"]["gamma"]),
        uncertainty_threshold=float(manifest["defaults"]["uncertainty_threshold"]),
        validation_entropy=manifest.get("validation_entropy", {}).get("percentile_99"),
        risk_thresholds=risk_thresholds,
        input_monitor=_parse_monitor(path, files, manifest.get("input_monitor")),
        self_test=_parse_self_test(path, files, manifest["self_test"]),
        manifest=manifest,
        files=files,
    )


def _parse_classes(manifest_path: Path, entries: list[dict[str, Any]]) -> tuple[ClassDefinition, ...]:
    for index, entry in enumerate(entries):
        if entry["index"] != index:
            raise BundleError(
                f"{manifest_path}: manifest.classes[{index}].index: expected {index}, got {entry['index']}"
            )
    return tuple(
        ClassDefinition(c["index"], c["name"], (c["color"][0], c["color"][1], c["color"][2]), c["role"])
        for c in entries
    )


def _parse_self_test(path: Path, files: dict[str, bytes], entry: dict[str, Any]) -> SelfTest:
    return SelfTest(
        _get_file(path, files, entry["image"], entry["image_sha256"]),
        _get_file(path, files, entry["class_map"], entry["class_map_sha256"]),
        entry["seed"],
        entry["passes"],
        entry["minimum_agreement"],
    )


def _parse_monitor(path: Path, files: dict[str, bytes], entry: dict[str, str] | None) -> bytes | None:
    return None if entry is None else _get_file(path, files, entry["file"], entry["sha256"])


def _parse_network(
    path: Path, files: dict[str, bytes], index: int, entry: dict[str, Any], channels: int
) -> NetworkFile:
    masks = tuple(
        DropoutMask(mask["input"], tuple(mask["shape"]), float(mask["keep_probability"]))
        for mask in entry["dropout_masks"]
    )
    names = [entry["image_input"], *(mask.input for mask in masks)]
    if len(set(names)) != len(names):
        raise BundleError(
            f"{path / 'manifest.json'}: manifest.networks[{index}]: expected distinct input names, got {names}"
        )
    content = _get_file(path, files, entry["file"], entry["sha256"])
    tensors = (entry["image_input"], entry["scores_output"], masks)
    try:
        pixels = parse_pixels(entry.get("pixels", {}), channels)
    except ValueError as error:
        raise BundleError(f"{path / 'manifest.json'}: manifest.networks[{index}].pixels.{error}") from error
    kind = entry.get("output", "logits")
    closed_form = None
    if "closed_form" in entry:
        stated = entry["closed_form"]
        try:
            of_passes = choose_masks(stated, masks, kind)
        except ValueError as error:
            raise BundleError(f"{path / 'manifest.json'}: manifest.networks[{index}].closed_form{error}") from error
        parts = {
            name: _get_file(path, files, stated[name]["file"], stated[name]["sha256"]) for name in CLOSED_FORM_PARTS
        }
        closed_form = ClosedFormFiles(**parts, dropout_masks=of_passes)
    return NetworkFile(entry["role"], content, *tensors, entry["quantization"], kind, pixels, closed_form)


def _parse_fusion(manifest_path: Path, manifest: dict[str, Any], names: list[str]) -> FusionRule | None:
    entry = manifest.get("fusion")
    if entry is None:
        if len(names) > 1:
            raise BundleError(f"{manifest_path}: manifest.fusion: expected a rule for {len(names)} networks, got none")
        return None
    if len(entry["classes"]) != len(manifest["classes"]):
        raise BundleError(
            f"{manifest_path}: manifest.fusion.classes: expected {len(manifest['classes'])} items, "
            f"got {len(entry['classes'])}"
        )
    rules = tuple((rule["network"], rule.get("log_gamma_with")) for rule in entry["classes"])
    for index, rule in enumerate(rules):
        for name in rule:
            if name is not None and name not in names:
                raise BundleError(
                    f"{manifest_path}: manifest.fusion.classes[{index}]: expected one of {', '.join(names)}, got {name}"
                )
    if entry["mode"] in names:
        raise BundleError(f"{manifest_path}: manifest.fusion.mode: expected a name of its own, got {entry['mode']}")
    return FusionRule(entry["mode"], rules)


def _get_file(path: Path, files: dict[str, bytes], name: str, expected: str) -> bytes:
    """The content of a file that the manifest names, after a check of the hash that the manifest states."""
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
        # O_NONBLOCK: opening a pipe would wait for a writer.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BundleError(f"{path}: expected a regular file")
            content = file.read(limit + 1)
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from error
    if len(content) > limit:
        raise BundleError(f"{path}: expected at most {limit} bytes, got more")
    return content
