"""The faults of a scenario, as its file states them; hil.faults carries them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hil.scenarios.fields import RuleError, entry


@dataclass(frozen=True, kw_only=True)
class _At:
    at_s: float = entry("when it begins, scenario seconds from the first frame", low=0, high=1e6)


@dataclass(frozen=True, kw_only=True)
class _During(_At):
    for_s: float = entry("how long it lasts, scenario seconds", low=0.001, high=1e6)


@dataclass(frozen=True, kw_only=True)
class WorkerKilled(_At):
    """The worker process is killed (SIGKILL)."""

    kind: ClassVar[str] = "worker_killed"


@dataclass(frozen=True, kw_only=True)
class WorkerStopped(_At):
    """The worker process is stopped (SIGSTOP) and never goes on: it hangs until the service replaces it."""

    kind: ClassVar[str] = "worker_stopped"


@dataclass(frozen=True, kw_only=True)
class WorkerCorrupted(_At):
    """Random bits flip in the worker's writable memory. Needs the right to write another process's memory."""

    kind: ClassVar[str] = "worker_corrupted"
    bits: int = entry("bits that flip, each in a page of its own", 20, low=1, high=100_000)


@dataclass(frozen=True, kw_only=True)
class ServiceKilled(_At):
    """The service process is killed (SIGKILL); the runner starts it again after a second, as the systemd unit does."""

    kind: ClassVar[str] = "service_killed"


@dataclass(frozen=True, kw_only=True)
class PowerCut(_During):
    """The virtual board's power is cut and comes back; it is over when ssh answers. Needs `--target ssh:virtual`."""

    kind: ClassVar[str] = "power_cut"


@dataclass(frozen=True, kw_only=True)
class StorageFull(_During):
    """Every write of the service to a file fails, as on a full disk (RLIMIT_FSIZE 0; EFBIG where a disk has ENOSPC)."""

    kind: ClassVar[str] = "storage_full"


@dataclass(frozen=True, kw_only=True)
class BundleDamaged(_At):
    """A bit flips in the largest network file of the service's own copy of the bundle."""

    kind: ClassVar[str] = "bundle_damaged"


@dataclass(frozen=True, kw_only=True)
class BundleUpdated(_At):
    """Another version of the bundle is loaded, validated and activated, by command."""

    kind: ClassVar[str] = "bundle_updated"
    broken: bool = entry("a network file of the new version is damaged: load_bundle must reject it", False)


@dataclass(frozen=True, kw_only=True)
class CameraNoise(_During):
    """The camera's frames drown in Gaussian noise. The image degrades."""

    kind: ClassVar[str] = "camera_noise"
    sigma: float = entry("standard deviation over full scale", 0.1, low=0, high=1)


@dataclass(frozen=True, kw_only=True)
class CameraSaturated(_During):
    """The camera's frames are overexposed. The image degrades."""

    kind: ClassVar[str] = "camera_saturated"
    factor: float = entry("by which pixels are too bright", 8.0, low=1, high=1000)


@dataclass(frozen=True, kw_only=True)
class CameraClockSteps(_During):
    """The camera's clock is off: capture times jump."""

    kind: ClassVar[str] = "camera_clock_steps"
    step_s: float = entry("by which capture times are off; negative: back", -3600.0, low=-1e6, high=1e6)


@dataclass(frozen=True, kw_only=True)
class SecondCameraFloods(_During):
    """A second camera, of another name, sends the same frames as fast as this."""

    kind: ClassVar[str] = "second_camera_floods"
    rate_hz: float = entry("frames per second", 200.0, low=1, high=10_000)


@dataclass(frozen=True, kw_only=True)
class SecondCameraBabbles(_During):
    """A second camera sends what is no frame: wrong sizes, repeated ids, headers that are none, random bytes."""

    kind: ClassVar[str] = "second_camera_babbles"
    rate_hz: float = entry("messages per second", 50.0, low=1, high=10_000)


@dataclass(frozen=True, kw_only=True)
class CommanderFloods(_During):
    """A second commander sends commands without a pause."""

    kind: ClassVar[str] = "commander_floods"
    rate_hz: float = entry("commands per second", 500.0, low=1, high=10_000)


@dataclass(frozen=True, kw_only=True)
class CommanderBabbles(_During):
    """A second commander sends what is no command, unknown commands, and arguments out of range."""

    kind: ClassVar[str] = "commander_babbles"
    rate_hz: float = entry("messages per second", 20.0, low=1, high=10_000)


@dataclass(frozen=True, kw_only=True)
class CommanderWithWrongKey(_During):
    """A commander whose key nobody allowed tries to connect. Needs target.keys."""

    kind: ClassVar[str] = "commander_with_wrong_key"


@dataclass(frozen=True, kw_only=True)
class LinkCut(_During):
    """The network link to the service is down. Needs target.link."""

    kind: ClassVar[str] = "link_cut"


@dataclass(frozen=True, kw_only=True)
class LinkImpaired(_During):
    """The link to the service is bad, both ways (tc netem; tbf where the rate alone is limited). Needs target.link."""

    kind: ClassVar[str] = "link_impaired"
    delay_ms: float = entry("delay of each packet", 0.0, low=0, high=60_000)
    jitter_ms: float = entry("by which the delay varies", 0.0, low=0, high=60_000)
    loss: float = entry("share of packets that are lost", 0.0, low=0, high=1)
    reordered: float = entry("share of packets that overtake delayed ones; needs a delay", 0.0, low=0, high=1)
    rate_kbit: float = entry("most kilobits per second; 0: no limit", 0.0, low=0, high=10_000_000)

    def __post_init__(self) -> None:
        if not (self.delay_ms or self.loss or self.rate_kbit):
            raise RuleError("delay_ms", "a delay, a loss or a rate", 0)
        if (self.jitter_ms or self.reordered) and not self.delay_ms:
            raise RuleError("delay_ms", "more than 0, as jitter and reordering need it", 0)


Fault = (
    WorkerKilled
    | WorkerStopped
    | WorkerCorrupted
    | ServiceKilled
    | PowerCut
    | StorageFull
    | BundleDamaged
    | BundleUpdated
    | CameraNoise
    | CameraSaturated
    | CameraClockSteps
    | SecondCameraFloods
    | SecondCameraBabbles
    | CommanderFloods
    | CommanderBabbles
    | CommanderWithWrongKey
    | LinkCut
    | LinkImpaired
)

# Those that the camera loop carries out, on its own frames; those that spoil the image.
CAMERA_FAULTS = (CameraNoise, CameraSaturated, CameraClockSteps)
DEGRADING_FAULTS = (CameraNoise, CameraSaturated)
LINK_FAULTS = (LinkCut, LinkImpaired)
# Those that are carried out over ssh, too.
BOARD_FAULTS = (WorkerKilled, WorkerStopped, ServiceKilled, PowerCut)
# Those that reach into the computer that the service runs on.
LOCAL_FAULTS = (
    WorkerKilled,
    WorkerStopped,
    WorkerCorrupted,
    ServiceKilled,
    StorageFull,
    BundleDamaged,
    BundleUpdated,
    CommanderWithWrongKey,
    LinkCut,
    LinkImpaired,
)
