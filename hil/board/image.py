"""The board's image, made step by step; a step that is done is not done again.

No loop device, no binfmt, no debootstrap, no root: packages are unpacked natively, mkfs.ext4 makes the file system from
a folder, and Debian's own maintainer scripts run inside at the first boot.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hil.board import recipe
from hil.board.folders import BoardError, hold_lock
from hil.board.packages import Apt, find_mirror
from hil.board.progress import Progress, run_step
from hil.board.unpack import unpack_packages

_HOST_KEYS = ("ed25519", "rsa", "ecdsa")
TOOLS = {
    "qemu-system-aarch64": "qemu-system-arm",
    "apt-get": "apt, on Debian or Ubuntu",
    "dpkg-deb": "dpkg",
    "mkfs.ext4": "e2fsprogs",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}


@dataclass(frozen=True)
class Image:
    """A finished image: base disk, kernel and keys, in one folder of the cache."""

    folder: Path

    @property
    def disk(self) -> Path:
        """Raw and sparse; copied for each board."""
        return self.folder / "base.img"

    @property
    def kernel(self) -> Path:
        """Debian's kernel, without an initial file system."""
        return self.folder / "vmlinuz"

    @property
    def key(self) -> Path:
        """The private key that the board's user admits."""
        return self.folder / "keys" / "id"

    @property
    def host_key(self) -> Path:
        """The board's public host key."""
        return self.folder / "keys" / "host_ed25519.pub"


def find_tool(name: str) -> str:
    """The path of a program that the board needs.

    Raises:
        BoardError: it is not there; says what to install.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise BoardError(f"{name}: expected to be installed, got no such program: install {TOOLS[name]}")
    return found


def cached_image(cache: Path) -> Image:
    """Where the image of the present recipe lies, or will."""
    return Image(cache / "images" / recipe.recipe_key())


def build_image(cache: Path, mirror: str | None, progress: Progress, boot: list[str]) -> Image:
    """Make the image, or go on where an earlier attempt ended.

    Args:
        cache: folder of packages and images.
        mirror: a Debian mirror; None for that of this computer's apt sources.
        progress: told every step.
        boot: QEMU's command line without kernel and disk, for the first boot.

    Returns:
        The image.

    Raises:
        BoardError: a program is missing, a step failed, or another process builds it.
    """
    image = cached_image(cache)
    if image.disk.is_file():
        return image
    for name in TOOLS:
        find_tool(name)
    image.folder.mkdir(parents=True, exist_ok=True)
    with hold_lock(image.folder / "lock", f"{image.folder}: another process makes the image now; wait for it"):
        if not image.disk.is_file():
            _Build(image, cache, mirror, progress).run(boot)
    return image


class _Build:
    """The steps, each with a mark when it is done."""

    def __init__(self, image: Image, cache: Path, mirror: str | None, progress: Progress) -> None:
        self._image = image
        self._cache = cache
        self._mirror = mirror
        self._progress = progress
        self._log = image.folder / "build.log"
        self._root = image.folder / "root"
        self._draft = image.folder / "draft.img"

    def run(self, boot: list[str]) -> None:
        self._make_keys()
        self._fetch()
        if not self._is_done("tree"):
            self._unpack()
            self._mark("tree")
        if not self._is_done("disk"):
            self._make_disk()
            self._mark("disk")
        self._first_boot(boot)
        self._draft.replace(self._image.disk)
        shutil.rmtree(self._root)

    def _mark(self, step: str) -> None:
        (self._image.folder / f"{step}.done").touch()

    def _is_done(self, step: str) -> bool:
        return (self._image.folder / f"{step}.done").exists()

    def _make_keys(self) -> None:
        folder = self._image.folder / "keys"
        folder.mkdir(mode=0o700, exist_ok=True)
        for name, kind in (("id", "ed25519"), *((f"host_{kind}", kind) for kind in _HOST_KEYS)):
            if not (folder / f"{name}.pub").exists():
                (folder / name).unlink(missing_ok=True)
                command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "board", "-f", str(folder / name)]
                run_step(command, self._progress, self._log)

    def _fetch(self) -> None:
        if self._is_done("packages"):
            return
        apt = Apt(self._cache / "apt", self._mirror or find_mirror())
        self._progress.begin("[1/5] lists of packages")
        apt.update(self._progress, self._log)
        self._progress.end()
        self._progress.begin("[2/5] packages")
        packages = apt.download(self._progress, self._log)
        kernel = apt.download_kernel(self._image.folder, self._progress, self._log)
        listed = "".join(f"{path}\n" for path in (kernel, *packages))
        (self._image.folder / "packages").write_text(listed, encoding="utf-8")
        self._mark("packages")
        self._progress.end(f"{len(packages)} and the kernel")

    def _unpack(self) -> None:
        self._progress.begin("[3/5] unpacking")
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir(mode=0o755)
        listed = (self._image.folder / "packages").read_text(encoding="utf-8").splitlines()
        kernel, *packages = map(Path, listed)
        try:
            unpack_packages(self._root, packages, lambda n: self._progress.update(f"{n} of {len(packages)}"))
            self._add_kernel(kernel)
        except (OSError, subprocess.CalledProcessError) as error:
            (self._image.folder / "packages.done").unlink(missing_ok=True)  # fetched anew the next time
            raise BoardError(f"unpacking: {error}") from error
        self._add_settings()
        self._progress.end(f"{len(packages)} packages")

    def _add_kernel(self, package: Path) -> None:
        work = self._image.folder / "kernel"
        shutil.rmtree(work, ignore_errors=True)
        subprocess.run(["dpkg-deb", "-x", str(package), str(work)], check=True, capture_output=True)
        (version,) = [path.name for path in (work / "lib/modules").iterdir()]
        source, target = work / "lib/modules" / version, self._root / "lib/modules" / version
        for module in recipe.MODULES:
            path = Path("kernel") / f"{module}.ko"
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / path, target / path)
        for path in source.glob("modules.*"):
            shutil.copy(path, target / path.name)
        shutil.copy(work / "boot" / f"vmlinuz-{version}", self._image.kernel)
        shutil.rmtree(work)

    def _add_settings(self) -> None:
        root, keys = self._root, self._image.folder / "keys"
        for name in ("etc/ssh", "etc/dpkg/dpkg.cfg.d", "etc/systemd/network"):
            (root / name).mkdir(parents=True, exist_ok=True)
        for name in ("passwd", "group"):
            if not (root / "etc" / name).exists():
                shutil.copy(root / "usr/share/base-passwd" / f"{name}.master", root / "etc" / name)
        if not (root / "usr/bin/awk").exists():
            (root / "usr/bin/awk").symlink_to("mawk")
        for kind in _HOST_KEYS:
            for suffix, mode in (("", 0o600), (".pub", 0o644)):
                path = root / f"etc/ssh/ssh_host_{kind}_key{suffix}"
                shutil.copy(keys / f"host_{kind}{suffix}", path)
                path.chmod(mode)
        # A cut during the build only means that it is made again.
        (root / "etc/dpkg/dpkg.cfg.d/unsafe-io").write_text("force-unsafe-io\n", encoding="ascii")
        shutil.copy(keys / "id.pub", root / recipe.AUTHORIZED_KEYS.lstrip("/"))
        script = root / recipe.FIRST_BOOT.lstrip("/")
        script.write_text(recipe.FIRST_BOOT_SCRIPT, encoding="utf-8")
        script.chmod(0o755)

    def _make_disk(self) -> None:
        self._progress.begin("[4/5] file system")
        self._draft.unlink(missing_ok=True)
        options = ["-q", "-F", "-L", "board", "-E", "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0"]
        size = f"{recipe.DISK_BYTES >> 20}M"
        command = [find_tool("mkfs.ext4"), *options, "-d", str(self._root), str(self._draft), size]
        run_step(command, self._progress, self._log)
        self._progress.end()

    def _first_boot(self, boot: list[str]) -> None:
        self._progress.begin("[5/5] first boot: Debian's maintainer scripts")
        log = self._image.folder / "first_boot.log"
        arguments = f"{recipe.KERNEL_ARGUMENTS} init={recipe.FIRST_BOOT} panic=-1"
        # The disk is a draft until this has succeeded: nothing needs to be safe before its end.
        drive = f"if=none,id=disk,file={self._draft},format=raw,cache=unsafe,discard=unmap"
        command = [*boot, "-no-reboot", "-serial", f"file:{log}", "-nic", "none"]
        command += ["-kernel", str(self._image.kernel), "-append", arguments]
        command += ["-drive", drive, "-device", "nvme,serial=board,drive=disk"]
        # Begun anew if it does not end well.
        (self._image.folder / "disk.done").unlink(missing_ok=True)
        run_step(command, self._progress, self._log, lambda: _count_configured(log))
        said = log.read_text(encoding="utf-8", errors="replace")
        if recipe.FIRST_BOOT_DONE not in said:
            last = said.strip().splitlines()[-1:] or ["nothing said"]
            raise BoardError(f"first boot: expected {recipe.FIRST_BOOT_DONE!r}, got {last[0].strip()!r}; see {log}")
        self._progress.end()


def _count_configured(log: Path) -> str:
    if not log.exists():
        return ""
    return f"{log.read_text(encoding='utf-8', errors='replace').count('Setting up ')} configured"
