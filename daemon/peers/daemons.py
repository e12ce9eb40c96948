"""What the daemons of other machines tell of them, asked over the line."""

from dataclasses import dataclass
from typing import TypeVar

import msgspec

from daemon.peers.calls import Line
from daemon.sites import Equipment, Told
from daemon.wire import RttRow

KINDS = ("tell", "equipment", "rtts")
"""The kinds of questions that a daemon answers with what it tells: the verbs of `daemon.sites.Daemon`."""

T = TypeVar("T")


@dataclass(frozen=True)
class DaemonThere:
    """Implements `daemon.sites.Daemon`. Each verb raises Refused `machine.unreachable`."""

    machine: str
    line: Line

    async def tell(self) -> Told:
        return await self._asked("tell", Told)

    async def equipment(self) -> Equipment:
        return await self._asked("equipment", Equipment)

    async def rtts(self) -> list[RttRow]:
        return await self._asked("rtts", list[RttRow])

    async def _asked(self, kind: str, shape: type[T]) -> T:
        return msgspec.json.decode(await self.line.ask(self.machine, kind, b""), type=shape)
