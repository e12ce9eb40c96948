"""What can be seen: the records as this machine's mirror has them, beside what its engine and pool say just now."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from daemon import logs, rows, wire
from daemon.executing import Executes, execute
from daemon.finding import Mirror, heads, namespace, service
from daemon.records import Head, Machine, Namespace
from daemon.server import Emit
from daemon.wire import (
    ClusterStatus,
    Exec,
    Export,
    History,
    HistoryShow,
    Input,
    Logs,
    MachineStatus,
    OperationRow,
    PoolStatus,
    Ps,
    Refused,
    RegistryLs,
    SecretLs,
    Status,
    Success,
    Version,
)
from dataplane.dataset import Space, ZfsProblem
from runtime.instance import Condition, EngineProblem, EngineUnavailable

Looked = Status | Ps | Logs | History | HistoryShow | Export | SecretLs | RegistryLs | Version


class Engine(logs.Logged, Executes, Protocol):
    """The engine of this machine. Raises instance.EngineProblem."""

    async def all(self) -> list[Condition]: ...


class Pool(Protocol):
    """The pool of this machine. Raises dataset.ZfsProblem."""

    async def space(self) -> Space: ...


@dataclass(frozen=True)
class Looking:
    """Answers what changes nothing, and Exec. `about` is what `version` tells of this daemon; `running` tells the
    operations that are not over.
    """

    machine: str
    mirror: Mirror
    engine: Engine
    pool: Pool
    running: Callable[[], Awaitable[list[OperationRow]]]
    about: Mapping[str, Any] = field(default_factory=dict)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def look(self, request: Looked, emit: Emit) -> Success:
        """Raises Refused namespace.missing, service.missing, deploy.missing, instance.missing, engine.*, logs.*."""
        match request:
            case Status():
                return await self._status()
            case Ps(namespace=name):
                return await self._ps(name)
            case Logs():
                return await self._logs(request, emit)
            case History(namespace=name):
                return self._told("deploys", {"deploys": self._deploys(name, f"show the history of {name}")})
            case HistoryShow(namespace=name, deploy=number):
                return self._history_show(name, number)
            case Export(namespace=name):
                return self._told("manifest", {"manifest": self._head(name, f"export {name}").manifest})
            case SecretLs(namespace=name):
                return self._secrets(name)
            case RegistryLs():
                return self._told("registries", {"registries": rows.registries(self.mirror.registries())})
            case Version():
                return self._told("version", {**self.about, "machine": self.machine, "protocol": wire.VERSION})

    async def exec(self, request: Exec, inputs: AsyncIterator[Input], emit: Emit) -> Success:
        """Run the command in the first running instance of the service. Raises Refused as `look` does."""
        cannot = f"run {request.argv[0] if request.argv else 'nothing'} in {request.namespace}/{request.service}"
        if not request.argv:
            raise Refused("exec.empty", f"cannot {cannot}", "there is no command", "-- COMMAND ARGUMENTS")
        committed = service(self.mirror, request.namespace, request.service, cannot).instances
        with _engine_asked(cannot):
            up = {found.id for found in await self.engine.all() if found.status == "running"}
            ids = [running.id for running in committed if running.id in up]
            if not ids:
                raise _no_instance(cannot, "runs", request.namespace)
            code = await execute(self.engine, ids[0], request, inputs, emit)
        return self._told("executed", {"code": code})

    async def _status(self) -> Success:
        (conditions, engine), (pools, pool), operations = await asyncio.gather(
            self._conditions(), self._pools(), self.running()
        )
        all_heads = heads(self.mirror).values()
        seen = rows.instances(all_heads, conditions)
        status = ClusterStatus(
            machines=[self._machine(one) for _, one in sorted(self.mirror.machines().items())],
            store=self._store(),
            namespaces=[rows.namespace(head, seen) for head in all_heads],
            pools=pools,
            operations=operations,
            stale_since=self.mirror.stale_since,
        )
        troubles = [*rows.troubles(seen, pools, self.clock()), *rows.exhausted(seen, conditions)]
        return self._told("status", status, [*engine, *pool, *troubles])

    def _machine(self, machine: Machine) -> MachineStatus:
        here = machine.name == self.machine
        return MachineStatus(machine.name, reachable=here, store=here, version=machine.version)

    def _store(self) -> dict[str, Any]:
        cluster = self.mirror.cluster()
        about = {"cluster": cluster.name, "incarnation": cluster.incarnation} if cluster else {}
        return {**about, "machines": [self.machine], "replicas": 1, "reachable": self.mirror.stale_since is None}

    async def _ps(self, name: str | None) -> Success:
        there = [self._head(name, f"show the instances of {name}")] if name else heads(self.mirror).values()
        conditions, warnings = await self._conditions()
        return self._told("instances", {"instances": rows.instances(there, conditions)}, warnings)

    async def _logs(self, request: Logs, emit: Emit) -> Success:
        cannot = f"show the logs of {request.namespace}/{request.service}"
        since, tail = logs.asked(request, self.clock(), cannot)
        committed = service(self.mirror, request.namespace, request.service, cannot).instances
        with _engine_asked(cannot):
            there = {found.id for found in await self.engine.all()}
            ids = [running.id for running in committed if running.id in there]
            if not ids:
                raise _no_instance(cannot, "is there", request.namespace)
            reading = logs.Reading(self.engine, ids, since, tail)
            await reading.past(emit)
            if request.follow:
                await reading.future(emit)
        gone = [running.id for running in committed if running.id not in there]
        return self._told("logs", {"instances": ids}, [f"instance {id} is missing, with its log" for id in gone])

    def _history_show(self, name: str, number: int) -> Success:
        cannot = f"show deploy {number} of {name}"
        found = {row.number: row for row in self._deploys(name, cannot)}
        if number not in found:
            why = f"{name} has no deploy {number}, or does not keep it any more"
            raise Refused("deploy.missing", f"cannot {cannot}", why, f"ployzctl history {name}")
        kept = [self._head(name, cannot), *(point.head for point in self.mirror.points(name))]
        manifest = next(head.manifest for head in kept if head.deploy == number)
        return self._told("deploy", {"deploy": found[number], "manifest": manifest})

    def _secrets(self, name: str) -> Success:
        """A namespace may have secrets before it has ever been deployed."""
        record = self.mirror.namespaces().get(name)
        if record is None or not record.secrets:
            record = Namespace(self._head(name, f"list the secrets of {name}"))
        return self._told("secrets", {"secrets": rows.secrets(record, self.mirror.secrets(name))})

    def _deploys(self, name: str, cannot: str) -> list[wire.DeployRow]:
        return rows.deploys(self._head(name, cannot), self.mirror.points(name))

    def _head(self, name: str, cannot: str) -> Head:
        return namespace(self.mirror, name, cannot)

    async def _conditions(self) -> tuple[rows.Conditions, list[str]]:
        try:
            return {found.id: found for found in await self.engine.all()}, []
        except EngineProblem as problem:
            return None, [f"the engine of {self.machine} cannot be asked: {problem}"]

    async def _pools(self) -> tuple[list[PoolStatus], list[str]]:
        try:
            space = await self.pool.space()
        except ZfsProblem as problem:
            return [], [f"the pool of {self.machine} cannot be asked: {problem}"]
        return [PoolStatus(self.machine, space.used, space.size)], []

    def _told(self, kind: str, result: object, warnings: Sequence[str] = ()) -> Success:
        stale = self.mirror.stale_since
        old = [f"the store cannot be reached: changes since {stale} may be missing"] if stale else []
        return Success(kind, msgspec.to_builtins(result), warnings=[*old, *warnings])


@contextmanager
def _engine_asked(cannot: str) -> Iterator[None]:
    try:
        yield
    except EngineUnavailable as problem:
        raise Refused("engine.down", f"cannot {cannot}", str(problem), "ployzctl status") from problem
    except EngineProblem as problem:
        raise Refused("engine.failed", f"cannot {cannot}", str(problem), "ployzctl ps") from problem


def _no_instance(cannot: str, what: str, namespace: str) -> Refused:
    return Refused("instance.missing", f"cannot {cannot}", f"no instance of it {what}", f"ployzctl ps {namespace}")
