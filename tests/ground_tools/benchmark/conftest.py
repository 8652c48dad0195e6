"""Images for the small bundle of closed_form_bundle."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from tests.tiny_bundle import body_frame


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), body_frame(64, 96, 20.0 + number, number))
    return folder
