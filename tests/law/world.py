"""A whole machine in memory, under the real engine, store, journal and serving plane; it can be cut at any touch.

`cut` says at which touch, and how: `before` it takes effect, `after`, or `late`: a write that was on its way when
its sender gave up, and arrives when `deliver` is called. Only records arrive late: what a machine does locally
dies with its daemon.
"""

import asyncio
import copy
import shutil
import tempfile
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from daemon.booting import UNSEEN, Boot, Note
from daemon.confidential import written
from daemon.engine import Engine
from daemon.journal import Story
from daemon.node import Node
from daemon.operations import Operations
from daemon.primitives import PRIMITIVES
from daemon.primitives.run import OneShot
from daemon.records import Cluster, Machine, Namespace, Past, Registry, Reservation, Sealed
from daemon.serving import ServingPlane
from daemon.store import Store
from daemon.undertaking import Means
from daemon.wire import Event, How, Mutation, Refused, Run, Stuck, Success, TakenBack
from dataplane.dataset import ZfsProblem
from dataplane.entry import StoreDown
from dataplane.firewall import FirewallProblem
from dataplane.gateway import GatewayProblem
from dataplane.maps import Maps
from dataplane.names import NamesProblem
from dataplane.vault import VaultProblem
from runtime.instance import EngineProblem, Specification
from tests.fakes.engine import FakeEngine, Program
from tests.fakes.kv import FakeKv
from tests.fakes.serving import FakeFirewall, FakeGateway, FakeNames
from tests.fakes.streams import FakeStreams
from tests.fakes.vault import FakeVault
from tests.fakes.zfs import FakeZfs

T = TypeVar("T")
When = Literal["before", "after", "late"]
ROOT = "tank/ployz"
NOW = "2026-01-01T00:00:00.000Z"


STARTING = ("engine start", "engine stop", "zfs mount", "nft load")
"""What the start after a boot touches, on nobody's behalf."""


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


class World:
    """What survives a crash: the disk, the pool, the engine's instances, the store, the serving plane."""

    def __init__(self, *, openzfs: bool = False) -> None:
        self.disk = Path(tempfile.mkdtemp(prefix="law", dir="/dev/shm"))
        weakref.finalize(self, shutil.rmtree, self.disk, ignore_errors=True)
        (self.disk / "operations").mkdir()
        self.boot: Boot | None = None
        self.plane: ServingPlane | None = None
        self.cut: Cut | None = None
        self.touches = 0
        self.dead = False
        self.late: list[Callable[[], Any]] = []
        self.was_late = False
        self.arrives: int | None = None
        self.meanwhile: Callable[[int], None] = lambda touch: None
        self.halt: Halt | None = None
        self.wrongs: list[str] = []
        self.operations: Operations | None = None
        self.zfs = FakeZfs(ROOT, several=openzfs, touch=self.touch)
        self.streams = FakeStreams(self.zfs, self.touch)
        self.vault = FakeVault(self.touch)
        self.instances = FakeEngine(touch=self.touch, exists=self.is_there)
        self.kv = FakeKv(touch=self.touch)
        self.firewall = FakeFirewall(self.touch)
        self.names = FakeNames(self.touch)
        self.gateway = FakeGateway(self.touch)
        self.instances.programs |= {
            ("migrate",): Program(exits=0, on_run=lambda _: self.migrate()),
            ("scrub",): Program(exits=0, on_run=self.scrub),
            ("scrub-badly",): Program(exits=1, on_run=self.scrub),
            ("migrate-badly",): Program(exits=1, says="no such column", on_run=lambda _: self.migrate()),
            "db:666": Program(becomes_ready=False),
            ("db", "666"): Program(becomes_ready=False),
        }

    def copy(self) -> "World":
        """Another world that is the same just now."""
        other = World(openzfs=self.zfs.datasets.abilities.several_snapshots)
        shutil.copytree(self.disk, other.disk, dirs_exist_ok=True)
        other.zfs.kept = copy.deepcopy(self.zfs.kept)
        other.zfs._made = self.zfs._made
        other.vault.shown, other.vault.by = copy.deepcopy(self.vault.shown), dict(self.vault.by)
        other.instances.instances = copy.deepcopy(self.instances.instances)
        other.instances.files = copy.deepcopy(self.instances.files)
        other.kv.entries, other.kv.revision = dict(self.kv.entries), self.kv.revision
        other.firewall.maps, other.names.hosts, other.gateway.loaded = (
            self.firewall.maps,
            dict(self.names.hosts),
            list(self.gateway.loaded),
        )
        return other

    def close(self) -> None:
        """Nobody needs it any more; whatever is not closed goes with the process."""
        shutil.rmtree(self.disk)

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

    async def _abort(self, effect: Callable[[], T], *, after: bool) -> T:
        """What Ctrl-C does, at this very touch. Where it comes too late, nothing is cut."""
        assert self.operations
        if after:
            happened = effect()
        for running in list(self.operations.running.values()):
            if running.abortable and running.task:
                running.abort()
                for _ in range(5):
                    await asyncio.sleep(0)
        return happened if after else effect()

    def _witness(self, what: str) -> None:
        """Whoever changes more than its own claim and its own record has both, and wrote down which step it does."""
        own = what.startswith(("put namespaces.", "put operations.", "put registries."))
        if self.boot and self.boot.note.pending and what.startswith(STARTING):
            return
        running = list(self.operations.running.values()) if self.operations else []
        if self.operations and not own and not any(self._is_entitled(each.story) for each in running):
            self.wrongs.append(f"{what}: by nobody who has claim, record and journal for it")

    def _is_entitled(self, story: Story | None) -> bool:
        """To undo takes no record: one that was cut before it had any has nothing to undo."""
        last = {event.step: event.kind for event in story.events} if story else {}
        if not story or not {"doing", "undoing"} & set(last.values()):
            return False
        recorded = "undoing" in last.values() or f"operations.{story.operation}" in self.kv.entries
        return recorded and (story.operation in self.holders() or not story.heading.claims)

    def holders(self) -> list[str]:
        """The operations that have claims."""
        claimed = [entry for key, entry in self.kv.entries.items() if key.startswith("namespaces.")]
        claims = [claim for entry in claimed for claim in msgspec.json.decode(entry.value, type=Namespace).claims]
        return [claim.operation for claim in claims]

    def deliver(self) -> None:
        """What was on its way arrives, long after its sender gave it up."""
        for effect in self.late:
            with suppress(Exception):
                effect()
        self.late.clear()

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

    def is_there(self, path: str) -> bool:
        """A mounted generation, or an instance's secrets."""
        if path.startswith("/vault/"):
            return path.removeprefix("/vault/") in self.vault.shown
        name = path.removeprefix("/fake/")
        return name in self.zfs.kept and self.zfs.kept[name].mounted

    def write_row(self, row: str) -> None:
        """The database writes, as acknowledged to a client."""
        for path in self.instances.writers():
            self.zfs.write(path.removeprefix("/fake/"), row, b"committed")

    def migrate(self) -> None:
        """The hook reaches the candidate through the view, and alters its schema."""
        [path] = self.instances.writers()
        self.zfs.write(path.removeprefix("/fake/"), "schema", b"new")

    def scrub(self, hook: Specification) -> None:
        """The hook reaches the candidate of its own namespace, and overwrites what is personal."""
        for path in self.instances.writers():
            if f"/{hook.labels['ployz.namespace']}/" in path:
                self.zfs.write(path.removeprefix("/fake/"), "row", b"scrubbed")


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
    store = Store(world.kv)
    world.plane = plane = ServingPlane(world.firewall, world.names, world.gateway, store, world.disk / "serving")
    datasets = world.zfs.datasets
    node = Node(
        "m1", "10.210.1.0/24", "10.210.224.0/19", datasets, world.instances, store, plane, world.streams, world.vault
    )
    world.boot = Boot(node, world.disk / "memory")
    engine = Engine(node, patience=(), decided=world.boot.start)
    means = Means(
        world.disk / "operations",
        engine,
        store,
        PRIMITIVES,
        lambda: NOW,
        partial(written, fingerprint=world.vault.fingerprint),
    )
    world.operations = Operations(means)
    return world.operations


def founded(*, openzfs: bool = False) -> World:
    """A machine that has founded its cluster, and nothing else."""
    world = World(openzfs=openzfs)
    (world.disk / "memory").write_bytes(msgspec.json.encode(Note((), {})))
    now = "2026-01-01T00:00:00.000Z"
    cluster = Cluster(name="m1", cidr="10.210.0.0/16", incarnation=1, founded_at=now)
    machine = Machine(id="1", name="m1", subnet="10.210.1.0/24", overlay_ip="10.210.1.1", created_at=now, version="0")
    asyncio.run(Store(world.kv).found(cluster, machine))
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
        operations = boot(world)
        assert world.boot
        assert world.plane
        await world.boot.begin()
        if world.boot.note.pending:
            await world.plane.apply()
        await operations.bring_to_an_end()
        await world.boot.start_all_but(operations.undecided())
        await asyncio.gather(*(u.task for u in list(operations.running.values()) if u.task), return_exceptions=True)
        return await operations.resume(id, ignore)

    return _ended(world, started())


def _ended(world: World, effort: Coroutine[Any, Any, Success]) -> Ending:
    ending: Ending = "done"
    try:
        asyncio.run(effort)
    except tuple(ENDINGS) as problem:
        ending = ENDINGS[type(problem)]
    return "crashed" if world.dead else ending


def ignore(event: Event) -> None:
    """Nobody listens."""


def seen(world: World) -> dict[str, Any]:
    """All that anybody could notice: where two of these are the same, so are the worlds."""
    return {
        "datasets": {name: _dataset(world, name) for name in sorted(world.zfs.kept)},
        "instances": world.instances.seen(),
        "records": _records(world),
        "addresses": world.firewall.maps,
        "names": world.names.hosts,
        "routes": world.gateway.loaded,
        "shown": copy.deepcopy(world.vault.shown),
        "views": sorted(file.name for file in world.disk.glob("serving/*.view")),
    }


def _dataset(world: World, name: str) -> tuple[Any, ...]:
    kept = world.zfs.kept[name]
    return kept.content, kept.marks, kept.origin, kept.mounted


def _records(world: World) -> dict[str, Any]:
    """The records, without what only tells how they came about: revisions, settlings, operations, what is free."""
    found: dict[str, Any] = {}
    guids = {kept.guid: name.rpartition("@")[2] for name, kept in world.zfs.kept.items()}
    for key, entry in world.kv.entries.items():
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
        elif key.startswith("deploys."):
            past = msgspec.json.decode(entry.value, type=Past)
            named = past.point.data if past.point else past.data
            data = [(item.volume, guids.get(item.guid)) for item in named]
            found[key] = (past.point.head if past.point else past.forgotten_by, data)
    return found
