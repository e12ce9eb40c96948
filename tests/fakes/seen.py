"""What a daemon looks at: records, an engine with logs and commands, and a pool, all in memory."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from daemon import manifest
from daemon.logs import Line, unix
from daemon.planning import Seen, SeenMachine
from daemon.records import Cluster, DeployPoint, Head, Machine, Namespace, Registry, Running, Sealed, Service
from daemon.sites import Equipment, Site, Sites, Told
from daemon.wire import MachineCapacity, MachineRuntime, OperationRow, RttRow
from dataplane.dataset import Dataset, Space, ZfsProblem
from runtime.instance import Condition, EngineProblem, Status

AT = "2030-01-01T00:00:00Z"


def alone(up: Collection[str], taken: Mapping[str, Mapping[str, str]], listening: Collection[int] = ()) -> Seen:
    """A cluster of one machine, as a plan sees it."""
    machine = Machine("id", "m1", "10.210.1.0/24", "10.210.1.1", AT, "0.1.0")
    there = SeenMachine(machine, "tank", frozenset(up), listening=frozenset(listening))
    none: dict[str, dict[str, str]] = {"address": {}, "service": {}, "hostname": {}, "port": {}}
    return Seen("m1", {"m1": there}, "10.210.224.0/19", none | {**taken})


def head(namespace: str, deploy: int, *services: Service) -> Head:
    named = {one.name: one for one in services}
    text = f'namespace = "{namespace}" # {deploy}\n'
    return Head(namespace, deploy, f"op-{deploy}", AT, "ann", text, named, {})


def service(name: str, *ids: str, routes: tuple[str, ...] = ()) -> Service:
    running = tuple(Running(id, "m1", f"10.210.0.{at + 2}", "op-1") for at, id in enumerate(ids))
    return Service(name, manifest.Service(f"{name}:1"), f"{name}:1", "sha256:ab", "x", None, (), routes, running)


def condition(id: str, status: Status = "running", *, restarts: int = 0, last_exit: int | None = None) -> Condition:
    return Condition(id, status, {}, None, "image", "sha256:ab", AT, restarts, last_exit)


@dataclass
class SeenMirror:
    records: dict[str, Namespace] = field(default_factory=dict)
    history: list[DeployPoint] = field(default_factory=list)
    sealed: dict[tuple[str, int], Sealed] = field(default_factory=dict)
    stale_since: str | None = None

    def cluster(self) -> Cluster | None:
        return Cluster("dev", "10.210.0.0/16", 1, AT, store=("m1",))

    def machines(self) -> dict[str, Machine]:
        return {"m1": Machine("id", "m1", "10.210.0.0/24", "10.210.0.1", AT, "0.1.0")}

    def namespaces(self) -> dict[str, Namespace]:
        return self.records

    def registries(self) -> dict[str, Registry]:
        return {}

    def secrets(self, namespace: str) -> dict[tuple[str, int], Sealed]:
        return self.sealed

    def points(self, namespace: str) -> list[DeployPoint]:
        return [point for point in self.history if point.head.namespace == namespace]


class Shout:
    """A command that says in capitals what it reads, and on stderr what else happens to it."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[tuple[Literal["stdout", "stderr"], bytes] | None] = asyncio.Queue()
        self.closed = False

    async def write(self, data: bytes) -> None:
        if data == b"break":
            raise EngineProblem("the pipe is gone")
        self._said.put_nowait(("stdout", data.upper()))

    async def end(self) -> None:
        self._said.put_nowait(("stderr", b"end"))
        self._said.put_nowait(None)

    async def resize(self, rows: int, columns: int) -> None:
        self._said.put_nowait(("stderr", f"{rows}x{columns}".encode()))

    async def __aiter__(self) -> AsyncGenerator[tuple[Literal["stdout", "stderr"], bytes], None]:
        while (said := await self._said.get()) is not None:
            yield said

    async def code(self) -> int:
        return 7

    async def close(self) -> None:
        self.closed = True


class SeenEngine:
    """`lines` are what instances wrote so far; those that `write` adds reach whoever follows, until `stop`."""

    def __init__(self, *conditions: Condition) -> None:
        self.conditions = conditions
        self.lines: dict[str, list[Line]] = {}
        self.problem: EngineProblem | None = None
        self.sessions: list[tuple[str, list[str], bool, int, int, Shout]] = []
        self.readers = 0
        self._changed = asyncio.Condition()
        self._stopped: set[str] = set()
        self._broken: EngineProblem | None = None
        self._followers = 0

    async def all(self) -> list[Condition]:
        if self.problem:
            raise self.problem
        return list(self.conditions)

    async def write(self, id: str, at: str, said: bytes) -> None:
        async with self._changed:
            self.lines.setdefault(id, []).append(("stdout", at, said))
            self._changed.notify_all()

    async def fail(self, problem: EngineProblem) -> None:
        """Whoever follows is told of a problem instead."""
        async with self._changed:
            self._broken = problem
            self._changed.notify_all()

    async def followed_by(self, followers: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._followers == followers)

    async def stop(self, id: str) -> None:
        async with self._changed:
            self._stopped.add(id)
            self._changed.notify_all()

    async def logs(
        self, id: str, *, follow: bool = False, since: float | None = None, tail: int | None = None
    ) -> AsyncGenerator[Line, None]:
        self.readers += 1
        try:
            kept = self.lines.setdefault(id, [])
            past = [line for line in kept if since is None or unix(datetime.fromisoformat(line[1])) >= since]
            told = len(kept)
            for line in past if tail is None else past[len(past) - min(tail, len(past)) :]:
                yield line
            while follow and (more := await self._more(id, told)):
                for line in more:
                    yield line
                told += len(more)
        finally:
            self.readers -= 1

    async def _more(self, id: str, told: int) -> list[Line]:
        async with self._changed:
            self._followers += 1
            self._changed.notify_all()
            await self._changed.wait_for(lambda: len(self.lines[id]) > told or id in self._stopped or self._broken)
            self._followers -= 1
            if self._broken:
                raise self._broken
            return self.lines[id][told:]

    async def open_exec(
        self, id: str, argv: Sequence[str], *, tty: bool = False, rows: int = 24, columns: int = 80
    ) -> Shout:
        session = Shout()
        self.sessions.append((id, list(argv), tty, rows, columns, session))
        return session

    async def begin(self, id: str, *, tty: bool = False, rows: int = 24, columns: int = 80) -> Shout:
        return await self.open_exec(id, [], tty=tty, rows=rows, columns=columns)


CAPACITY = MachineCapacity(4, 8 << 30, 3 << 30)
RUNTIME = MachineRuntime("docker", "26.1.5", "overlay2", [])


@dataclass(frozen=True)
class SeenDaemon:
    """Tells what `tell` does, and of a machine that is 1 ms from all `others`."""

    machine: str
    tell: Callable[[], Coroutine[Any, Any, Told]]
    others: tuple[str, ...] = ()

    async def equipment(self) -> Equipment:
        await self.tell()
        return Equipment(CAPACITY, RUNTIME)

    async def rtts(self) -> list[RttRow]:
        await self.tell()
        return [RttRow(self.machine, other, 1.0, 0.5) for other in self.others if other != self.machine]


def one_site(engine: "SeenEngine | None" = None, pool: "SeenPool | None" = None, *running: OperationRow) -> Sites:
    """This machine alone; what runs on it, and what its daemon tells."""

    async def tell() -> Told:
        return Told(list(running))

    return Sites(Site("m1", engine or SeenEngine(), pool or SeenPool(), SeenDaemon("m1", tell)))


@dataclass
class SeenPool:
    used: int = 10
    size: int = 100
    problem: ZfsProblem | None = None
    root: str = "tank"
    datasets: list[Dataset] = field(default_factory=list)

    async def below(self, name: str) -> list[Dataset]:
        if self.problem:
            raise self.problem
        return [dataset for dataset in self.datasets if dataset.name.startswith((f"{name}/", f"{name}@"))]

    async def space(self) -> Space:
        if self.problem:
            raise self.problem
        return Space(self.used, self.size)
