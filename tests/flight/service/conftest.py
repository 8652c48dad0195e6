"""Fixtures of the service's tests."""

from __future__ import annotations

import pytest

from tests.flight.service.peers import Keys, make_keys


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))
