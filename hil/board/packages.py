"""Debian's packages for another architecture, fetched by this computer's apt with a state of its own.

Nothing of the computer's own package state is read but its sources, its keyring and its configuration (a proxy, say);
nothing of it is written, and no root is needed.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hil.board import recipe
from hil.board.folders import BoardError
from hil.board.progress import Progress, run_step

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/etc/apt/trusted.gpg.d/debian-archive-keyring.gpg"),
)
_EXAMPLE_SOURCES = Path("/usr/share/doc/apt/examples/sources.list")


def find_mirror() -> str:
    """The Debian mirror of this computer's own apt sources, else that of apt's own example of them.

    Raises:
        BoardError: neither names one.
    """
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    for line in listed.splitlines():
        mirror, _, rest = line.partition(" ")
        if rest == "Debian Debian":
            return mirror
    if _EXAMPLE_SOURCES.is_file():
        example = _EXAMPLE_SOURCES.read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^#?\s*deb(?:-src)?\s+(?:\[[^]]*\]\s*)?(\S+/debian/?)\s", example, re.MULTILINE)
        if found:
            return found[1]
    raise BoardError("--mirror: expected a Debian mirror in this computer's apt sources, got none; name one")


class Apt:
    """apt-get for the board's architecture, with lists, cache and status of its own.

    Args:
        folder: of its state; kept, so that what was fetched is not fetched again.
        mirror: a Debian mirror.

    Raises:
        BoardError: this computer has no keyring of Debian's archive.
    """

    def __init__(self, folder: Path, mirror: str) -> None:
        keyring = next((path for path in KEYRINGS if path.is_file()), None)
        if keyring is None:
            raise BoardError(
                f"{KEYRINGS[0]}: expected the keys of Debian's archive, got none: install debian-archive-keyring"
            )
        self.archives = folder / "cache" / "archives"
        self._configuration = folder / "apt.conf"
        for needed in (folder / "lists" / "partial", self.archives / "partial", folder / "etc"):
            needed.mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        sources = folder / "sources.list"
        sources.write_text(f"deb [signed-by={keyring}] {mirror} {recipe.SUITE} main\n", encoding="utf-8")
        # The hooks of this computer's apt are for its own packages.
        self._configuration.write_text(
            f"""#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
APT::Architecture "{recipe.ARCHITECTURE}";
APT::Architectures "{recipe.ARCHITECTURE}";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "{folder}";
Dir::State::status "{folder}/status";
Dir::State::lists "{folder}/lists";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{sources}";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
""",
            encoding="utf-8",
        )

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [program, "-c", str(self._configuration), "-q", *arguments]

    def _answer(self, program: str, *arguments: str) -> str:
        done = subprocess.run(self._command(program, *arguments), capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["nothing said"]
            raise BoardError(f"{program} {arguments[0]}: {lines[-1]}")
        return done.stdout

    def update(self, progress: Progress, log: Path) -> None:
        """Fetch the lists of packages."""
        run_step(self._command("apt-get", "update"), progress, log)

    def kernel(self) -> str:
        """The package that the kernel's meta package stands for."""
        depends = self._answer("apt-cache", "depends", recipe.KERNEL)
        found = re.search(r"Depends: (linux-image-\S+)", depends)
        if found is None:
            raise BoardError(f"{recipe.KERNEL}: expected to depend on a kernel, got {depends.strip()!r}")
        return found[1]

    def download(self, progress: Progress, log: Path, packages: Sequence[str] = recipe.PACKAGES) -> list[Path]:
        """Fetch packages and all that they depend on; what is there already is not fetched again.

        Args:
            progress: told how many are there.
            log: of what apt says.
            packages: by default those of the recipe.

        Returns:
            The packages' files, without the kernel's.
        """
        options = ("install", "--yes", "--download-only", "--no-install-recommends")
        wanted = self._answer("apt-get", *options, "--print-uris", *packages)
        count = len(set(re.findall(r"^'[^']+' (\S+\.deb)", wanted, re.MULTILINE)))
        already = len(list(self.archives.glob("*.deb")))
        run_step(
            self._command("apt-get", *options, *packages),
            progress,
            log,
            lambda: f"{len(list(self.archives.glob('*.deb'))) - already} of {count}",
        )
        return sorted(self.archives.glob("*.deb"))

    def download_kernel(self, folder: Path, progress: Progress, log: Path) -> Path:
        """Fetch the kernel's package into a folder."""
        name = self.kernel()
        found = sorted(folder.glob(f"{name}_*.deb"))
        if not found:
            # `download` writes into the working folder.
            script = 'cd "$1" && shift && exec "$@"'
            command = ["sh", "-c", script, "sh", str(folder), *self._command("apt-get", "download", name)]
            run_step(command, progress, log)
            found = sorted(folder.glob(f"{name}_*.deb"))
        return found[0]
