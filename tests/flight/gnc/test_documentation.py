"""docs/gnc.md: its programs run as they stand, and its table of flags says what the consumers do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from flight.client.hazard import LandingCircles, landing_circles
from flight.client.map_view import Refusal
from flight.client.navigation import NavigationFix, navigation_fix
from flight.icd.catalogue import FLAGS
from flight.icd.products import Product, decode_product
from tests.flight.gnc.building import ROOT, run
from tests.flight.service_process import running_service
from tests.golden.vectors import GOLDEN, read_vector
from tests.tiny_bundle import body_frame

PAGE = (ROOT / "docs" / "gnc.md").read_text(encoding="utf-8")


def listing(language: str) -> str:
    """The program in that language of the section on subscribing."""
    section = PAGE.split("## Subscribing, in twenty lines")[1].split("\n## ")[0]
    (found,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert isinstance(found, str)
    return found


@pytest.fixture(scope="module")
def programs(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The command of each language's program, compiled where that is needed."""
    folder = tmp_path_factory.mktemp("listings")
    (description,) = prefix.rglob("rubblemap_gnc.pc")
    environment = {**os.environ, "PKG_CONFIG_PATH": str(description.parent)}
    flags = run("pkg-config", "--cflags", "--libs", "rubblemap_gnc", environment=environment).stdout.split()
    for language, compiler, standard in (("c", "gcc", "c99"), ("cpp", "g++", "c++17")):
        source = folder / f"watch.{language}"
        source.write_text(listing(language), encoding="utf-8")
        run(compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror", source, *flags, "-o", folder / language)
    script = folder / "watch.py"
    script.write_text(listing("python"), encoding="utf-8")
    return {"c": [str(folder / "c")], "cpp": [str(folder / "cpp")], "python": [sys.executable, str(script)]}


def test_every_listing_prints_the_safest_pixel(
    programs: dict[str, list[str]], tiny_bundle: Path, tmp_path: Path
) -> None:
    with (
        running_service(tmp_path, tiny_bundle, "[parameters]\npasses = 1\n") as service,
        service.camera() as camera,
        service.subscriber("map.hazard") as products,
    ):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        running = {
            language: subprocess.Popen(
                [*command, service.endpoints["products"]], stdout=subprocess.PIPE, text=True, env=environment
            )
            for language, command in programs.items()
        }
        lines = dict.fromkeys(programs, "")
        readers = [Thread(target=read_line, args=(running[language], lines, language)) for language in programs]
        for reader in readers:
            reader.start()
        expected = set()
        try:
            for number in range(500):  # until every program's subscription has arrived
                camera.send(body_frame(40, 60, 12, seed=number), centered=True)
                product = products.receive(20)
                assert product is not None
                expected.add(safest(product))
                if not any(reader.is_alive() for reader in readers):
                    break
        finally:
            for process in running.values():
                process.kill()
                process.wait()
            for reader in readers:
                reader.join()
    for language, line in lines.items():
        x, y = (float(word) for word in line.split())
        assert f"{x:.1f} {y:.1f}" in expected, language


def read_line(process: subprocess.Popen[str], lines: dict[str, str], language: str) -> None:
    assert process.stdout is not None
    lines[language] = process.stdout.readline()


def safest(product: Product) -> str:
    clearance = product.planes["clearance"]
    v, u = divmod(int(clearance.argmax()), clearance.shape[1])
    a, b, c, d, e, f = product.header["map_to_sensor"]
    return f"{a * u + b * v + c:.1f} {d * u + e * v + f:.1f}"


def with_flag(topic: str, flag: str, status: str) -> Product:
    product = decode_product(read_vector(GOLDEN / f"{topic.replace('.', '_')}.bin"))
    planes = {} if status == "invalid" else product.planes
    return Product({**product.header, "flags": [flag], "status": status}, planes)


def doing(answer: NavigationFix | LandingCircles | Refusal, flag: str) -> str:
    if isinstance(answer, Refusal):
        return "refuses"
    assert flag in answer.warnings or "unknown_flag" in answer.warnings
    return "warns"


def test_the_table_of_flags_says_what_the_consumers_do() -> None:
    section = PAGE.split("## Flags, and what to do on each")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (\w+) \| (\w+) \|", section, re.MULTILINE)
    expected = [
        (
            name,
            flag.status,
            doing(navigation_fix(with_flag("map.navigation", name, flag.status)), name),
            doing(landing_circles(with_flag("map.hazard", name, flag.status), 1.0, 1), name),
        )
        for name, flag in FLAGS.items()
    ]
    assert rows == expected
