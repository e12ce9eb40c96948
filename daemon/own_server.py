"""This machine's part of the bus: its nats-server, in the role that the membership gives it."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import structs

from daemon.membership import Membership
from daemon.records import Machine
from dataplane.bus import Bus
from dataplane.layout import PORTS, Layout, Member, Role
from dataplane.nats_keys import NatsKeys
from dataplane.nats_programs import programs
from dataplane.nats_server import NatsServer
from dataplane.process import Process


def layout(now: Membership, key: str) -> Layout:
    """Who belongs to the bus. Each incarnation of the store has a name, and one of the two sets of ports, of its own;
    the operation that formed it is a part of the name, so that nothing of a move that was taken back is met again.

    `key` is the machine's own public key, which is not in its record before it is on a mesh.
    """
    cluster = now.cluster
    members = [_member(machine, key if machine.name == now.name else machine.nkey) for machine in now.machines.values()]
    store = f"{_family(now)}{cluster.incarnation}" + (f"-{cluster.moved}" if cluster.moved else "")
    ports = PORTS[(cluster.incarnation - 1) % len(PORTS)]
    return Layout(store, cluster.store, tuple(member for member in members if member.key), ports)


def _family(now: Membership) -> str:
    """What the names of all stores of a cluster begin with."""
    return f"{now.cluster.id[:12]}-"


def _member(machine: Machine, key: str) -> Member:
    return Member(machine.name, key, machine.overlay_ip if machine.key else None)


@dataclass
class OwnServer:
    """`folder` has the machine's keys and what each store keeps; `now` is the membership that the server goes by.

    `bus`, once it is there, is connected to this server, whichever that is.
    """

    folder: Path
    now: Membership
    bus: Bus | None = field(default=None, init=False)
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    @property
    def server(self) -> NatsServer:
        return self.of(self.now)

    def of(self, membership: Membership) -> NatsServer:
        """The server that a membership stands for, whether it runs or not."""
        return NatsServer(self.folder, membership.name, layout(membership, self.public_key()))

    @property
    def keeps_records(self) -> bool:
        return self.server.layout.role(self.now.name) is not Role.LEAF

    def public_key(self) -> str:
        """By which the others' servers know this machine."""
        return NatsKeys(self.folder).public()

    async def start(self) -> None:
        """Have it run, and none of a cluster that this machine has left. Raises as NatsServer's `ensure` does."""
        for other in self.folder.glob("*/nats-server.conf"):
            if not other.parent.name.startswith(_family(self.now)):
                for program in await programs():
                    await Process("nats-server", (str(program), "-c", str(other)), other.parent).stop()
        await self.ensure()

    async def ensure(self) -> None:
        """Have it run as the membership says. Raises as NatsServer's does."""
        async with self._changing:
            await self.server.ensure()

    async def connected(self) -> Bus:
        """This machine's connection to its server, and to the one that comes after it."""
        server = self.server
        self.bus = await Bus.connect(server.url, seed=server.seed(), inbox=server.inbox)
        await self.bus.connected()
        return self.bus

    def others(self, *, older: bool = False) -> list[str]:
        """This cluster's other stores of which something is here, by name; all of them, or those before this one."""
        family, now = _family(self.now), self.now.cluster.incarnation
        found = [home.name for home in self.folder.glob(f"{family}*") if home != self.server.home]
        return [name for name in found if not older or int(name.removeprefix(family).partition("-")[0]) <= now]

    async def tidy(self, *, older: bool = False) -> None:
        """Remove what is here of other stores, with what they keep. `older` spares those that a move has begun."""
        async with self._changing:
            for name in self.others(older=older):
                other = structs.replace(self.server.layout, store=name)
                await NatsServer(self.folder, self.now.name, other).remove()

    async def running(self) -> int | None:
        return await self.server.running()

    async def follow(self, now: Membership) -> None:
        """Go by a newer membership: machines came, or went and are cut off, or the store is another one."""
        before, self.now = self.now, now
        if layout(now, self.public_key()) == layout(before, self.public_key()):
            return
        try:
            await self.ensure()
            if self.bus:
                await self.bus.turn_to(self.server.url)
        except BaseException:
            self.now = before  # so that whoever tries again finds that there is something to do
            raise
