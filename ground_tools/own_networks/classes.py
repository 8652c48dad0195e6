"""The classes of a network, from a file as people have one, with colours and roles."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ground_tools.labels.classes import CLASS_NAMES, CLASS_ROLES, COLORS

ROLES = ("background", "safe", "hazard", "terminator")
# Words in a class's name that tell what it means; a class that none of them is in counts as a hazard.
_WORDS = {
    "background": ("background", "sky", "space", "void", "unlabeled", "unlabelled", "other"),
    "terminator": ("terminator", "shadow", "night", "dark"),
    "hazard": ("crater", "boulder", "rock", "stone", "hazard", "obstacle", "slope", "cliff"),
    "safe": ("surface", "ground", "regolith", "smooth", "safe", "plain", "flat", "soil", "sand"),
}
# Paul Tol's bright scheme, for classes without a colour of their own.
_PALETTE = ((68, 119, 170), (204, 187, 68), (238, 102, 119), (34, 136, 51), (102, 204, 238), (170, 51, 119))
_COLOR = re.compile(r"#([0-9a-fA-F]{6})")
_RGB = re.compile(r"(\d{1,3})[ ,]+(\d{1,3})[ ,]+(\d{1,3})")


@dataclass(frozen=True)
class NamedClass:
    """One class. role_known: whether the file states the role, or only the name suggests it, or nothing does."""

    name: str
    color: tuple[int, int, int]
    role: str
    role_known: bool

    def entry(self, index: int) -> dict[str, Any]:
        """As a manifest has it."""
        return {"index": index, "name": self.name, "color": list(self.color), "role": self.role}


def default_classes(count: int) -> list[NamedClass]:
    """Classes without names: the first one background, the others hazards."""
    return [_make_class("background" if index == 0 else f"class_{index}", index, None, None) for index in range(count)]


def read_classes(path: Path) -> list[NamedClass]:
    """Read classes, in the order of the network's channels.

    Args:
        path: JSON (a list of names or of objects with name, role, color; or an object with `classes`, as a manifest),
            or text with a class a line: `name`, `name role`, `name role #rrggbb`, separated by blanks, commas, tabs or
            colons; an index in front is checked. Lines that begin with # are comments.

    Raises:
        ValueError: names the file and the line.
    """
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip()[:1] in ("[", "{"):
        return _read_json(path, text)
    found: list[NamedClass] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found.append(_read_line(line, len(found), f"{path}: line {number}"))
    return _check_names(path, found)


def _read_json(path: Path, text: str) -> list[NamedClass]:
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: no JSON ({error})") from error
    if isinstance(entries, dict):
        entries = entries.get("classes", entries)
    if isinstance(entries, dict):  # index -> name
        entries = [entries[key] for key in sorted(entries, key=lambda key: (len(key), key))]
    found = []
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        fields = {"name": entry} if isinstance(entry, str) else entry
        if not isinstance(fields, dict) or not isinstance(fields.get("name"), str):
            raise ValueError(f"{path}: classes[{index}]: expected a name, or an object with one, got {entry!r}")
        color = fields.get("color")
        parsed = _parse_color(" ".join(map(str, color)) if isinstance(color, list) else str(color or ""))
        found.append(_make_class(fields["name"], index, fields.get("role"), parsed, f"{path}: classes[{index}]"))
    return _check_names(path, found)


def _read_line(line: str, index: int, place: str) -> NamedClass:
    color = _parse_color(line)
    words = [word for word in re.split(r"[\s,;:]+", _RGB.sub(" ", _COLOR.sub(" ", line)).strip()) if word]
    if len(words) > 1 and words[0].isdigit():
        if int(words[0]) != index:
            raise ValueError(f"{place}: expected class {index}, got {words[0]}: a class a line, in the channels' order")
        words = words[1:]
    role = words.pop() if len(words) > 1 and words[-1] in ROLES else None
    return _make_class(" ".join(words), index, role, color, place)


def _parse_color(text: str) -> tuple[int, int, int] | None:
    match = _COLOR.search(text)
    if match:
        red, green, blue = bytes.fromhex(match[1])
        return red, green, blue
    match = _RGB.search(text)
    if match and all(int(part) < 256 for part in match.groups()):
        return int(match[1]), int(match[2]), int(match[3])
    return None


def _make_class(
    name: str, index: int, role: str | None, color: tuple[int, int, int] | None, place: str = "classes"
) -> NamedClass:
    if role is not None and role not in ROLES:
        raise ValueError(f"{place}: role: expected {' | '.join(ROLES)}, got {role}")
    if color is None:
        color = COLORS[name] if name in COLORS else (0, 0, 0) if index == 0 else _PALETTE[(index - 1) % len(_PALETTE)]
    if role is not None:
        return NamedClass(name, color, role, True)
    if name in CLASS_NAMES:
        return NamedClass(name, color, CLASS_ROLES[name], True)
    words = name.lower()
    guessed = next((role for role, signs in _WORDS.items() if any(sign in words for sign in signs)), "hazard")
    return NamedClass(name, color, guessed, False)


def _check_names(path: Path, found: list[NamedClass]) -> list[NamedClass]:
    names = [one.name for one in found]
    if not 2 <= len(found) <= 64 or len(set(names)) < len(names):
        raise ValueError(f"{path}: expected 2..64 classes of different names, got {', '.join(names) or 'none'}")
    for name in names:
        if not 1 <= len(name.encode()) <= 32:
            raise ValueError(f"{path}: expected names of 1..32 bytes, got {name!r}")
    return found
