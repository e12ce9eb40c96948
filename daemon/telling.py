"""What this daemon tells of its machine: to whoever looks here, and to the daemons of other machines."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec

from daemon.distances import distances
from daemon.finding import heads
from daemon.machine import Up
from daemon.peers.daemons import KINDS
from daemon.peers.line import subject
from daemon.sites import Equipment, Told
from daemon.wire import MachineCapacity, MachineRuntime, OperationRow, RttRow
from dataplane.calls import Question
from runtime.instance import EngineProblem
from runtime.memory import Memory


@dataclass(frozen=True)
class Telling:
    """Implements `daemon.sites.Daemon`. `running` are the operations of this machine that are not over."""

    up: Up
    running: Callable[[], Awaitable[list[OperationRow]]]
    memory: Memory = field(default_factory=Memory)

    async def tell(self) -> Told:
        mirror = self.up.among.mirror
        unstarted = self.up.boot.reasons(heads(mirror).values())
        return Told(await self.running(), dict(unstarted), mirror.stale_since)

    async def equipment(self) -> Equipment:
        memory = self.memory
        return Equipment(
            MachineCapacity(os.cpu_count() or 1, await memory.size(), await memory.memory()), await self._runtime()
        )

    async def rtts(self) -> list[RttRow]:
        return await distances(self.up.node.machine, self.up.among.mirror.machines().values())

    async def answer(self) -> None:
        """Tell it to the daemons of other machines from now on."""
        for kind in KINDS:
            asked = subject(self.up.node.machine, kind)
            await self.up.among.calls.answer(asked, partial(_told, getattr(self, kind)))

    async def _runtime(self) -> MachineRuntime | None:
        try:
            about = await self.up.engines.docker.about()
        except EngineProblem:
            return None
        return MachineRuntime("docker", about.version, about.driver, list(about.lacks))


async def _told(tell: Callable[[], Awaitable[object]], _: Question) -> bytes:
    return msgspec.json.encode(await tell())
