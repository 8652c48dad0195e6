"""The wheel: what is in it, and that its programs run from an environment with the declared dependencies alone."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGES = ("flight", "ground_tools", "hil")
# Files that are for the source tree alone: C++, and what their folders' own rules leave out.
SOURCE_ONLY = (".cpp", ".h", ".hpp", ".c", ".py", ".md")

pytestmark = pytest.mark.slow


def tracked(*patterns: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what is tracked, so that nothing else of the checkout gets in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    for name in tracked("pyproject.toml", "README.md", "LICENSE", "flight", "ground_tools", "hil", "models"):
        if not (ROOT / name).exists():
            continue  # removed, and not yet committed
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(out)]
    done = subprocess.run([*build, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment of the wheel and of what it requires, taken from the tests' own."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True)
    packages = folder / "required"
    packages.mkdir()
    for top in sorted(required_folders()):
        (packages / top.name).symlink_to(top)
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "required.pth").write_text(f"{packages}\n", encoding="utf-8")
    return folder / "bin"


def required_folders() -> set[Path]:
    """What lies in site-packages of the distributions that the project requires without extras."""
    waiting, seen, folders = ["rubblemap"], set(), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
        if name != "rubblemap":
            for file in distribution.files or ():
                if file.parts[0] not in ("..", "__pycache__"):
                    folders.add(Path(str(distribution.locate_file(file.parts[0]))))
    return folders


def test_one_wheel_is_for_every_processor(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith((".so", ".pyd", ".dylib"))]


def test_the_wheel_has_every_module_and_what_they_read(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    expected = {name for name in tracked(*(f"{package}/*.py" for package in PACKAGES)) if (ROOT / name).exists()}
    expected = {name for name in expected if "gnc" not in Path(name).parts}
    assert not expected - inside
    bundle = {f"hil/bundle/{Path(name).name}" for name in tracked("models/unet_h") if not name.endswith(SOURCE_ONLY)}
    assert len([name for name in bundle if name.endswith(".tflite")]) >= 2
    assert not bundle - inside
    data = tracked("flight/*.json", "flight/*.service", "ground_tools/*.toml", "ground_tools/*.j2", "hil/*.toml")
    data += tracked("hil/console/page", "hil/flyby/*.png", "hil/flyby/*.json", "hil/report/*.html")
    missing = {name for name in data if (ROOT / name).exists()} - inside
    assert not missing
    assert {f"{package}/py.typed" for package in PACKAGES} <= inside
    tops = {name.partition("/")[0] for name in inside}
    assert tops - {name for name in tops if name.endswith(".dist-info")} == set(PACKAGES)


def run(programs: Path, *arguments: str) -> str:
    program, *rest = arguments
    done = subprocess.run(
        [programs / program, *rest], capture_output=True, text=True, check=False, cwd=programs.parent, env={}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("program", ["flight", "hil", "ground-tools"])
def test_its_programs_run_without_extras(programs: Path, program: str) -> None:
    assert "examples:" in run(programs, program, "--help")


def test_its_bundle_passes_the_check(programs: Path) -> None:
    where = run(programs, "python", "-c", "import hil; print(next(iter(hil.__path__)))").strip()
    assert Path(where).is_relative_to(programs.parent)
    assert "manifest and file hashes are right" in run(programs, "flight", "check", "--bundle", f"{where}/bundle")
