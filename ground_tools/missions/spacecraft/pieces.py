"""The pieces of our own craft as triangles."""

from __future__ import annotations

import numpy as np

from ground_tools.missions.spacecraft.craft import PARTS, CraftModel, CraftRecipe, Piece

_SIDES, _RINGS, _DISH_SIDES = 32, 12, 40
_PANEL_GAP, _YOKE = 0.06, 0.3
# A dish's shell, in its diameters; the legs of its feed and their foot, in the same.
_SHELL, _LEG, _LEG_FOOT = 0.012, 0.018, 0.38
# Of a wing's panel behind its cells.
_BACK = "substrate"

# Vertices and faces.
Triangles = tuple[np.ndarray, np.ndarray]


def build_craft(recipe: CraftRecipe, generator: np.random.Generator) -> CraftModel:
    """A craft of our own, its wings and dishes turned as the generator draws.

    Args:
        recipe: what it is made of.
        generator: of the angles. All wings turn by one angle, as they follow one sun.
    """
    turn = generator.uniform(-1.0, 1.0)
    finishes: list[str] = []
    vertices: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    parts: list[np.ndarray] = []
    slots: list[np.ndarray] = []
    first = 0
    for piece in recipe.pieces:
        built = _build_piece(piece, turn, generator)
        for copy in range(piece.copies):
            around = _turn_about(np.array([0.0, 0.0, 1.0]), 2.0 * np.pi * copy / piece.copies)
            for part, finish, (corners, triangles) in built:
                if finish not in finishes:
                    finishes.append(finish)
                vertices.append(corners @ around.T)
                faces.append(triangles + first)
                first += len(corners)
                parts.append(np.full(len(triangles), PARTS.index(part), dtype=np.uint8))
                slots.append(np.full(len(triangles), finishes.index(finish), dtype=np.int32))
    return CraftModel(
        np.concatenate(vertices),
        np.concatenate(faces).astype(np.int32),
        np.concatenate(parts),
        np.concatenate(slots),
        tuple(finishes),
    )


def _build_piece(piece: Piece, turn: float, generator: np.random.Generator) -> list[tuple[str, str, Triangles]]:
    """Part, finish and triangles of what a piece consists of, in the craft's frame."""
    at = np.array(piece.at, dtype=np.float64)
    if piece.kind == "box":
        assert piece.size is not None
        return [(piece.part, piece.finish, _moved(_box(*piece.size), at))]
    if piece.kind == "ball":
        assert piece.diameter is not None
        return [(piece.part, piece.finish, _moved(_ball(piece.diameter), at))]
    assert piece.axis is not None
    axis = np.array(piece.axis, dtype=np.float64)
    axis /= np.linalg.norm(axis)
    if piece.kind == "wing":
        return _wing(piece, at, axis, turn * np.radians(piece.swing_deg))
    assert piece.diameter is not None
    assert piece.length is not None
    if piece.kind == "cylinder":
        top = piece.diameter if piece.top is None else piece.top
        shape = _turned(
            [(0.0, 0.0), (piece.diameter / 2, 0.0), (top / 2, piece.length), (0.0, piece.length)], piece.sides or _SIDES
        )
        return [(piece.part, piece.finish, _moved(shape, at, _frame(axis)))]
    tilt, direction = np.radians(piece.swing_deg) * generator.random(), generator.uniform(0.0, 2.0 * np.pi)
    frame = _frame(axis)
    across = np.cos(direction) * frame[:, 0] + np.sin(direction) * frame[:, 1]
    shapes = _dish(piece.diameter, piece.length, piece.feed is not False)
    return [
        (piece.part, finish or piece.finish, _moved(shape, at, _turn_about(across, tilt) @ frame))
        for finish, shape in shapes
    ]


def _moved(shape: Triangles, at: np.ndarray, rotation: np.ndarray | None = None) -> Triangles:
    corners, faces = shape
    return (corners if rotation is None else corners @ rotation.T) + at, faces


def _frame(axis: np.ndarray) -> np.ndarray:
    """A rotation that brings z to an axis, (3, 3): x as near to the craft's z or x as can be."""
    other = np.array([0.0, 0.0, 1.0]) if abs(axis[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    x = other - axis * (other @ axis)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(axis, x), axis], axis=1)


def _turn_about(axis: np.ndarray, angle: float) -> np.ndarray:
    """The rotation about an axis, (3, 3), by Rodrigues' formula; radians."""
    cross = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    turned: np.ndarray = np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross
    return turned


def _box(length: float, width: float, height: float) -> Triangles:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * [length, width, height] / 2.0
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    return corners, _triangles(quads)


def _triangles(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _turned(profile: list[tuple[float, float]], sides: int) -> Triangles:
    """A profile of radius and height turned about z; metres."""
    angles = 2.0 * np.pi * np.arange(sides) / sides
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rings = [np.column_stack([circle * radius, np.full(sides, height)]) for radius, height in profile]
    here, there = np.arange(sides), (np.arange(sides) + 1) % sides
    quads = [
        np.stack([here + ring, there + ring, there + ring + sides, here + ring + sides], axis=1)
        for ring in range(0, sides * (len(profile) - 1), sides)
    ]
    return np.concatenate(rings), _triangles(np.concatenate(quads))


def _ball(diameter: float) -> Triangles:
    angles = np.linspace(-np.pi / 2, np.pi / 2, _RINGS + 1)
    return _turned([(diameter / 2 * np.cos(a), diameter / 2 * np.sin(a)) for a in angles.tolist()], _SIDES)


def _dish(diameter: float, depth: float, feed: bool) -> list[tuple[str | None, Triangles]]:
    """A paraboloid's shell that opens along z, and a feed on three legs. A finish, or None: the piece's."""
    radii = np.linspace(0.0, diameter / 2, _RINGS + 1)
    curve = [(float(r), float(depth * (2 * r / diameter) ** 2)) for r in radii]
    shell = _SHELL * diameter
    back = [(r, height - shell) for r, height in reversed(curve)]
    shapes: list[tuple[str | None, Triangles]] = [(None, _turned([*curve, *back], _DISH_SIDES))]
    if not feed:
        return shapes
    # Of a paraboloid: focal length = diameter ** 2 / (16 depth).
    focus = np.array([0.0, 0.0, min(diameter**2 / (16.0 * depth), 0.9 * diameter)])
    horn = _turned([(0.0, 0.0), (0.05 * diameter, 0.0), (0.03 * diameter, 0.1 * diameter), (0.0, 0.1 * diameter)], 16)
    shapes.append(("metal", _moved(horn, focus)))
    for angle in 2.0 * np.pi * np.arange(3) / 3:
        foot = np.array([np.cos(angle), np.sin(angle), 0.0]) * _LEG_FOOT * diameter
        foot[2] = depth * (2.0 * _LEG_FOOT) ** 2
        reach = focus - foot
        length = float(np.linalg.norm(reach))
        radius = _LEG * diameter / 2
        leg = _turned([(radius, 0.0), (radius, length)], 8)
        shapes.append(("metal", _moved(leg, foot, _frame(reach / length))))
    return shapes


def _wing(piece: Piece, at: np.ndarray, axis: np.ndarray, turn: float) -> list[tuple[str, str, Triangles]]:
    """Panels one after the other along an axis, their cells to one side, behind a yoke that is of the body."""
    assert piece.size is not None
    assert piece.panels is not None
    along, across, through = piece.size
    yoke = _YOKE if piece.yoke is None else piece.yoke
    frame = _turn_about(axis, turn) @ _frame(axis)
    pieces: list[tuple[str, str, Triangles]] = []
    if yoke > 0.0:
        shape = _box(1.5 * through, 1.5 * through, yoke)
        pieces.append(("body", "metal", _moved(_moved(shape, np.array([0.0, 0.0, yoke / 2])), at, frame)))
    for number in range(piece.panels):
        middle = yoke + along / 2 + number * (along + _PANEL_GAP)
        panel = _moved(_box(through, across, along), np.array([0.0, 0.0, middle]))
        # The cells are a sheet in front of the panel, so that its back and its edges are of another finish.
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [across / 2, along / 2]
        sheet = np.column_stack([np.full(4, through / 2 + 0.002), corners]) + np.array([0.0, 0.0, middle])
        cells = (sheet, np.array([[0, 1, 2], [0, 2, 3]]))
        pieces.append((piece.part, _BACK, _moved(panel, at, frame)))
        pieces.append((piece.part, piece.finish, _moved(cells, at, frame)))
    return pieces
