"""Splits of real images: by image, with what shows the same kept together, by body, and by copy."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from ground_tools.datasets.store import SPLITS


def split_by_image(
    bodies: Sequence[str],
    groups: Sequence[str],
    shares: tuple[float, float, float],
    seed: int,
    tested: Collection[str] = (),
    never_tested: Collection[str] = (),
) -> list[str]:
    """Give each image to train, validation or test; a group goes as a whole.

    bodies, groups: of each image. shares: of the images for the three splits. A group that would fill more than half of
    a part is not for that part, where smaller ones are at hand: so few views would show little. The parts come as near
    to their shares, in all and for each body, as the groups allow. tested, never_tested: groups that are for testing,
    and groups that are not, whatever the shares. The same seed gives the same split. Returns a split's name for each
    image.
    """
    members: dict[str, list[int]] = {}
    for image, group in enumerate(groups):
        members.setdefault(group, []).append(image)
    names = sorted(set(bodies))
    counts = np.array([[sum(bodies[i] == name for i in group) for name in names] for group in members.values()])
    # The last column is all bodies together; it weighs as much as all the others.
    counts = np.hstack([counts, counts.sum(axis=1, keepdims=True)]).astype(float)
    wanted = np.outer(shares, counts.sum(axis=0))
    weights = np.append(np.ones(len(names)), float(len(names)))
    largest = np.tile(_largest_groups(counts[:, -1], wanted[:, -1]), (len(counts), 1))
    test = SPLITS.index("test")
    for number, name in enumerate(members):
        if name in tested:
            largest[number] = np.where(np.arange(len(SPLITS)) == test, np.inf, -1.0)
        elif name in never_tested:
            largest[number, test] = -1.0
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    where = np.full(len(counts), -1)
    filled = np.zeros_like(wanted)
    for group in order:
        where[group] = _best(filled, wanted, largest[group], weights, counts[group])
        filled[where[group]] += counts[group]
    # One group at a time moves to where it fits better, until none does.
    for _ in range(10 * len(counts)):
        moved = False
        for group in order:
            filled[where[group]] -= counts[group]
            best = _best(filled, wanted, largest[group], weights, counts[group], where[group])
            moved |= best != where[group]
            where[group] = best
            filled[best] += counts[group]
        if not moved:
            break
    split_of = {name: SPLITS[where[number]] for number, name in enumerate(members)}
    return [split_of[group] for group in groups]


def _largest_groups(sizes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The largest group for each part: half of its images, when smaller groups are there to choose from."""
    limits = np.maximum(0.5 * wanted, 1.0)
    choice = np.array([sizes[sizes <= limit].sum() for limit in limits])
    limited: np.ndarray = np.where(
        (choice >= 2.0 * wanted) & (np.arange(len(wanted)) != wanted.argmax()), limits, np.inf
    )
    return limited


def _best(
    filled: np.ndarray,
    wanted: np.ndarray,
    largest: np.ndarray,
    weights: np.ndarray,
    group: np.ndarray,
    present: int | None = None,
) -> int:
    """The split in which a group leaves the least distance from the wanted counts; the present one of equals."""
    costs = []
    for split in range(len(SPLITS)):
        if group[-1] > largest[split]:
            costs.append(math.inf)
            continue
        after = filled.copy()
        after[split] += group
        costs.append(float((((after - wanted) ** 2 / np.maximum(wanted, 0.1)) * weights).sum()))
    if present is not None and costs[present] <= min(costs) + 1e-9:
        return present
    return int(np.argmin(costs))


def split_by_body(
    bodies: Sequence[str],
    groups: Sequence[str],
    train: Sequence[str],
    test: Sequence[str],
    validation_share: float,
    seed: int,
) -> list[str]:
    """Give the images of some bodies to train and validation, those of others to test.

    Raises ValueError for a body that is in neither list, and when one side is without images.
    """
    for body in sorted(set(bodies)):
        if body not in train and body not in test:
            raise ValueError(f"split_by_body: body {body}: expected it in train or in test, found it in neither")
    chosen = [image for image, body in enumerate(bodies) if body in train]
    if not chosen or len(chosen) == len(bodies):
        raise ValueError(f"split_by_body: expected images of bodies in train and in test, got {sorted(set(bodies))}")
    splits = ["test"] * len(bodies)
    shares = (1.0 - validation_share, validation_share, 0.0)
    inner = split_by_image([bodies[i] for i in chosen], [groups[i] for i in chosen], shares, seed)
    for image, split in zip(chosen, inner, strict=True):
        splits[image] = split
    return splits


def split_by_copy(
    images: int, copies: int, shares: tuple[float, float, float], drawn: int, seed: int
) -> list[list[str | None]]:
    """Give each copy of each image to a split, wherever the other copies of the image go.

    So images of the test are in training, turned or mirrored: figures of such a test tell nothing of other images.
    shares: of the copies for the three splits. drawn: so many images are used, with all their copies; 0: all. Returns
    the splits of each image's copies, None for those of images that are not drawn.
    """
    generator = np.random.default_rng(seed)
    used = np.sort(generator.permutation(images)[: drawn or images])
    order = generator.permutation(len(used) * copies)
    ends = np.rint(np.cumsum(shares) * len(order)).astype(int)
    part = np.empty(len(order), dtype=int)
    part[order] = np.searchsorted(ends, np.arange(len(order)), side="right")
    splits: list[list[str | None]] = [[None] * copies for _ in range(images)]
    for row, image in enumerate(used.tolist()):
        splits[image] = [SPLITS[number] for number in part[row * copies : (row + 1) * copies]]
    return splits
