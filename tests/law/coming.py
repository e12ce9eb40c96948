"""A machine with a life before, and a cluster of m1 and m2 that has invited it: it knocks at m1's real door.

Each of both carries out its own operation, on its own records, and what goes between them may be cut as well.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import msgspec
from msgspec import structs

from daemon import letters
from daemon.coming_up import tell
from daemon.door import Door
from daemon.members import Members
from daemon.operations import Operations
from daemon.records import Cluster, Machine
from daemon.tunnel import Knock, Unreached, understood
from daemon.wire import (
    Admitted,
    How,
    Invited,
    Join,
    MachineAdmit,
    MachineInvite,
    Mutation,
    Refused,
    Success,
)
from dataplane.entry import Entry
from tests.fakes.kv import FakeKv
from tests.fakes.moves import FakeMoves, FakeStores
from tests.law.cases import BACK, GIVES, NAMED, PR, secret, shop
from tests.law.law import OVER
from tests.law.world import (
    ENDINGS,
    NOW,
    ROOT,
    Crash,
    Cut,
    Ending,
    Iron,
    Site,
    World,
    ask,
    at_rest,
    boot,
    boot_alone,
    boot_at,
    founded,
    ignore,
    records_of,
    seen,
    seen_of,
    start,
)

LIVED: tuple[Mutation, ...] = (secret(b"one"), shop(more=GIVES), NAMED, shop(db=2, more=GIVES), BACK, PR)
"""A life that leaves current and kept generations, named snapshots, clones, and instances that see secrets."""
JOINS, INVITES = "op-join", "op-invite"
BEFORE, AFTER = "m7", "m3"
"""The machine's name as long as it is alone, and the one that it is invited by."""
ROUNDS = 8
"""How often whoever has died starts again, and goes on, until it is over."""


class Guest(Site):
    """A machine that is none of the world's before it has joined, and goes by records of its `own` until then."""

    def __init__(self, world: World, *, openzfs: bool) -> None:
        super().__init__(BEFORE, world, openzfs=openzfs)
        self.own = FakeKv(self.moves.touch)
        self.moves.stores = FakeStores({"": self.own})
        self.mesh.door, self.mesh.again, self.mesh.address = self._knock, self._start_anew, "192.0.2.3"
        self.instances.programs |= world.instances.programs
        self.dead = True
        world.elsewhere.append(self.own)

    def copy_to(self, other: Iron) -> None:
        super().copy_to(other)
        assert isinstance(other, Guest)
        other.own.entries, other.own.revision = dict(self.own.entries), self.own.revision

    def forget(self) -> None:
        """Its daemon has an empty data directory."""
        alone = founded(BEFORE)
        self.own.entries, self.own.revision = dict(alone.kv.entries), alone.kv.revision
        for journal in self.disk.glob("operations/*"):
            journal.unlink()

    def wake(self) -> None:
        """Where it has died it starts by itself."""
        if not self.dead:
            super().wake()

    async def start(self) -> Operations:
        """Its daemon anew, as what it is by now, with all that was open resolved as far as that can be."""
        self.dead = False
        self.mesh.start()
        operations = self._boot_as_member() if self.mesh.membership.cluster.mesh else boot_alone(self.world, self)
        wrongs = len(self.world.wrongs)
        try:
            await tell(Members(self.bucket), self.name, ROOT, self.vault.recipient)
        finally:
            del self.world.wrongs[wrongs:]  # what a machine says of itself takes no operation
        await operations.bring_to_an_end()
        await at_rest(operations)
        if self.dead:
            raise Crash("it starts anew")
        return operations

    async def start_and(self, effort: Callable[[Operations], Awaitable[Success]]) -> Success:
        """What is answered to who asks something of it, its daemon being just started."""
        return await effort(await self.start())

    def _boot_as_member(self) -> Operations:
        world, first = self.world, self.world.moves
        if self.moves.stores is not world.stores:
            self.moves = FakeMoves(world.stores, self.moves.touch, first.at, first.incarnation, dict(first.servers))
        world.sites[self.name] = self
        self.wake()
        return boot_at(world, self.name)

    def _start_anew(self) -> None:
        self.dead = True
        raise Crash("it starts anew, as what it has become")

    async def _knock(self, letter: bytes, asked: MachineAdmit, *, preview: bool) -> Admitted | None:
        """As `daemon.meshing` and `daemon.tunnel` do it, but for the way there."""
        if self.dead:
            raise Crash("knock")
        opened = letters.read(self.vault.unseal(letter).decode())
        question = msgspec.json.encode(Knock(structs.replace(asked, at=NOW), preview))
        answer = partial(self._answered, question, opened.guest)
        return understood(await self.world.pass_on(self, answer, Unreached("nobody answers at the door")))

    async def _answered(self, question: bytes, guest: str) -> bytes:
        world = self.world
        if world.dead:
            raise Unreached("nobody answers at the door")
        door = Door("", Members(world.bucket), world.daemons[world.name].mutate, self._heard_from)
        try:
            return await door.answered(question, guest)
        except Crash:
            raise Unreached("the door's daemon died") from None

    async def _heard_from(self, _key: str) -> str | None:
        return self.mesh.address


@dataclass(frozen=True)
class Coming:
    """A machine that is to come to the cluster of a world, by a token."""

    world: World
    guest: Guest
    token: str

    def copy(self) -> "Coming":
        """Another one that is the same just now."""
        world = self.world.copy()
        guest = Guest(world, openzfs=self.guest.zfs.datasets.abilities.several_snapshots)
        self.guest.copy_to(guest)
        return Coming(world, guest, self.token)

    def close(self) -> None:
        """Nobody needs it any more."""
        self.world.close()
        shutil.rmtree(self.guest.disk, ignore_errors=True)

    async def join(self, id: str = JOINS) -> Ending:
        """Have it asked to join. How that ended."""
        return await self._ends(lambda there: there.mutate(Join(self.token), How(op_id=id), "uid 0", ignore))

    async def go_on(self, id: str = JOINS, *, off: bool = False) -> Ending:
        """Have whoever has died start again, but for m1 while it is `off`, and the join carried on. How it ended;
        refused, if it never began."""
        return await self._ends(lambda there: there.resume(id, ignore), off=off)

    async def _ends(self, effort: Callable[[Operations], Awaitable[Success]], *, off: bool = False) -> Ending:
        world, guest = self.world, self.guest
        ending: Ending = "done"
        try:
            if (world.dead and not off) or world.name not in world.daemons:
                await _with_the_store(lambda: start(world))
            await effort(await _with_the_store(guest.start) if guest.dead else world.daemons[guest.name])
        except tuple(ENDINGS) as problem:
            ending = ENDINGS[type(problem)]
        await at_rest(*world.daemons.values())
        return "crashed" if guest.dead or world.dead else ending

    async def ends(self, second: Cut | None = None, off: int = 0, id: str = JOINS) -> Ending:
        """Join, and go on until it is over, with a `second` cut so many touches after the first was met; without m1, if
        it died of that, the first `off` times."""
        ending = await self.join(id)
        return ending if ending in OVER else await self.go_on_to_the_end(second, off, id)

    async def go_on_to_the_end(self, second: Cut | None = None, off: int = 0, id: str = JOINS) -> Ending:
        """Go on until it is over, or it is known that this never ends."""
        ending: Ending = "stuck"
        for number in range(ROUNDS):
            if second and self.world.was_cut:
                self.world.cut, second = replace(second, at=self.world.touches + second.at), None
            if (ending := await self.go_on(id, off=number < off)) in OVER:
                break
        return ending

    async def settle_down(self) -> None:
        """Everybody starts once more, and nothing is cut any more."""
        self.world.cut = None
        await start(self.world)
        await self.guest.start()
        await at_rest(*self.world.daemons.values())


async def _with_the_store(begin: Callable[[], Awaitable[Operations]]) -> Operations:
    """A start, again from the beginning where the store goes away meanwhile, as `daemon.coming_up` has it."""
    while True:
        try:
            return await begin()
        except Refused as refused:
            if refused.code != "store.down":
                raise


@cache
def lived(openzfs: bool) -> World:
    """What the machine was, and has in its pool."""
    world = founded(BEFORE, openzfs=openzfs)
    for number, request in enumerate(LIVED):
        assert ask(world, request, f"op-{number}") == "done"
        world.write_row(f"row {number}")
    return world


@cache
def invited(openzfs: bool = False) -> Coming:
    """It has come back without its records, and so with what its pool holds; the cluster has a token for it."""
    world, before = founded(openzfs=openzfs, machines=2), lived(openzfs)
    cluster = structs.replace(cluster_of(world.kv), id="the-mesh")
    world.kv.entries["cluster"] = Entry(msgspec.json.encode(cluster), world.kv.entries["cluster"].revision)
    guest = Guest(world, openzfs=openzfs)
    before.copy_to(guest)
    guest.forget()
    asyncio.run(guest.start())
    return Coming(world, guest, token(world, INVITES))


def token(world: World, id: str) -> str:
    """That of a new invitation, by the operation `id`."""
    answer = asyncio.run(boot(world).mutate(MachineInvite(name=AFTER), How(op_id=id), "uid 0", ignore))
    invitation = msgspec.convert(answer.result, Invited)
    return letters.token(letters.of(invitation, cluster_of(world.kv), "the guest's key"))


def joined() -> Coming:
    it = invited().copy()
    assert asyncio.run(it.ends()) == "done"
    return it


def seen_there(it: Coming) -> dict[str, Any]:
    """What anybody could notice of the cluster. Which operation let a machine in is told by chance."""
    found = seen(it.world)
    records = found["records"].items()
    return {**found, "records": {key: structs.replace(one, by="") if isinstance(one, Machine) else one
                                 for key, one in records}}  # fmt: skip


def seen_here(it: Coming) -> dict[str, Any]:
    """What anybody could notice of the machine, as long as it is none of the cluster's."""
    return {**seen_of(it.guest), "records": records_of(it.world, it.guest.own)}


def cluster_of(kv: FakeKv) -> Cluster:
    return msgspec.json.decode(kv.entries["cluster"].value, type=Cluster)


def machines(world: World) -> dict[str, Machine]:
    """Those of the cluster, by name."""
    return asyncio.run(Members(world.kv).machines())
