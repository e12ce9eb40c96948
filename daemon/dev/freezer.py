"""Holding everything in a control group still, and letting it go on: cgroup.freeze of v2, else the freezer of v1."""

import asyncio
import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.dev.cgroup import Group, Hierarchy

TRIES, PATIENCE = 5, 2.0
"""How often, and for how many seconds each time, it is waited until all stand still."""


@dataclass(frozen=True)
class Freezer:
    """The files of one group. `switch` takes the words `held` and `free`; `tells` has the line `still` when all are."""

    switch: Path
    held: str
    free: str
    tells: Path
    still: str

    @classmethod
    def of(cls, group: Group) -> "Freezer | None":
        """Where this group can be held still: in v2, whose members can be killed meanwhile, else in v1."""
        able = {each.version: each.path / group.name for each in group.hierarchies if _freezes(each)}
        if folder := able.get(2):
            return cls(folder / "cgroup.freeze", "1", "0", folder / "cgroup.events", "frozen 1")
        if folder := able.get(1):
            return cls(folder / "freezer.state", "FROZEN", "THAWED", folder / "freezer.state", "FROZEN")
        return None

    def holds(self) -> bool:
        """Whether it was told to hold them, whether or not all stand still by now."""
        with _there():
            return self.switch.read_text().strip() != self.free
        return False

    async def hold(self) -> bool:
        """Hold everything in the group; whether all stand still. If not, all go on. Raises OSError.

        What waits in the kernel for another process's answer (of zfs-fuse, say) stops only when it has it, and never
        gets it when that one is held first. So all are let go and it is tried again.
        """
        for _ in range(TRIES):
            self.switch.write_text(self.held)
            if await self._comes_to_rest():
                return True
            self.release()
        return False

    def release(self) -> None:
        """Let all go on; nothing if there is no such group. Raises OSError."""
        with _there():
            self.switch.write_text(self.free)

    async def _comes_to_rest(self) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self.still not in self.tells.read_text().splitlines():
                    await asyncio.sleep(0.01)
                return True
        return False


@contextmanager
def _there() -> Iterator[None]:
    """Nothing fails because the group is gone, also when it went between the opening of its file and the rest."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise


def _freezes(hierarchy: Hierarchy) -> bool:
    return hierarchy.version == 2 or "freezer" in hierarchy.options
