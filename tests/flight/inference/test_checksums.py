"""What a frame's passes use is the same at their end, or there is no answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.bundle import load_bundle
from flight.inference.checksums import ArrayChecksum, UpsetError
from flight.inference.engine import Engine
from flight.inference.uncertainty import Accumulator
from flight.settings import default_settings
from tests.tiny_bundle import body_frame

FRAME = body_frame(60, 80, 25)


@given(st.integers(1, 67), st.data())
def test_every_flipped_bit_is_found(size: int, data: st.DataObject) -> None:
    array = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    checksum = ArrayChecksum([np.zeros(3), array], "an array")
    checksum.check()
    array[data.draw(st.integers(0, size - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(UpsetError, match=r"an array: expected checksum 0x\w+, got 0x"):
        checksum.check()


@pytest.mark.parametrize("sums", ["_probability", "_entropy"])
@pytest.mark.parametrize("use", [Accumulator.result, lambda sums: sums.add(np.ones((3, 4, 5), dtype=np.float32))])
def test_the_sums_are_checked_before_they_are_used(sums: str, use: Callable[[Accumulator], object]) -> None:
    accumulator = Accumulator((3, 4, 5))
    accumulator.add(np.ones((3, 4, 5), dtype=np.float32))
    # The last bit of a fraction: no range would notice.
    getattr(accumulator, sums).view(np.uint32).reshape(-1)[7] ^= 1
    with pytest.raises(UpsetError, match="sums over the passes"):
        use(accumulator)


def flip_image(engine: Engine) -> None:
    engine._networks[1]._images[0].view(np.uint8)[0, 7, 9, 1] ^= 4


def flip_column(engine: Engine) -> None:
    engine._networks[0].masks._starts[0][0] ^= 1


def flip_bank(engine: Engine) -> None:
    engine._networks[0].masks.banks[0].view(np.uint32)[2, 7] ^= 1


@pytest.mark.parametrize(
    ("flip", "what"), [(flip_image, "passes use"), (flip_column, "passes use"), (flip_bank, "dropout masks")]
)
def test_an_upset_under_way_is_found(tiny_bundle: Path, flip: Callable[[Engine], None], what: str) -> None:
    engine = Engine(load_bundle(tiny_bundle))
    settings = default_settings(engine.bundle)

    def progress(passes: int) -> None:
        if passes == 2:
            flip(engine)

    with pytest.raises(UpsetError, match=what):
        engine.segment(FRAME, bit_depth=8, centered=True, seed=1, settings=settings, progress=progress)
    engine.segment(FRAME, bit_depth=8, centered=True, seed=1, settings=settings)
