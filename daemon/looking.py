"""What can be seen: the records as this machine's mirror has them, beside what its engine and pool say just now."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from daemon import family, held, logs, problems, rows, volume_rows, wire
from daemon.executing import Executes, attend, execute
from daemon.finding import Mirror, heads, namespace, service
from daemon.manifest_data import with_data
from daemon.records import DeployPoint, Head, Machine, Namespace
from daemon.server import Emit
from daemon.wire import (
    BranchDiff,
    BranchDifference,
    BranchLs,
    ClusterStatus,
    Exec,
    Export,
    History,
    HistoryShow,
    Input,
    InstanceRow,
    Logs,
    MachineStatus,
    NamespaceInspect,
    NamespaceLs,
    OperationRow,
    PoolStatus,
    Ps,
    Refused,
    RegistryLs,
    Run,
    SecretLs,
    Status,
    Success,
    Version,
    VolumeLs,
    VolumeSnapshots,
)
from dataplane.dataset import Dataset, Space, ZfsProblem
from runtime.instance import Condition, EngineProblem, EngineUnavailable, Specification

Looked = (
    VolumeLs | VolumeSnapshots | SecretLs | RegistryLs | NamespaceLs | NamespaceInspect | BranchLs | BranchDiff
    | Status | Ps | Logs | History | HistoryShow | Export | Version
)  # fmt: skip


LAST = 3
"""Lines of its log that tell why an instance ended."""


class Engine(logs.Logged, Executes, Protocol):
    """The engine of this machine. Raises instance.EngineProblem."""

    async def all(self) -> list[Condition]: ...
    async def tail(self, id: str, lines: int) -> str: ...


class Pool(volume_rows.Pool, Protocol):
    """The pool of this machine. Raises dataset.ZfsProblem."""

    @property
    def root(self) -> str: ...
    async def space(self) -> Space: ...
    async def below(self, name: str) -> list[Dataset]: ...


@dataclass(frozen=True)
class Looking:
    """Answers what changes nothing, and Exec. `about` is what `version` tells of this daemon; `running` tells the
    operations that are not over, `unstarted` why instances were not started after a boot.
    """

    machine: str
    mirror: Mirror
    engine: Engine
    pool: Pool
    running: Callable[[], Awaitable[list[OperationRow]]]
    about: Mapping[str, Any] = field(default_factory=dict)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    unstarted: Callable[[], Mapping[str, str]] = dict

    async def look(self, request: Looked, emit: Emit) -> Success:
        """Raises Refused namespace.missing, service.missing, deploy.missing, instance.missing, engine.*, logs.*."""
        match request:
            case NamespaceLs():
                return await self._namespaces()
            case BranchLs(namespace=name):
                return await self._branches(name)
            case BranchDiff():
                return await self._difference(request)
            case NamespaceInspect(namespace=name):
                return await self._namespace(name)
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
            case VolumeLs() | VolumeSnapshots():
                return await self._volumes(request)
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

    async def attend(
        self, specification: Specification, request: Run, inputs: AsyncIterator[Input], emit: Emit
    ) -> dict[str, int]:
        """Run an instance that was made for a command to its end; its exit code. Raises instance.EngineProblem."""
        return {"code": await attend(self.engine, specification.id, request, inputs, emit)}

    async def _namespaces(self) -> Success:
        below, warnings = await self._datasets()
        there = [held.namespace(head, below, self.pool.root) for head in heads(self.mirror).values()]
        pasts = {
            name: self.mirror.points(name) for name, one in sorted(self.mirror.namespaces().items()) if not one.head
        }
        gone = [held.removed(points[-1], below, self.pool.root) for points in pasts.values() if points]
        return self._told("namespaces", {"namespaces": there, "removed": gone}, warnings)

    async def _namespace(self, name: str) -> Success:
        head, points = self._past(name, f"inspect {name}")
        below, warnings = await self._datasets()
        return self._told("namespace", held.seen(head, points, below, self.pool.root), warnings)

    async def _branches(self, of: str | None) -> Success:
        if of:
            self._head(of, f"show the branches of {of}")
        below, warnings = await self._datasets()
        found = family.branches(heads(self.mirror), below, self.pool.root, of)
        return self._told("branches", {"branches": found}, warnings)

    async def _difference(self, request: BranchDiff) -> Success:
        cannot = f"compare {request.source} and {request.target}"
        source, target = self._head(request.source, cannot), self._head(request.target, cannot)
        below, warnings = await self._datasets()
        held = family.volumes(source, target, below, self.pool.root)
        told = BranchDifference(request.source, request.target, family.code(source, target), held)
        return self._told("difference", told, warnings)

    async def _datasets(self) -> tuple[held.Below, list[str]]:
        try:
            return await self.pool.below(self.pool.root), []
        except ZfsProblem as problem:
            return None, [f"the pool of {self.machine} cannot be asked: {problem}"]

    def _past(self, name: str, cannot: str) -> tuple[Head | None, Sequence[DeployPoint]]:
        """The head of a namespace, and its replaced points; one that was removed has only points."""
        record, points = self.mirror.namespaces().get(name), self.mirror.points(name)
        return (record.head if record and record.head else None if points else self._head(name, cannot)), points

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
        troubles = [*await self._troubles(seen), *rows.exhausted(seen, conditions), *rows.filling_up(pools)]
        return self._told("status", status, [*engine, *pool, *troubles])

    async def _troubles(self, seen: Sequence[InstanceRow]) -> list[str]:
        """What is wrong with instances, each with the end of its log."""
        told = rows.troubles(seen, self.unstarted(), self.clock())
        return [says + await self._said(row) for row, says in told]

    async def _said(self, row: InstanceRow) -> str:
        try:
            said = await self.engine.tail(row.id, LAST) if row.state != "missing" else ""
        except EngineProblem:
            return ""
        return f"; the end of its log:\n{said.strip()}" if said.strip() else ""

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
        seen = rows.instances(there, conditions)
        return self._told("instances", {"instances": seen}, [*warnings, *rows.held_back(seen, self.unstarted())])

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

    async def _volumes(self, request: VolumeLs | VolumeSnapshots) -> Success:
        open = [operation.id for operation in await self.running()]
        try:
            match request:
                case VolumeSnapshots(namespace=name, volume=volume):
                    found = await volume_rows.snapshots(self.mirror, self.pool, name, volume, open)
                    return self._told("snapshots", {"snapshots": found})
                case VolumeLs(namespace=name, kept=True):
                    kept = await volume_rows.kept(self.mirror, self.pool, name, open, self.machine)
                    return self._told("kept", {"volumes": kept})
                case VolumeLs(namespace=name):
                    return self._told("volumes", {"volumes": await volume_rows.volumes(self.mirror, self.pool, name)})
        except ZfsProblem as problem:
            raise problems.refused(problem, "cannot look at the volumes") from problem

    def _history_show(self, name: str, number: int) -> Success:
        cannot = f"show deploy {number} of {name}"
        found = {row.number: row for row in self._deploys(name, cannot)}
        if number not in found:
            why = f"{name} has no deploy {number}, or does not keep it any more"
            raise Refused("deploy.missing", f"cannot {cannot}", why, f"ployzctl history {name}")
        head, points = self._past(name, cannot)
        kept = [*([head] if head else ()), *(point.head for point in points)]
        manifest = next(head.manifest for head in kept if head.deploy == number)
        if not found[number].current:
            manifest = with_data(manifest, number)
        return self._told("deploy", {"deploy": found[number], "manifest": manifest})

    def _secrets(self, name: str) -> Success:
        """A namespace may have secrets before it has ever been deployed."""
        record = self.mirror.namespaces().get(name)
        if record is None or not record.secrets:
            record = Namespace(self._head(name, f"list the secrets of {name}"))
        return self._told("secrets", {"secrets": rows.secrets(record, self.mirror.secrets(name))})

    def _deploys(self, name: str, cannot: str) -> list[wire.DeployRow]:
        return rows.deploys(*self._past(name, cannot))

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
