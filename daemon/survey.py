"""What is seen of the machines from here: those of the records, and how each of them answers just now."""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from daemon.knocking import knock
from daemon.meshing import MTU, Meshing
from daemon.mirror import Mirror
from daemon.records import Machine
from daemon.wire import (
    MachineInspect,
    MachineLs,
    MachineRow,
    MachineRtt,
    Mesh,
    MeshStatus,
    PeerRow,
    Refused,
    RttRow,
    Success,
)
from dataplane.peers import Link
from dataplane.probe import largest

Asked = MeshStatus | MachineLs | MachineInspect | MachineRtt

SHOWN: dict[str, Literal["joining", "active"]] = {"joining": "joining", "active": "active"}
"""What a machine's state is told as; all others are on their way out."""
TIMES = 5
"""How often a machine is asked for the time that it takes."""


class Others(Protocol):
    """The other machines, by name."""

    async def answers(self, machine: str) -> bool:
        """Whether its daemon does, just now."""

    @property
    def away(self) -> Callable[[str], str]:
        """Since when its daemon was not heard, in words; empty if it was lately."""


@dataclass(frozen=True)
class Survey:
    mesh: Meshing
    mirror: Mirror
    others: Others

    async def look(self, request: Asked) -> Success:
        """Raises Refused `machine.missing`."""
        match request:
            case MachineLs():
                rows = await self._rows(list(self._machines().values()))
                return self._told("machines", {"machines": rows})
            case MachineInspect(machine=name):
                return await self._inspected(name)
            case MachineRtt():
                return self._told("rtts", {"pairs": await self._pairs()})
            case MeshStatus():
                return self._told("peers", {"peers": await self._peers()})

    async def abandoned(self) -> Success:
        """Have this machine be a cluster of its own, without a word to the others and without the store, which may be
        out of reach for good. Raises Refused `mesh.others` where the others have their records from it."""
        now = self.mesh.membership
        others = [name for name in self._machines() if name != now.name]
        keeps, alone = now.name in now.cluster.store, len(now.cluster.store) == 1
        # One of three that sees no store is cut off from the others, or was removed while it was away.
        if now.cluster.mesh and others and keeps and (alone or not self.mirror.stale_since):
            why, hint = f"it keeps the records of {', '.join(others)}", f"ployzctl machine rm {now.name}"
            raise Refused("mesh.others", f"cannot leave the mesh {now.cluster.name}", why, hint)
        await self.mesh.abandon()
        here = self.mesh.membership.here
        return self._told("mesh", Mesh("", here.name, here.overlay_ip, here.subnet))

    def _machines(self) -> dict[str, Machine]:
        return self.mirror.machines() or dict(self.mesh.membership.machines)

    async def _inspected(self, name: str) -> Success:
        if name not in self._machines():
            why = f"there is no machine {name}"
            raise Refused("machine.missing", f"cannot inspect {name}", why, "ployzctl machine ls")
        [row] = await self._rows([self._machines()[name]])
        return self._told("machine", row)

    async def _rows(self, machines: Sequence[Machine]) -> list[MachineRow]:
        there = await asyncio.gather(*(self._reached(machine.name) for machine in machines))
        return [self._row(machine, reachable=answers) for machine, answers in zip(machines, there, strict=True)]

    def _row(self, machine: Machine, *, reachable: bool) -> MachineRow:
        cluster = self.mirror.cluster() or self.mesh.membership.cluster
        return MachineRow(
            machine.id,
            machine.name,
            SHOWN.get(machine.state, "draining"),
            machine.overlay_ip,
            machine.subnet,
            machine.name in cluster.store,
            reachable,
            machine.version,
            machine.created_at,
            dict(sorted(machine.labels.items())),
        )

    async def _peers(self) -> list[PeerRow]:
        machines = {machine.key: machine for machine in self._machines().values()}
        links = [link for link in await self.mesh.links() if link.peer.key in machines]
        return list(await asyncio.gather(*(self._peer(link, machines[link.peer.key]) for link in links)))

    async def _peer(self, link: Link, machine: Machine) -> PeerRow:
        age = int(time.time()) - link.handshake if link.handshake else None
        takes, passes = await asyncio.gather(self._takes(machine), largest(machine.overlay_ip, MTU))
        return PeerRow(machine.name, link.peer.endpoint, age, takes, passes)

    async def _pairs(self) -> list[RttRow]:
        here = self.mesh.membership.name
        others = [machine for name, machine in self._machines().items() if name != here]
        return list(await asyncio.gather(*(self._pair(here, other) for other in others)))

    async def _pair(self, here: str, other: Machine) -> RttRow:
        times = [took for _ in range(TIMES) if (took := await self._takes(other)) is not None]
        if not times:
            return RttRow(here, other.name, None, None)
        return RttRow(here, other.name, statistics.median(times), statistics.pstdev(times))

    async def _reached(self, name: str) -> bool:
        return name == self.mesh.membership.name or await self.others.answers(name)

    async def _takes(self, machine: Machine) -> float | None:
        """Milliseconds; None if it does not answer."""
        return 0.0 if machine.name == self.mesh.membership.name else await knock(machine)

    def _told(self, kind: str, result: Any) -> Success:
        stale = self.mirror.stale_since
        old = [f"the store cannot be reached: changes since {stale} may be missing"] if stale else []
        silent = {name: why for name in self._machines() if (why := self.others.away(name))}
        away = [f"{name} does not answer: {why}" for name, why in silent.items()]
        return Success(kind, msgspec.to_builtins(result), warnings=[*old, *away])
