"""The rule for uncertain pixels in the running service: what products say of it, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flight.client import CommandFailed
from flight.icd.products import Product
from flight.inference.hazard import find_dark
from flight.recomputation import Recomputer, product_digest
from tests.flight.service.scenarios import journaled_service, storage
from tests.flight.service_process import RunningService, running_service
from tests.tiny_bundle import body_frame, promise_risks

FRAME = body_frame(32, 48, 14)


@pytest.fixture(scope="module")
def promising(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("promising") / "tiny"
    return promise_risks(shutil.copytree(tiny_bundle, folder), {"Fused": [(0.01, 0.6), (0.03, 0.9)], "First": []})


@pytest.fixture(scope="module")
def service(promising: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("service")
    with running_service(folder, promising, storage(folder)) as running:
        yield running


def answer(service: RunningService, source: str, topic: str = "map.hazard") -> Product:
    with service.subscriber(topic) as products, service.camera(source=source) as camera:
        camera.send(FRAME, centered=True)
        return products.receive(10)


def rule_of(product: Product) -> dict[str, object]:
    names = ("uncertain_rule", "risk", "risk_threshold", "uncertainty_threshold")
    return {name: product.header[name] for name in names if name in product.header}


def test_a_product_tells_its_rule_and_its_maps_follow_it(service: RunningService, promising: Path) -> None:
    assert service.command("get_parameters")["risk"] == 0.02
    by_risk = answer(service, "risk")
    told = {"uncertain_rule": "risk", "risk": 0.01, "risk_threshold": 0.6, "uncertainty_threshold": 1.0}
    assert rule_of(by_risk) == told
    enhanced = by_risk.planes["enhanced_class_map"]
    dark = find_dark(FRAME.astype(np.float32) / np.float32(255.0))
    certain = enhanced < 4
    assert not (dark & certain & (enhanced != 0)).any()
    # What was compared had not been rounded to binary16 yet.
    assert (by_risk.planes["predictive_entropy"][certain] <= 0.6 * (1 + 2**-10)).all()
    service.command("set_parameter", name="risk", value=0.05)
    more = answer(service, "more")
    assert rule_of(more) == {**told, "risk": 0.03, "risk_threshold": 0.9}
    assert (more.planes["enhanced_class_map"] == 4).sum() < (enhanced == 4).sum()
    service.command("set_parameter", name="uncertain_rule", value="relative")
    relative = answer(service, "relative")
    assert rule_of(relative) == {"uncertain_rule": "relative", "uncertainty_threshold": 0.8}
    service.command("set_parameters", values={"uncertain_rule": "risk", "risk": 0.02, "mode": "First"})
    assert rule_of(answer(service, "first"))["uncertain_rule"] == "relative"
    service.command("set_mode", mode="Fused")
    parameters = service.command("get_parameters")
    again = Recomputer(promising)
    for product in (by_risk, more, relative):
        assert again.digest(FRAME, 8, True, product.header, parameters) == product_digest(product)
    # Recordings of before there was a choice.
    former = {name: value for name, value in parameters.items() if name not in ("uncertain_rule", "risk")}
    assert again.digest(FRAME, 8, True, relative.header, former) == product_digest(relative)
    again.close()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"risk": 0.005}, "risk: expected 0.01 or more, the least that bundle tiny promises in mode Fused, got 0.005"),
        ({"risk": 0.005, "mode": "Fused"}, "the least that bundle tiny promises in mode Fused, got 0.005"),
        ({"risk": 0}, "risk: expected 0.0001..1, got 0"),
        ({"uncertain_rule": "none"}, "uncertain_rule: expected risk | relative, got 'none'"),
    ],
)
def test_a_risk_that_is_not_promised_is_refused(service: RunningService, values: dict, message: str) -> None:
    before = service.command("get_parameters")
    with pytest.raises(CommandFailed) as caught:
        service.command("set_parameters", values=values)
    assert caught.value.code == "invalid_argument"
    assert message in str(caught.value)
    assert service.command("get_parameters") == before


def test_where_nothing_is_promised_or_asked_for_any_risk_is_taken(service: RunningService) -> None:
    for values in ({"risk": 0.005, "mode": "First"}, {"risk": 0.005, "uncertain_rule": "relative", "mode": "Fused"}):
        assert service.command("set_parameters", values=values) == values
    service.command("set_parameters", values={"risk": 0.02, "uncertain_rule": "risk"})


def test_a_configured_risk_that_is_not_promised_is_told_and_the_least_counts(promising: Path, tmp_path: Path) -> None:
    settings = storage(tmp_path) + "[parameters]\nrisk = 0.005\n"
    with journaled_service(tmp_path, promising, settings) as (service, journal):
        assert "risk: expected 0.01 or more" in journal.wait_for("record_not_applicable")
        assert rule_of(answer(service, "cam"))["risk"] == 0.01
