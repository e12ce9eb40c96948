"""Whole machines in memory, under the real engine, store, journal and serving plane; they can be cut at any touch.

`cut` says at which touch, and how: `before` it takes effect, `after`, or `late`: what was on its way when its sender
gave up, and arrives when `deliver` is called. Only records, and calls of other machines, arrive late: what a machine
does locally dies with its daemon. A crash in the middle of what another machine does is that machine's.
"""

import asyncio
import copy
import shutil
import tempfile
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from daemon.booting import UNSEEN, Boot, Note
from daemon.bucket import Kv
from daemon.confidential import written
from daemon.engine import SOLE, Engine
from daemon.journal import Story, unanswered
from daemon.members import Members
from daemon.membership import Membership, alone
from daemon.node import ALONE, Node, Peers
from daemon.operations import Operations
from daemon.peers.calls import Call, said
from daemon.peers.others import ALONE as NOBODY
from daemon.peers.others import LineOthers
from daemon.peers.participant import Participant
from daemon.peers.questions import answers
from daemon.peers.remote import RemotePeers
from daemon.primitives import PRIMITIVES
from daemon.primitives.run import OneShot
from daemon.records import Claim, Cluster, Invitation, Machine, Namespace, Past, Registry, Reservation, Sealed
from daemon.serving import ServingPlane
from daemon.store import Store
from daemon.taking_over import Terms
from daemon.undertaking import Means
from daemon.wire import Event, How, Mutation, Refused, Run, Stuck, Success, TakenBack
from dataplane.dataset import ZfsProblem
from dataplane.entry import Entry, Moved, Sight, StoreDown
from dataplane.firewall import FirewallProblem
from dataplane.gateway import GatewayProblem
from dataplane.maps import Maps
from dataplane.names import NamesProblem
from dataplane.vault import VaultProblem
from runtime.command import CommandError
from runtime.instance import EngineProblem, Specification
from tests.fakes.engine import FakeEngine, Program, digest
from tests.fakes.host import FakeHost
from tests.fakes.kv import FakeKv
from tests.fakes.mesh import FakeMesh
from tests.fakes.moves import FakeMoves, FakeStores, Pointed
from tests.fakes.serving import FakeFirewall, FakeGateway, FakeNames
from tests.fakes.streams import FakeStreams
from tests.fakes.touch import Touch
from tests.fakes.transfers import FakeTransfers, Wires
from tests.fakes.vault import FakeVault
from tests.fakes.zfs import FakeZfs

T = TypeVar("T")
When = Literal["before", "after", "late"]
ROOT = "tank/ployz"
NOW = "2026-01-01T00:00:00.000Z"


STARTING = ("engine start", "engine stop", "zfs mount", "nft load")
"""What the start after a boot touches, on nobody's behalf."""


FOLLOWS = ("moves turn", "moves tidy", "mesh apply", "mesh dismiss")
"""What follows from a commit, however late it is heard of: each machine does what the records say then."""


class Crash(BaseException):
    """The power went out."""


class Failed(Exception):
    """A tool said no: in its own way, see SAID_NO."""


SAID_NO: dict[str, type[Exception]] = {
    "put": StoreDown,
    "zfs": ZfsProblem,
    "own": ZfsProblem,
    "engine": EngineProblem,
    "nft": FirewallProblem,
    "names": NamesProblem,
    "gateway": GatewayProblem,
    "vault": VaultProblem,
    "mesh": CommandError,
    "moves": CommandError,
}


@dataclass(frozen=True)
class Cut:
    """At the touch of this number (1 is the first), so, with this failure."""

    at: int
    when: When
    failure: type[BaseException]


class Halt:
    """Make whoever is the first to touch this (the beginning of its words) stay there until `go` is set."""

    def __init__(self, at: str) -> None:
        self.at, self.reached, self.go = at, asyncio.Event(), asyncio.Event()

    async def stay(self) -> None:
        self.reached.set()
        await self.go.wait()


@dataclass(frozen=True)
class Shared:
    """What all machines of a world have in common: the stores, and the wires between them."""

    stores: FakeStores
    wires: Wires


class Iron:
    """What survives a crash of one machine's daemon: its disk, pool, instances and serving plane."""

    def __init__(self, name: str, touch: Touch, shared: Shared, *, openzfs: bool) -> None:
        self.mesh = FakeMesh(alone(name, NOW, "0.1.0"), touch, away={"m9"})  # who is let in never comes
        self.participant: Participant | None = None
        self.disk = Path(tempfile.mkdtemp(prefix="law", dir="/dev/shm"))
        weakref.finalize(self, shutil.rmtree, self.disk, ignore_errors=True)
        (self.disk / "operations").mkdir()
        self.zfs = FakeZfs(ROOT, several=openzfs, touch=touch)
        self.zfs._made += 100_000 * int(self.number)  # no two machines give the same guid
        self.streams = FakeStreams(self.zfs, touch)
        self.transfers = FakeTransfers(self.zfs, touch, shared.wires)
        self.vault = FakeVault(touch, f"key of {name}")
        self.instances = FakeEngine(touch=touch, exists=self.is_there, machine=name)
        self._build()
        self.moves = FakeMoves(shared.stores, touch)
        self.firewall, self.names, self.gateway = FakeFirewall(touch), FakeNames(touch), FakeGateway(touch)

    def _build(self) -> None:
        """`web:of-m1` and `web:of-m2` were built on those machines, and no other has them."""
        for owner in ("m1", "m2"):
            image = f"web:of-{owner}"
            here = self.instances.built if owner == self.name else self.instances.unknown
            here |= {image} if owner == self.name else {image, digest(image)}

    @property
    def name(self) -> str:
        """Of the machine, in the cluster that it is of."""
        return self.mesh.membership.name

    @property
    def number(self) -> str:
        return self.name.removeprefix("m")

    @property
    def bucket(self) -> Kv:
        """The store, as this machine's daemon sees it."""
        return Pointed(self.moves)

    def copy_to(self, other: "Iron") -> None:
        shutil.copytree(self.disk, other.disk, dirs_exist_ok=True)
        other.zfs.kept = copy.deepcopy(self.zfs.kept)
        other.zfs._made = self.zfs._made
        other.mesh.membership, other.mesh.written = self.mesh.membership, self.mesh.written
        other.moves.at, other.moves.incarnation = self.moves.at, self.moves.incarnation
        other.moves.servers = dict(self.moves.servers)
        other.vault.shown, other.vault.by = copy.deepcopy(self.vault.shown), dict(self.vault.by)
        other.instances.instances = copy.deepcopy(self.instances.instances)
        other.instances.fetched, other.instances.unknown = set(self.instances.fetched), set(self.instances.unknown)
        other.instances.files = copy.deepcopy(self.instances.files)
        other.firewall.maps, other.names.hosts, other.gateway.loaded = (
            self.firewall.maps,
            dict(self.names.hosts),
            list(self.gateway.loaded),
        )

    def node(self, store: Store, plane: ServingPlane, peers: Peers) -> Node:
        subnet = f"10.210.{self.number}.0/24"
        parts = (self.zfs.datasets, self.instances, store, plane, self.streams, self.transfers, self.vault, FakeHost())
        members = Members(self.bucket)
        return Node(self.name, subnet, "10.210.224.0/19", *parts, members, self.mesh, self.moves, peers)

    def serves(self, store: Store) -> ServingPlane:
        return ServingPlane(self.firewall, self.names, self.gateway, store, self.disk / "serving")

    def is_there(self, path: str) -> bool:
        """A mounted generation, or an instance's secrets."""
        if path.startswith("/vault/"):
            return path.removeprefix("/vault/") in self.vault.shown
        name = path.removeprefix("/fake/")
        return name in self.zfs.kept and self.zfs.kept[name].mounted


@dataclass(frozen=True)
class Line:
    """The line between any two machines, when nothing is cut but the `parted` ones."""

    world: "World"

    async def ask(self, machine: str, what: str, question: bytes) -> bytes:
        if machine in self.world.parted or (machine, what) not in self.world.asked:
            raise _unreachable(machine)
        if self.world.doubled:
            await self.world.asked[machine, what](question)
        return await self.world.asked[machine, what](question)


@dataclass(frozen=True)
class Here:
    """The store, as m1 sees it: what it writes while it stands still arrives once it goes on."""

    world: "World"

    async def get(self, key: str) -> Entry | None:
        return await self.world.kv.get(key)

    async def put(self, key: str, value: bytes, revision: int) -> int:
        await self.world.stand_still()
        now = self.world.kv.entries.get(key)
        if (now.revision if now else 0) != revision:
            raise Moved(key)
        return await self.world.kv.put(key, value, revision)

    async def all(self, prefix: str) -> dict[str, Entry]:
        return await self.world.kv.all(prefix)

    def watch(self) -> AsyncGenerator[tuple[str, Entry] | Sight, None]:
        return self.world.kv.watch()


class Site(Iron):
    """Another machine, that does what the first one asks. `dead` while its daemon is."""

    def __init__(self, name: str, world: "World", *, openzfs: bool) -> None:
        super().__init__(name, partial(world.touch_at, self), world.shared, openzfs=openzfs)
        self.world, self.dead = world, False

    def wake(self) -> None:
        """Its daemon runs, and does what it is asked."""
        store = Store(self.bucket)
        self.dead, self.participant = False, participant(self.world, self, store, self.serves(store))

    async def answer(self, question: bytes) -> bytes:
        if self.dead or not self.participant:
            raise _unreachable(self.name)
        try:
            return await said(self.participant.do(msgspec.json.decode(question, type=Call)))
        except Crash:
            raise _unreachable(self.name) from None


class World(Iron):
    """The machine m1, whose daemon carries operations out; the store; and the other machines.

    `elsewhere` are records of machines that are none of them, and carry out operations of their own.
    """

    def __init__(self, name: str = "m1", *, openzfs: bool = False, machines: int = 1) -> None:
        self.stores = FakeStores({"": FakeKv(touch=self.touch)})
        self.elsewhere: list[FakeKv] = []
        self.shared = Shared(self.stores, Wires())
        super().__init__(name, self.touch_here, self.shared, openzfs=openzfs)
        self.sites = {name: Site(name, self, openzfs=openzfs) for name in [f"m{n}" for n in range(2, machines + 1)]}
        self.doubled = False
        self.daemons: dict[str, Operations] = {}
        self.parted: set[str] = set()
        self.asked: dict[tuple[str, str], Callable[[bytes], Awaitable[bytes]]] = {}
        self.stops_at, self.lost = 0, False
        self.stopped, self.go = asyncio.Event(), asyncio.Event()
        self.boot: Boot | None = None
        self.plane: ServingPlane | None = None
        self.held: set[str] = set()
        self.cut: Cut | None = None
        self.touches = 0
        self.dead = False
        self.late: list[Callable[[], Any]] = []
        self.was_late = False
        self.was_cut = 0
        self.arrives: int | None = None
        self.meanwhile: Callable[[int], None] = lambda touch: None
        self.halt: Halt | None = None
        self.wrongs: list[str] = []
        self.operations: Operations | None = None
        programs: dict[str | tuple[str, ...], Program] = {
            ("migrate",): Program(exits=0, on_run=self.migrate),
            ("scrub",): Program(exits=0, on_run=self.scrub),
            ("scrub-badly",): Program(exits=1, on_run=self.scrub),
            ("migrate-badly",): Program(exits=1, says="no such column", on_run=self.migrate),
            "db:666": Program(becomes_ready=False),
            ("db", "666"): Program(becomes_ready=False),
        }
        for iron in self.irons():
            iron.instances.programs |= programs
        self.instances.programs["db:never-on-m1"] = Program(becomes_ready=False)

    @property
    def kv(self) -> FakeKv:
        """The store that this machine goes by."""
        return self.stores.of(self.moves.at)

    @property
    def bucket(self) -> Kv:
        return Here(self)

    def copy(self) -> "World":
        """Another world that is the same just now."""
        other = World(self.name, openzfs=self.zfs.datasets.abilities.several_snapshots, machines=1 + len(self.sites))
        self.copy_to(other)
        for name, site in self.sites.items():
            site.copy_to(other.sites[name])
        other.stores.stores = {name: kv.copy(other.touch) for name, kv in self.stores.stores.items()}
        return other

    def close(self) -> None:
        """Nobody needs it any more; whatever is not closed goes with the process."""
        for iron in self.irons():
            shutil.rmtree(iron.disk)

    def listen(self, iron: Iron, operations: Operations) -> None:
        """What is asked of a machine is answered by these."""
        assert iron.participant
        self.asked |= {(iron.name, what): answer for what, answer in answers(iron.participant, operations).items()}

    async def give_up(self, machine: str, operation: str, term: int) -> None:
        if daemon := self.daemons.get(machine):
            await daemon.give_up(operation, term)

    def streams_of(self, name: str) -> FakeStreams:
        """Those of a machine, whoever passes them on; of one that is lost there are none to be had."""
        return next((one.streams for one in self.irons() if one.name == name), self.streams)

    def iron(self, name: str) -> Iron:
        """The machine of that name."""
        return next(one for one in self.irons() if one.name == name)

    def irons(self) -> list[Iron]:
        """All the machines."""
        return [self, *self.sites.values()]

    # ------------------------------------------------------------------------------------------- being cut

    async def touch(self, what: str, effect: Callable[[], T]) -> T:
        if self.dead:
            raise Crash(what)
        self.touches += 1
        self._witness(what)
        self.meanwhile(self.touches)
        if self.halt and what.startswith(self.halt.at):
            halt, self.halt = self.halt, None
            await halt.stay()
        if self.touches == self.arrives:
            self.deliver()
        if not self.cut or self.cut.at != self.touches:
            return effect()
        cut = self.cut
        self.was_cut += 1
        if cut.failure is asyncio.CancelledError:
            return await self._abort(effect, after=cut.when == "after")
        if cut.when == "after":
            effect()
        if cut.when == "late" and what.startswith("put"):
            self.late.append(effect)
            self.was_late = True
        self.dead = cut.failure is Crash
        failure = SAID_NO[what.split()[0]] if cut.failure is Failed else cut.failure
        raise failure(f"cut at touch {self.touches}: {what}")

    async def touch_here(self, what: str, effect: Callable[[], T]) -> T:
        """A touch of m1's own parts."""
        await self.stand_still()
        return await self.touch(what, effect)

    async def stand_still(self) -> None:
        """The daemon of m1 is stopped before its first touch from `stops_at` on, until `go`. `lost` is its power."""
        if self.stops_at and self.touches + 1 >= self.stops_at:
            self.stopped.set()
            await self.go.wait()
            self.stops_at = 0
        if self.lost:
            raise Crash("m1 was switched off")

    async def touch_at(self, site: Site, what: str, effect: Callable[[], T]) -> T:
        """A touch of another machine. That one lives on when the first one dies, and dies alone."""
        if site.dead:
            raise Crash(what)
        if self.dead:
            return effect()
        try:
            return await self.touch(what, effect)
        except Crash:
            self.dead, site.dead = False, True
            raise

    async def ask(self, machine: str, what: str, question: bytes) -> bytes:
        """The line of m1 to other machines: implements `daemon.peers.calls.Line`."""
        if what != "do":
            return await Line(self).ask(machine, what, question)
        if machine not in self.sites:
            raise _unreachable(machine)
        site = self.sites[machine]
        if self.dead:
            raise Crash(what)
        await self.stand_still()
        return await self.pass_on(self, partial(site.answer, question), _unreachable(machine))

    async def pass_on(
        self, asker: "World | Site", answer: Callable[[], Coroutine[Any, Any, bytes]], lost: Exception
    ) -> bytes:
        """A question that one machine asks another, which may be cut on its way, or its answer; who asked then fails by
        `lost`, or dies."""
        self.touches += 1
        if not self.cut or self.cut.at != self.touches:
            return await self._carry(answer)
        cut = self.cut
        self.was_cut += 1
        if cut.failure is asyncio.CancelledError:
            told = await self._carry(answer) if cut.when == "after" else b""
            await self._abort(lambda: None, after=True)
            return told or await self._carry(answer)
        if cut.when == "after":
            await self._carry(answer)
        if cut.when == "late":
            self.late.append(lambda: _now(answer()))
            self.was_late = True
        asker.dead = cut.failure is Crash
        raise Crash("cut as it asked") if asker.dead else lost

    async def _carry(self, answer: Callable[[], Coroutine[Any, Any, bytes]]) -> bytes:
        if self.doubled:
            await answer()
        return await answer()

    async def _abort(self, effect: Callable[[], T], *, after: bool) -> T:
        """What Ctrl-C does, at this very touch. Where it comes too late, nothing is cut."""
        if after:
            happened = effect()
        for running in [each for daemon in self.daemons.values() for each in daemon.running.values()]:
            if running.abortable and running.task:
                running.abort()
                for _ in range(5):
                    await asyncio.sleep(0)
        return happened if after else effect()

    def _witness(self, what: str) -> None:
        """Whoever changes more than its own claim and its own record has both, and wrote down which step it does."""
        own = what.startswith(("put namespaces.", "put cluster", "put operations.", "put registries."))
        own = own or what in FOLLOWS
        own = own or what == "moves unseal"  # before that nobody can write down anything
        if self.boot and self.boot.note.pending and what.startswith(STARTING):
            return
        if self.operations and not own and not any(self._is_entitled(story) for story in self._open()):
            self.wrongs.append(f"{what}: by nobody who has claim, record and journal for it")

    def _open(self) -> Iterator[Story]:
        """The operations that are not over: those that run, and those that are stuck, which hold their claims."""
        running = (each.story for daemon in self.daemons.values() for each in daemon.running.values())
        yield from (story for story in running if story)
        for daemon in self.daemons.values():
            yield from unanswered(daemon.means.folder)

    def _is_entitled(self, story: Story) -> bool:
        """To undo takes no record: one that was cut before it had any has nothing to undo."""
        last = {event.step: event.kind for event in story.events}
        if not {"doing", "undoing", "committing"} & set(last.values()):
            return False
        records = [self.kv, *self.elsewhere]
        recorded = "undoing" in last.values() or any(f"operations.{story.operation}" in kv.entries for kv in records)
        return recorded and (any(story.operation in holders(kv) for kv in records) or not story.heading.claims)

    def holders(self) -> list[str]:
        """The operations that have claims."""
        return holders(self.kv)

    def deliver(self) -> None:
        """What was on its way arrives, long after its sender gave it up."""
        for effect in self.late:
            with suppress(Exception):
                effect()
        self.late.clear()

    def come_back(self) -> None:
        """Every other machine that lives looks for the store by itself, and removes what it has of others."""
        for site in self.sites.values():
            self.look_for_store(site)

    def look_for_store(self, iron: Iron) -> None:
        """What a machine that was away does: it goes by the newest store that anybody goes by."""
        newest = max(self.irons(), key=lambda iron: iron.moves.incarnation).moves
        cluster = msgspec.json.decode(self.stores.of(newest.at).entries["cluster"].value, type=Cluster)
        iron.moves.at, iron.moves.incarnation = newest.at, newest.incarnation
        if not cluster.closed:
            iron.moves.servers = {newest.at: newest.incarnation}

    def catch_up(self) -> None:
        """Every other machine that lives serves what was committed, as `daemon.catching_up` has it do."""
        self.operations = None
        asyncio.run(self._catch_up())

    async def _catch_up(self) -> None:
        for site in (site for site in self.sites.values() if not site.dead):
            await site.serves(Store(site.bucket)).apply()

    def power_cut(self) -> None:
        """All processes end, and what is in memory is gone; then the engine starts, and what it starts by itself."""
        (self.disk / "memory").unlink(missing_ok=True)
        for kept in self.zfs.kept.values():
            kept.mounted = False
        for instance in self.instances.instances.values():
            if instance.up:
                instance.status, instance.last_exit = "stopped", UNSEEN
                if instance.specification.survives and not instance.specification.mounts:
                    instance.status = "running"
        self.firewall.maps = Maps()

    # ---------------------------------------------------------------------------------- what the programs do

    def write_row(self, row: str) -> None:
        """The database writes, as acknowledged to a client."""
        for iron in self.irons():
            for path in iron.instances.writers():
                iron.zfs.write(path.removeprefix("/fake/"), row, b"committed")

    def migrate(self, hook: Specification) -> None:
        """The hook alters the schema of whom it reaches: the candidate, as long as its machine has the view."""
        [here] = [iron for iron in self.irons() if hook.id in iron.instances.instances]
        operation = here.instances.instances[hook.id].by
        in_view = (here.disk / "serving" / f"{operation}.view").exists()
        for iron in self.irons():
            for path in iron.instances.writers():
                *_, volume, generation = path.split("/")
                if volume == "data" and (generation == operation or not in_view):
                    iron.zfs.write(path.removeprefix("/fake/"), "schema", b"new")

    def scrub(self, hook: Specification) -> None:
        """The hook reaches the candidate of its own namespace, and overwrites what is personal."""
        for iron in self.irons():
            for path in iron.instances.writers():
                if f"/{hook.labels['ployz.namespace']}/" in path:
                    iron.zfs.write(path.removeprefix("/fake/"), "row", b"scrubbed")


Ending = Literal["done", "refused", "taken back", "stuck", "crashed"]
ENDINGS: dict[type[BaseException], Ending] = {
    Refused: "refused",
    TakenBack: "taken back",
    Stuck: "stuck",
    Crash: "crashed",
}


def boot(world: World) -> Operations:
    """Start the daemon anew on what the world holds."""
    world.dead = False
    world.mesh.start()
    store = Store(world.bucket)
    world.plane = plane = world.serves(store)
    records = {name: _record(name) for name in (world.name, *world.sites)}
    node = world.node(store, plane, RemotePeers(world, lambda: records, lambda: node, world.streams_of))
    for site in world.sites.values():
        site.wake()
    world.boot = Boot(node, world.disk / "memory", partial(lead_to, world))
    if world.sites:
        world.participant = participant(world, world, store, plane)
    world.operations = world.daemons[world.name] = _operations(world, world, node, world.boot)
    for iron in world.irons() if world.sites else ():
        world.listen(iron, world.operations)
    return world.operations


def participant(world: World, iron: Iron, store: Store, plane: ServingPlane) -> Participant:
    """What a machine does for others."""
    give_up = partial(world.give_up, iron.name)
    return Participant(iron.node(store, plane, ALONE), iron.disk / "asked", store.ended_in, give_up)


def boot_at(world: World, name: str) -> Operations:
    """Start the daemon of another machine, that carries out operations too."""
    site, line = world.sites[name], Line(world)
    store = Store(site.bucket)
    records = {name: _record(name) for name in (world.name, *world.sites)}
    node = site.node(store, site.serves(store), RemotePeers(line, lambda: records, lambda: node, world.streams_of))
    world.daemons[name] = operations = _operations(world, site, node, Boot(node, site.disk / "memory", _held_nobody))
    world.listen(site, operations)
    return operations


def boot_alone(world: World, iron: Iron) -> Operations:
    """Start the daemon of a machine that is none of this world's."""
    store = Store(iron.bucket)
    node = iron.node(store, iron.serves(store), ALONE)
    boot = Boot(node, iron.disk / "memory", _held_nobody)
    world.daemons[iron.name] = operations = _operations(world, iron, node, boot)
    return operations


def _operations(world: World, iron: Iron, node: Node, boot: Boot) -> Operations:
    others = LineOthers(Line(world), lambda: (world.name, *world.sites))
    store = Store(iron.bucket)
    standing = Terms(store, iron.participant) if iron.participant else SOLE
    means = Means(
        iron.disk / "operations",
        Engine(node, patience=(), decided=boot.start, standing=standing),
        store,
        PRIMITIVES,
        lambda: NOW,
        partial(written, fingerprint=iron.vault.fingerprint),
        others if iron.participant else NOBODY,
    )
    return Operations(means)


async def _held_nobody(_: Collection[str]) -> None:
    return


async def lead_to(world: World, instances: Collection[str]) -> None:
    """Who was held back is not any more; in this world whatever runs is ready."""
    assert world.plane
    world.held -= set(instances)
    await world.plane.mark_down(world.held)


def holders(kv: FakeKv) -> list[str]:
    """The operations that have claims in these records."""
    return [claim.operation for key, entry in kv.entries.items() for claim in _claims(key, entry.value)]


def _claims(key: str, value: bytes) -> tuple[Claim, ...]:
    if key.startswith("namespaces."):
        return msgspec.json.decode(value, type=Namespace).claims
    return msgspec.json.decode(value, type=Cluster).claims if key == "cluster" else ()


def _unreachable(machine: str) -> Refused:
    return Refused("machine.unreachable", f"cannot ask {machine}", "nothing was heard from it for 7 seconds")


def _now(effort: Coroutine[Any, Any, bytes]) -> None:
    """Whatever comes of it: nobody waits for it any more."""
    try:
        task = asyncio.get_running_loop().create_task(effort)
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
    except RuntimeError:
        asyncio.run(effort)


def _record(name: str) -> Machine:
    number = name.removeprefix("m")
    subnet = f"10.210.{number}"
    where = f"192.0.2.{number}:51820"
    return Machine(
        number, name, f"{subnet}.0/24", f"{subnet}.1", NOW, "0", root=ROOT, endpoint=where, recipient=f"key of {name}"
    )


def founded(name: str = "m1", *, openzfs: bool = False, machines: int = 1) -> World:
    """Machines that are one cluster, and nothing else. `name` is that of the first."""
    world = World(name, openzfs=openzfs, machines=machines)
    for iron in world.irons():
        (iron.disk / "memory").write_bytes(msgspec.json.encode(Note((), {})))
    cluster = Cluster(name=name, cidr="10.210.0.0/16", incarnation=1, founded_at=NOW, mesh=machines > 1, store=(name,))
    for each in (name, *world.sites):
        asyncio.run(Store(world.kv).found(cluster, _record(each)))
    return world


def ask(world: World, request: Mutation, id: str) -> Ending:
    """Have a request carried out by a freshly started daemon, and say how it ended."""

    async def asked() -> Success:
        return await boot(world).mutate(request, How(op_id=id), "uid 0", ignore)

    return _ended(world, asked())


def run(world: World, request: Run) -> Ending:
    """Have a command run in an instance of its own, and say how that ended."""

    async def use(plan: OneShot) -> dict[str, int]:
        await world.instances.start(plan.specification.id)
        return {"code": 0}

    async def asked() -> Success:
        return await boot(world).pass_by(request, "uid 0", use)

    return _ended(world, asked())


def restart(world: World, id: str) -> Ending:
    """What happens when ployzd starts again: all that is open is resolved. How the operation ends."""

    async def started() -> Success:
        return await (await start(world)).resume(id, ignore)

    return _ended(world, started())


async def start(world: World) -> Operations:
    """The first machine's daemon anew, with all that was open resolved as far as that can be."""
    operations = boot(world)
    assert world.boot
    assert world.plane
    world.held = set(await world.boot.begin())
    if world.held:
        await world.plane.mark_down(world.held)
    await operations.bring_to_an_end()
    await world.boot.start_all_but(operations.undecided())
    await at_rest(operations)
    return operations


async def at_rest(*daemons: Operations) -> None:
    """Wait until nothing is under way there."""
    tasks = [each.task for daemon in daemons for each in daemon.running.values() if each.task]
    await asyncio.gather(*tasks, return_exceptions=True)


def _ended(world: World, effort: Coroutine[Any, Any, Success]) -> Ending:
    ending: Ending = "done"
    try:
        asyncio.run(effort)
    except tuple(ENDINGS) as problem:
        ending = ENDINGS[type(problem)]
    return "crashed" if world.dead else ending


def ignore(event: Event) -> None:
    """Nobody listens."""


def seen(world: World, by: Iron | None = None) -> dict[str, Any]:
    """All that anybody could notice: where two of these are the same, so are the worlds. Records are those of the store
    that a machine goes by."""
    return {"records": records_of(world, world.stores.of((by or world).moves.at))} | {
        f"{what} of {iron.name}": found for iron in world.irons() for what, found in seen_of(iron).items()
    }


def seen_of(iron: Iron) -> dict[str, Any]:
    return {
        "datasets": {name: _dataset(iron, name) for name in sorted(iron.zfs.kept)},
        "instances": iron.instances.seen(),
        "addresses": iron.firewall.maps,
        "names": iron.names.hosts,
        "routes": iron.gateway.loaded,
        "shown": copy.deepcopy(iron.vault.shown),
        "store": (iron.moves.at, dict(iron.moves.servers)),
        "mesh": _place(iron.mesh.membership),
        "views": sorted(file.name for file in iron.disk.glob("serving/*.view")),
    }


def _place(membership: Membership) -> tuple[str, bool, str, str]:
    """What a machine is, as it was told: of which cluster, whether that is a mesh, and where it is in it."""
    return membership.cluster.name, membership.cluster.mesh, membership.name, membership.here.subnet


def _dataset(iron: Iron, name: str) -> tuple[Any, ...]:
    kept = iron.zfs.kept[name]
    return kept.content, kept.marks, kept.origin, kept.mounted


def records_of(world: World, kv: FakeKv) -> dict[str, Any]:
    """The records, without what only tells how they came about: revisions, settlings, operations, what is free."""
    found: dict[str, Any] = {}
    pools = [iron.zfs.kept for iron in world.irons()]
    guids = {kept.guid: name.rpartition("@")[2] for pool in pools for name, kept in pool.items()}
    for key, entry in kv.entries.items():
        if key.startswith("namespaces."):
            record = msgspec.json.decode(entry.value, type=Namespace)
            if record.head or record.claims or record.secrets:
                found[key] = (record.head, record.claims, record.secrets)
        elif key.startswith("reserved."):
            if (held := msgspec.json.decode(entry.value, type=Reservation)).operation:
                found[key] = held.namespace
        elif key.startswith("registries."):
            if (registry := msgspec.json.decode(entry.value, type=Registry)).user:
                found[key] = msgspec.structs.replace(registry, settled="")
        elif key.startswith("secrets."):
            if (sealed := msgspec.json.decode(entry.value, type=Sealed)).ciphertext:
                found[key] = sealed
        elif key == "cluster":
            cluster = msgspec.json.decode(entry.value, type=Cluster)
            found[key] = msgspec.structs.replace(cluster, by="", settled=None)
        elif key.startswith("machines."):
            if (machine := msgspec.json.decode(entry.value, type=Machine)).state != "removed":
                found[key] = msgspec.structs.replace(machine, settled=None)
        elif key.startswith("invitations."):
            if not (invitation := msgspec.json.decode(entry.value, type=Invitation)).revoked:
                found[key] = invitation
        elif key.startswith("deploys."):
            past = msgspec.json.decode(entry.value, type=Past)
            named = past.point.data if past.point else past.data
            data = [(item.volume, guids.get(item.guid)) for item in named]
            found[key] = (past.point.head if past.point else past.forgotten_by, data)
    return found
