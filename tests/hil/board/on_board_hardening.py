"""Runs on the board, in the unit's surroundings and outside of them: attempts what the unit's lines forbid.

Prints one line of JSON: by the name of a line of the unit, "done", or why it was refused. Attempts change nothing, or
take back what they changed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import mmap
import os
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUTS, CLONE_NEWUSER = 0x04000000, 0x10000000
MS_RDONLY, ADDR_NO_RANDOMIZE = 1, 0x0040000
PR_GET_NO_NEW_PRIVS, SCHED_FIFO = 39, 1
ROUTER = "10.0.2.2"


def call(result: int) -> None:
    """Raise what a function of the C library failed with."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def write(path: str) -> None:
    """Make a file, and remove it."""
    Path(path).write_text("")
    Path(path).unlink()


def in_child(attempt: Callable[[], None]) -> None:
    """Attempt what cannot be taken back in a process of its own."""
    child = os.fork()
    if child == 0:
        code = 0
        try:
            attempt()
        except OSError as error:
            code = error.errno or errno.EPERM
        except BaseException:
            code = errno.EPERM
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise OSError(abs(code), os.strerror(abs(code)))


def mount() -> None:
    """A file system in memory, for a moment."""
    call(LIBC.mount(b"probe", b"/mnt", b"tmpfs", MS_RDONLY, None))
    LIBC.umount(b"/mnt")


def set_clock() -> None:
    """The clock, to what it says."""
    time.clock_settime(time.CLOCK_REALTIME, time.time())


def set_hostname() -> None:
    """The name, to what it is."""
    socket.sethostname(socket.gethostname())


def suid() -> None:
    """A file that runs as its owner."""
    path = Path(os.environ.get("RUNTIME_DIRECTORY", "/run"), "suid")
    path.touch()
    try:
        path.chmod(0o4755)
    finally:
        path.unlink()


def reach_out() -> None:
    """A datagram to another address than the board's own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"probe", (ROUTER, 9))


def real_time() -> None:
    """The scheduler's highest class, for a moment."""
    os.sched_setscheduler(0, SCHED_FIFO, os.sched_param(1))


def no_new_privileges() -> None:
    """Whether the process may still gain privileges."""
    if LIBC.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1:
        raise PermissionError(errno.EPERM, "set")


def capabilities() -> None:
    """Whether any capability can be had."""
    rows = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    if int(rows["CapBnd"], 16) == 0:
        raise PermissionError(errno.EPERM, "none")


def see(path: str) -> None:
    """Find something, which is not there if it was hidden."""
    if not any(Path(path).iterdir()):
        raise FileNotFoundError(errno.ENOENT, "nothing there")


def hidden_processes() -> None:
    """Whether everybody's processes are seen: root's group, as which this runs, sees them in any case."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if any(fields[4] == "/proc" and "hidepid=invisible" in fields[-1] for fields in mounts):
        raise PermissionError(errno.EPERM, "invisible")


def private_tmp() -> None:
    """Whether /tmp is everybody's."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if any(fields[4] == "/tmp" and "systemd-private" in fields[3] for fields in mounts):
        raise PermissionError(errno.EPERM, "its own")


def at_most(limit: int, most: int) -> Callable[[], None]:
    """An attempt to find a limit above a number."""

    def attempt() -> None:
        if 0 <= resource.getrlimit(limit)[1] <= most:
            raise PermissionError(errno.EPERM, "limited")

    return attempt


def write_and_execute() -> None:
    """Memory that can be written and run."""
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def cgroup() -> None:
    """A control group of our own."""
    Path("/sys/fs/cgroup/probe").mkdir()
    Path("/sys/fs/cgroup/probe").rmdir()


def kernel_setting() -> None:
    """A setting of the kernel, to what it is."""
    path = Path("/proc/sys/kernel/printk")
    path.write_text(path.read_text())


ATTEMPTS: dict[str, Callable[[], None]] = {
    "NoNewPrivileges": no_new_privileges,
    "CapabilityBoundingSet": capabilities,
    "ProtectSystem (usr)": lambda: write("/usr/probe"),
    "ProtectSystem (etc)": lambda: write("/etc/probe"),
    "ProtectSystem (opt)": lambda: write("/opt/probe"),
    "ProtectHome": lambda: see("/home"),
    "PrivateTmp": private_tmp,
    "PrivateDevices": lambda: os.close(os.open("/dev/nvme0n1", os.O_RDONLY)),
    "ProtectClock": set_clock,
    "ProtectControlGroups": cgroup,
    "ProtectHostname": set_hostname,
    "ProtectKernelLogs": lambda: os.close(os.open("/dev/kmsg", os.O_RDONLY)),
    "ProtectKernelModules": lambda: see("/usr/lib/modules"),
    "ProtectKernelTunables": kernel_setting,
    "ProtectProc": hidden_processes,
    "RestrictAddressFamilies": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "IPAddressDeny": reach_out,
    "RestrictNamespaces": lambda: in_child(lambda: call(LIBC.unshare(CLONE_NEWUSER | CLONE_NEWUTS))),
    "RestrictRealtime": lambda: in_child(real_time),
    "RestrictSUIDSGID": suid,
    "LockPersonality": lambda: in_child(lambda: call(LIBC.personality(ADDR_NO_RANDOMIZE))),
    "SystemCallFilter": mount,
    "LimitNOFILE": at_most(resource.RLIMIT_NOFILE, 1024),
    "LimitCORE": at_most(resource.RLIMIT_CORE, 0),
    "MemoryDenyWriteExecute (left out)": write_and_execute,
}


def main() -> None:
    """Attempt everything."""
    results = {}
    for name, attempt in ATTEMPTS.items():
        results[name] = "done"
        try:
            attempt()
        except OSError as error:
            results[name] = errno.errorcode.get(error.errno or 0, str(error.errno))
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(results), flush=True)


main()
