"""One archive with all that a board needs: the packages for its processor and Python, the project, a bundle, the unit.

Made on this computer, so that the board needs neither a compiler nor the internet. The same input gives the same bytes.
"""

from __future__ import annotations

import compileall
import gzip
import hashlib
import importlib.metadata
import importlib.util
import json
import py_compile
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flight
from hil.deploy.connection import DeployError

UNIT = "rubblemap-flight.service"
OLDEST_PYTHON = (3, 11)
# Names of processors for which wheels of all dependencies are made.
MACHINES = ("aarch64", "x86_64")
_OLDEST_GLIBC = 17
_IGNORED = shutil.ignore_patterns("__pycache__", "gnc")
_LAUNCHER = """#!/bin/sh
exec "$(dirname "$(readlink -f "$0")")/python3" -m flight.cli "$@"
"""


@dataclass(frozen=True)
class Target:
    """For what packages are chosen.

    Attributes:
        machine: processor, as uname says it.
        python: version of the board's Python.
        glibc: minor version of its C library 2.x.
    """

    machine: str
    python: tuple[int, int]
    glibc: int

    @property
    def platforms(self) -> list[str]:
        """Platform tags of wheels that run there, newest first."""
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(self.glibc, _OLDEST_GLIBC - 1, -1)]
        return [*tags, f"manylinux2014_{self.machine}"]

    @property
    def pip_options(self) -> list[str]:
        """That let pip choose wheels for the target."""
        version = f"{self.python[0]}{self.python[1]}"
        options = ["--only-binary=:all:", "--implementation", "cp", "--python-version", ".".join(map(str, self.python))]
        options += [option for abi in (f"cp{version}", "abi3", "none") for option in ("--abi", abi)]
        return options + [option for tag in self.platforms for option in ("--platform", tag)]


@dataclass(frozen=True)
class Archive:
    """A finished archive: file, hash, name of the release that it makes, and size when unpacked."""

    path: Path
    sha256: str
    release: str
    unpacked: int


def choose_target(probe: dict[str, Any]) -> Target:
    """What packages a board needs.

    Args:
        probe: what the agent found.

    Raises:
        DeployError: nothing can be deployed there; says why, and what would.
    """
    system = probe["system"]
    if probe["bits"] != 64:
        raise DeployError(f"{system}: expected a 64-bit system, got {probe['bits']} bits: install its 64-bit edition")
    if probe["machine"] not in MACHINES:
        raise DeployError(f"{system}: expected a processor {' or '.join(MACHINES)}, got {probe['machine']}")
    python = (int(probe["python"][0]), int(probe["python"][1]))
    if python < OLDEST_PYTHON:
        raise DeployError(f"{system}: expected Python 3.11 or newer, got {python[0]}.{python[1]}: update the system")
    found = re.fullmatch(r"glibc 2\.(\d+).*", probe["libc"])
    if found is None:
        raise DeployError(f"{system}: expected the GNU C library, got {probe['libc'] or 'another one'}")
    if not probe["systemd"]:
        raise DeployError(f"{system}: expected systemd, got another init")
    return Target(probe["machine"], python, int(found[1]))


def requirements() -> list[str]:
    """The dependencies of what flies, as the installed package states them."""
    stated = importlib.metadata.requires("rubblemap") or []
    return [requirement for requirement in stated if "extra ==" not in requirement]


def packages_key(target: Target, wanted: Sequence[str]) -> str:
    """Names the packages of a target in the cache."""
    return hashlib.sha256(json.dumps([*wanted, *target.pip_options]).encode("utf-8")).hexdigest()[:12]


def make_archive(target: Target, bundle: Path, cache: Path, tell: Callable[[str], None]) -> Archive:
    """Make the archive; parts that are cached are not made again.

    Args:
        target: for which packages are chosen.
        bundle: folder of the model bundle.
        cache: folder for wheels and archives.
        tell: is given what is under way.

    Returns:
        The archive.

    Raises:
        DeployError: packages cannot be had; or the bundle is none.
    """
    if not (bundle / "manifest.json").is_file():
        raise DeployError(f"{bundle}: expected a bundle, got a folder without manifest.json")
    base = cache / "deploy"
    work = base / "tree"
    shutil.rmtree(work, ignore_errors=True)
    packages = _install_packages(target, base, tell)
    tell("archive")
    site = work / "lib" / f"python{target.python[0]}.{target.python[1]}" / "site-packages"
    shutil.copytree(packages, site, symlinks=True)
    shutil.copytree(Path(flight.__file__).parent, site / "flight", ignore=_IGNORED)
    shutil.copytree(bundle, work / "bundle")
    (work / "etc").mkdir()
    shutil.copy(site / "flight" / "systemd" / UNIT, work / "etc" / UNIT)
    (work / "bin").mkdir()
    (work / "bin" / "flight").write_text(_LAUNCHER, encoding="utf-8")
    (work / "bin" / "flight").chmod(0o755)
    compiled = target.python == sys.version_info[:2]
    if compiled:
        _compile(site / "flight")
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    facts = {
        "version": flight.__version__,
        "python": list(target.python),
        "machine": target.machine,
        "bundle": f"{manifest.get('name')} {manifest.get('version')}",
        "packages": _versions(packages),
        "compiled": compiled,
    }
    (work / "release.json").write_text(json.dumps(facts, sort_keys=True), encoding="utf-8")
    archive = _pack(work, base)
    shutil.rmtree(work)
    return archive


def _install_packages(target: Target, base: Path, tell: Callable[[str], None]) -> Path:
    """A folder with the dependencies for the target, as they lie in site-packages; from the cache if it is there."""
    wanted = requirements()
    key = packages_key(target, wanted)
    folder, wheels = base / f"packages-{key}", base / f"wheels-{key}"
    if folder.is_dir():
        return folder
    wheels.mkdir(parents=True, exist_ok=True)
    tell("wheels")
    _pip("download", "--dest", str(wheels), *target.pip_options, *wanted)
    tell("unpacking wheels")
    draft = base / f".packages-{key}.part"
    shutil.rmtree(draft, ignore_errors=True)
    files = sorted(str(path) for path in wheels.glob("*.whl"))
    _pip("install", "--no-compile", "--no-deps", "--no-index", "--target", str(draft), *target.pip_options, *files)
    hashes = {Path(path).name: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in files}
    (draft / "rubblemap_wheels.json").write_text(json.dumps(hashes, indent=1, sort_keys=True), encoding="utf-8")
    shutil.rmtree(draft / "bin", ignore_errors=True)
    if target.python == sys.version_info[:2]:
        _compile(draft)
    draft.replace(folder)
    return folder


def _pip(*arguments: str) -> None:
    if importlib.util.find_spec("pip") is None:
        raise DeployError(f"{sys.executable}: expected pip, got none: python3 -m ensurepip")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise DeployError(f"pip {arguments[0]}: {said[-1] if said else f'exit code {done.returncode}'}")


def _compile(folder: Path) -> None:
    """Compile modules here, as the board is slower; they hold whatever the files' times are there."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(folder, quiet=2, invalidation_mode=mode, stripdir=str(folder.parent))


def _versions(packages: Path) -> dict[str, str]:
    found = (re.match(r"(.+)-([^-]+)\.dist-info$", path.name) for path in sorted(packages.glob("*.dist-info")))
    return {match[1]: match[2] for match in found if match}


def _pack(tree: Path, base: Path) -> Archive:
    """Pack a folder. Names, modes and contents alone decide the bytes."""
    draft = base / ".archive.part"
    unpacked = 0
    with (
        draft.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=3, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(tree.rglob("*")):
            tar.add(path, str(path.relative_to(tree)), recursive=False, filter=_anonymous)
            # Whole blocks, as a file system counts them.
            unpacked += 4096 + (path.stat().st_size if path.is_file() else 0)
    digest = hashlib.sha256()
    with draft.open("rb") as written:
        while data := written.read(1 << 20):
            digest.update(data)
    sha256 = digest.hexdigest()
    path = base / f"{sha256}.tar.gz"
    for other in base.glob("*.tar.gz"):
        other.unlink()
    draft.replace(path)
    return Archive(path, sha256, f"{flight.__version__}-{sha256[:8]}", unpacked)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def read_keys(folder: Path) -> dict[str, str]:
    """The key files of a service, by their names below the folder.

    Raises:
        DeployError: the folder holds no service's keys.
    """
    if not (folder / "service.key_secret").is_file():
        raise DeployError(f"--keys: expected a folder made by `flight keys service`, got {str(folder)!r}")
    paths: Sequence[Path] = [*folder.glob("service.key*"), *folder.glob("*/*.key")]
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in sorted(paths)}
