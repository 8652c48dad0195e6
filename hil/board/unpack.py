"""What `dpkg --unpack` does, for another architecture and without root: no maintainer script is run.

Packages are recorded as unpacked; the first boot configures them. Owners and special modes that only root may set are
listed in a file, for the first boot too.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from hil.board import recipe

_LEFT_OUT = ("./usr/share/locale/*", "./usr/share/doc/*/*.gz", "./usr/share/man/*", "./usr/share/info/*")


def unpack_packages(root: Path, packages: Sequence[Path], tell: Callable[[int], None]) -> None:
    """Unpack packages into a folder and record them.

    Args:
        root: an empty folder.
        packages: .deb files.
        tell: called with the number of packages unpacked so far.

    Raises:
        subprocess.CalledProcessError: a package is damaged.
    """
    for name in ("bin", "sbin", "lib"):
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    database = root / "var/lib/dpkg"
    for name in ("info", "updates", "alternatives", "triggers", "parts"):
        (database / name).mkdir(parents=True, exist_ok=True)
    (database / "info/format").write_text("1\n", encoding="ascii")
    entries: list[str] = []
    owners: list[str] = []
    for number, package in enumerate(packages, 1):
        entries.append(_unpack(root, package, database / "info", owners))
        tell(number)
    (database / "status").write_text("\n".join(entries), encoding="utf-8")
    (database / "arch").write_text(f"{recipe.ARCHITECTURE}\n", encoding="ascii")
    for name in ("available", "diversions", "statoverride"):
        (database / name).touch()
    (root / recipe.OWNERS.lstrip("/")).write_text("".join(owners), encoding="utf-8")


def _unpack(root: Path, package: Path, info: Path, owners: list[str]) -> str:
    """Unpack one package; returns its entry for dpkg's status."""
    control = _run("dpkg-deb", "-f", package).decode("utf-8")
    fields = dict(line.split(": ", 1) for line in control.splitlines() if ": " in line and line[0] != " ")
    name = fields["Package"] + (f":{fields['Architecture']}" if fields.get("Multi-Arch") == "same" else "")
    archive = _run("dpkg-deb", "--fsys-tarfile", package)
    listed = ["/."]
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            path = "/" + member.name.removeprefix("./").strip("/")
            if path not in ("/", "/."):
                listed.append(path)
            if (member.uid or member.gid or member.mode & 0o7000) and not member.issym():
                owners.append(f"{member.uid}:{member.gid} {member.mode:o} {path}\n")
    subprocess.run(
        ["tar", "-xpf", "-", "-C", str(root), "--keep-directory-symlink", "--no-same-owner"]
        + [f"--exclude={pattern}" for pattern in _LEFT_OUT],
        input=archive,
        check=True,
        capture_output=True,
    )
    (info / f"{name}.list").write_text("\n".join(listed) + "\n", encoding="utf-8")
    return _record(package, control, name, info)


def _record(package: Path, control: str, name: str, info: Path) -> str:
    """Keep a package's maintainer scripts; returns its entry for dpkg's status."""
    work = info / "unpacking"
    _run("dpkg-deb", "-e", package, work)
    conffiles = []
    for path in sorted(work.iterdir()):
        if path.name == "conffiles":
            lines = path.read_text(encoding="utf-8").splitlines()
            conffiles = [
                line.split()[-1] for line in lines if line.strip() and not line.startswith("remove-on-upgrade")
            ]
        if path.name != "control":
            shutil.copy(path, info / f"{name}.{path.name}")
    shutil.rmtree(work)
    lines = control.rstrip("\n").split("\n")
    lines.insert(1, "Status: install ok unpacked")
    if conffiles:
        lines += ["Conffiles:", *(f" {path} newconffile" for path in conffiles)]
    return "\n".join(lines) + "\n"


def _run(*command: str | Path) -> bytes:
    return subprocess.run(list(command), check=True, capture_output=True).stdout
