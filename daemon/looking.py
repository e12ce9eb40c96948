"""What can be seen: the records as this machine's mirror has them, beside what all engines and pools say just now."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from daemon import family, held, logs, overview, problems, rows, volume_rows, wire
from daemon.executing import execute
from daemon.finding import Mirror, heads, namespace, service
from daemon.manifest_data import with_data
from daemon.records import DeployPoint, Head, Namespace, Running
from daemon.server import Emit
from daemon.sites import Answers, Sites, warnings
from daemon.wire import (
    BranchDiff,
    BranchDifference,
    BranchLs,
    Exec,
    Export,
    History,
    HistoryShow,
    Input,
    Logs,
    NamespaceInspect,
    NamespaceLs,
    Ps,
    Refused,
    RegistryLs,
    SecretLs,
    Status,
    Success,
    Version,
    VolumeLs,
    VolumeSnapshots,
)
from runtime.instance import Condition, EngineProblem, EngineUnavailable

Looked = (
    VolumeLs | VolumeSnapshots | SecretLs | RegistryLs | NamespaceLs | NamespaceInspect | BranchLs | BranchDiff
    | Status | Ps | Logs | History | HistoryShow | Export | Version
)  # fmt: skip


@dataclass(frozen=True)
class Looking:
    """Answers what changes nothing, and Exec, whichever machine it is about. `about` is what `version` tells of this
    daemon."""

    machine: str
    mirror: Mirror
    sites: Sites
    about: Mapping[str, Any] = field(default_factory=dict)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

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
                return self._told("status", *await overview.status(self.sites, self.mirror, self.clock()))
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
        """Run the command in a running instance of the service, here if there is one. Raises Refused as `look` does."""
        cannot = f"run {request.argv[0] if request.argv else 'nothing'} in {request.namespace}/{request.service}"
        if not request.argv:
            raise Refused("exec.empty", f"cannot {cannot}", "there is no command", "-- COMMAND ARGUMENTS")
        committed = self._instances(request, cannot)
        found = await self._found(committed)
        up = [each for each in committed if each.id in found.there and found.there[each.id].status == "running"]
        if not up:
            raise found.nothing(cannot, "runs", request.namespace)
        nearest = next((each for each in up if each.machine == self.machine), up[0])
        with _engine_asked(cannot):
            engine = self.sites.all()[nearest.machine].engine
            code = await execute(engine, nearest.id, request, inputs, emit)
        return self._told("executed", {"code": code})

    async def _namespaces(self) -> Success:
        pools = await self.sites.pools()
        there = [held.namespace(head, pools.there) for head in heads(self.mirror).values()]
        pasts = {
            name: self.mirror.points(name) for name, one in sorted(self.mirror.namespaces().items()) if not one.head
        }
        gone = [held.removed(points[-1], pools.there) for points in pasts.values() if points]
        return self._told("namespaces", {"namespaces": there, "removed": gone}, warnings(pools))

    async def _namespace(self, name: str) -> Success:
        head, points = self._past(name, f"inspect {name}")
        pools = await self.sites.pools()
        return self._told("namespace", held.seen(head, points, pools.there), warnings(pools))

    async def _branches(self, of: str | None) -> Success:
        if of:
            self._head(of, f"show the branches of {of}")
        pools = await self.sites.pools()
        found = family.branches(heads(self.mirror), pools.there, of)
        return self._told("branches", {"branches": found}, warnings(pools))

    async def _difference(self, request: BranchDiff) -> Success:
        cannot = f"compare {request.source} and {request.target}"
        source, target = self._head(request.source, cannot), self._head(request.target, cannot)
        pools = await self.sites.pools()
        held = family.volumes(source, target, pools.there)
        told = BranchDifference(request.source, request.target, family.code(source, target), held)
        return self._told("difference", told, warnings(pools))

    def _past(self, name: str, cannot: str) -> tuple[Head | None, Sequence[DeployPoint]]:
        """The head of a namespace, and its replaced points; one that was removed has only points."""
        record, points = self.mirror.namespaces().get(name), self.mirror.points(name)
        return (record.head if record and record.head else None if points else self._head(name, cannot)), points

    async def _ps(self, name: str | None) -> Success:
        there = [self._head(name, f"show the instances of {name}")] if name else heads(self.mirror).values()
        conditions, told = await asyncio.gather(self.sites.conditions(), self.sites.told())
        seen = rows.instances(there, conditions.there)
        wrong = await overview.troubles(self.sites, seen, conditions, told, self.clock())
        return self._told("instances", {"instances": seen}, [*warnings(conditions, told), *wrong])

    async def _logs(self, request: Logs, emit: Emit) -> Success:
        cannot = f"show the logs of {request.namespace}/{request.service}"
        since, tail = logs.asked(request, self.clock(), cannot)
        committed = self._instances(request, cannot)
        found, sites = await self._found(committed), self.sites.all()
        engines = {each.id: sites[each.machine].engine for each in committed if each.id in found.there}
        if not engines:
            raise found.nothing(cannot, "is there", request.namespace)
        reading = logs.Reading(engines, since, tail)
        with _engine_asked(cannot):
            await reading.past(emit)
            if request.follow:
                await reading.future(emit)
        lost = [f"the log of {id} ends here: {why}" for id, why in sorted(reading.lost.items())]
        return self._told("logs", {"instances": list(engines)}, [*found.warnings(), *lost])

    def _instances(self, request: Logs | Exec, cannot: str) -> Sequence[Running]:
        """Those that are committed of the service. Raises Refused `service.stopped` where there are to be none."""
        found = service(self.mirror, request.namespace, request.service, cannot)
        if found.stopped:
            hint = f"ployzctl start {request.namespace}/{request.service}"
            raise Refused("service.stopped", f"cannot {cannot}", "it is stopped", hint)
        return found.instances

    async def _found(self, committed: Sequence[Running]) -> "_Found":
        answers = await self.sites.conditions({each.machine for each in committed})
        there = {id: one for machine in answers.there.values() for id, one in machine.items()}
        return _Found(committed, there, answers)

    async def _volumes(self, request: VolumeLs | VolumeSnapshots) -> Success:
        pools, told = await asyncio.gather(self.sites.pools(), self.sites.told())
        if not pools.there:
            raise problems.refused(pools.failed[self.machine], "cannot look at the volumes")
        open = [operation.id for each in told.there.values() for operation in each.operations]
        said = warnings(pools, told)
        match request:
            case VolumeSnapshots(namespace=name, volume=volume):
                found = volume_rows.snapshots(self.mirror, pools.there, name, volume, open)
                return self._told("snapshots", {"snapshots": found}, said)
            case VolumeLs(namespace=name, kept=True):
                kept = volume_rows.kept(self.mirror, pools.there, name, open)
                return self._told("kept", {"volumes": kept}, said)
            case VolumeLs(namespace=name):
                volumes = volume_rows.volumes(self.mirror, pools.there, name)
                return self._told("volumes", {"volumes": volumes}, said)

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

    def _told(self, kind: str, result: object, warnings: Sequence[str] = ()) -> Success:
        stale = self.mirror.stale_since
        old = [f"the store cannot be reached: changes since {stale} may be missing"] if stale else []
        return Success(kind, msgspec.to_builtins(result), warnings=[*old, *warnings])


@contextmanager
def _engine_asked(cannot: str) -> Iterator[None]:
    try:
        yield
    except EngineProblem as problem:
        raise _refused(problem, cannot) from problem


def _refused(problem: Exception, cannot: str) -> Refused:
    if isinstance(problem, EngineUnavailable):
        return Refused("engine.down", f"cannot {cannot}", str(problem), "ployzctl status")
    return Refused("engine.failed", f"cannot {cannot}", str(problem), "ployzctl ps")


@dataclass(frozen=True)
class _Found:
    """Committed instances, and those of them that their engines know (`there`, by id)."""

    committed: Sequence[Running]
    there: Mapping[str, Condition]
    answers: Answers[dict[str, Condition]]

    def warnings(self) -> list[str]:
        absent = [each for each in self.committed if each.id not in self.there]
        missing = [f"instance {each.id} is missing, with its log" for each in absent if not self._silent(each)]
        unread = [f"the log of {each.id} is on {each.machine}" for each in absent if self._silent(each)]
        return [*warnings(self.answers), *missing, *unread]

    def nothing(self, cannot: str, what: str, namespace: str) -> Refused:
        """None that would do: because none `what`, or because nobody can say so."""
        for failure in self.answers.failed.values():
            return failure if isinstance(failure, Refused) else _refused(failure, cannot)
        return Refused("instance.missing", f"cannot {cannot}", f"no instance of it {what}", f"ployzctl ps {namespace}")

    def _silent(self, one: Running) -> bool:
        return one.machine in self.answers.failed
