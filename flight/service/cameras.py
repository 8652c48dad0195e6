"""Counts what becomes of each camera's frames: the frames socket has no way back, so cameras read housekeeping."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flight.icd.limits import CAMERAS


@dataclass
class _Camera:
    """One start of one camera."""

    newest_epoch: int | None = None
    accepted: int = 0
    rejected: dict[str, int] = field(default_factory=dict)

    def count_accepted(self, epoch: int) -> None:
        self.accepted += 1
        self.newest_epoch = epoch

    def count_rejected(self, reason: str, newest_epoch: int | None) -> None:
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        self.newest_epoch = newest_epoch


class CameraCounts:
    """Accepted and rejected frames by (source, epoch), of those that were heard last."""

    def __init__(self) -> None:
        # In the order in which they were heard last.
        self._cameras: dict[tuple[str, int], _Camera] = {}

    def count_accepted(self, source: str, epoch: int) -> None:
        """Count a frame that was accepted, whose epoch is the newest of its source then."""
        self._hear(source, epoch).count_accepted(epoch)

    def count_rejected(self, source: str, epoch: int, reason: str, newest_epoch: int | None) -> None:
        """Count a frame that was rejected. newest_epoch: largest of its source; None if none was accepted."""
        self._hear(source, epoch).count_rejected(reason, newest_epoch)

    def values(self) -> list[dict[str, Any]]:
        """The counts as in housekeeping, those that were heard last in front."""
        return [
            {
                "source": source,
                "epoch": epoch,
                "newest_epoch": camera.newest_epoch,
                "accepted": camera.accepted,
                "rejected": dict(camera.rejected),
            }
            for (source, epoch), camera in reversed(self._cameras.items())
        ]

    def _hear(self, source: str, epoch: int) -> _Camera:
        camera = self._cameras.pop((source, epoch), None)
        if camera is None:
            camera = _Camera()
            if len(self._cameras) >= CAMERAS:
                # Whoever was never accepted gives way first: strangers must not push a camera out.
                strangers = (key for key, other in self._cameras.items() if other.accepted == 0)
                del self._cameras[next(strangers, next(iter(self._cameras)))]
        self._cameras[source, epoch] = camera
        return camera
