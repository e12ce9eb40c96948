"""What is seen of the machines from here: those of the records, and how each of them answers just now."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from daemon.inspecting import inspect
from daemon.knocking import knock
from daemon.meshing import MTU, Meshing
from daemon.mirror import Mirror
from daemon.records import Machine
from daemon.sites import Sites, Told, warnings
from daemon.wire import (
    MachineInspect,
    MachineLs,
    MachineRow,
    MachineRtt,
    Mesh,
    MeshStatus,
    PeerRow,
    Refused,
    Success,
)
from dataplane.peers import Link
from dataplane.probe import largest

Asked = MeshStatus | MachineLs | MachineInspect | MachineRtt

SHOWN: dict[str, Literal["joining", "active"]] = {"joining": "joining", "active": "active"}
"""What a machine's state is told as; all others are on their way out."""


class Others(Protocol):
    """The other machines, by name, as they are heard."""

    def silence(self, machine: str) -> str:
        """Since when its daemon was not heard, in words; empty if it was lately."""

    def last_heard(self, machine: str) -> str | None:
        """When that was (RFC 3339); None for who is not known for long."""


@dataclass(frozen=True)
class Survey:
    mesh: Meshing
    mirror: Mirror
    others: Others
    sites: Sites

    async def look(self, request: Asked) -> Success:
        """Raises Refused `machine.missing`."""
        match request:
            case MachineLs():
                return await self._listed()
            case MachineInspect(machine=name):
                return await self._inspected(name)
            case MachineRtt():
                return await self._measured()
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
        machine, heard_at = self._machines()[name], self.others.last_heard(name)
        seen, silent = await inspect(machine, self.sites, self.mirror, self._row, heard_at)
        return self._told("machine", seen, silent)

    async def _listed(self) -> Success:
        told = await self.sites.told()
        rows = [self._row(machine, told.there.get(name)) for name, machine in self._machines().items()]
        return self._told("machines", {"machines": rows}, warnings(told))

    async def _measured(self) -> Success:
        """Each machine measures its own ways: what is bad on one of them need not be on the others."""
        rtts = await self.sites.rtts()
        pairs = [pair for _, measured in sorted(rtts.there.items()) for pair in measured]
        return self._told("rtts", {"pairs": pairs}, warnings(rtts))

    def _row(self, machine: Machine, told: Told | None) -> MachineRow:
        cluster = self.mirror.cluster() or self.mesh.membership.cluster
        return MachineRow(
            machine.id,
            machine.name,
            SHOWN.get(machine.state, "draining"),
            machine.overlay_ip,
            machine.subnet,
            machine.name in cluster.store,
            told is not None,
            machine.version,
            machine.created_at,
            dict(sorted(machine.labels.items())),
            told.stale_since if told else None,
        )

    async def _peers(self) -> list[PeerRow]:
        machines = {machine.key: machine for machine in self._machines().values()}
        links = [link for link in await self.mesh.links() if link.peer.key in machines]
        return list(await asyncio.gather(*(self._peer(link, machines[link.peer.key]) for link in links)))

    async def _peer(self, link: Link, machine: Machine) -> PeerRow:
        age = int(time.time()) - link.handshake if link.handshake else None
        takes, passes = await asyncio.gather(self._takes(machine), largest(machine.overlay_ip, MTU))
        return PeerRow(machine.name, link.peer.endpoint, age, takes, passes)

    async def _takes(self, machine: Machine) -> float | None:
        """Milliseconds; None if it does not answer."""
        return 0.0 if machine.name == self.mesh.membership.name else await knock(machine)

    def _told(self, kind: str, result: Any, warnings: Sequence[str] = ()) -> Success:
        stale = self.mirror.stale_since
        old = [f"the store cannot be reached: changes since {stale} may be missing"] if stale else []
        silent = {name: why for name in self._machines() if (why := self.others.silence(name))}
        away = [f"{name} does not answer: {why}" for name, why in silent.items()]
        return Success(kind, msgspec.to_builtins(result), warnings=list(dict.fromkeys([*old, *away, *warnings])))
