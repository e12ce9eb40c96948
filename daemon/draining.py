"""A machine is emptied: nothing new comes there, and all that is there goes elsewhere, each service by an operation.

What cannot go is named with the reason, and stays as it is; the same again goes on with whatever is there still. Should
the daemon die meanwhile, its operations end by themselves, and the machine takes nothing new until it is undrained.
"""

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import NamedTuple

import msgspec
from msgspec import structs

from daemon.emitting import Tell
from daemon.migrating import Plan
from daemon.migrating.goals import unused
from daemon.operation_ids import new_id
from daemon.operations import Operations
from daemon.primitive import By
from daemon.primitives import migrate
from daemon.records import Head
from daemon.wire import (
    Departed,
    Drained,
    Event,
    Expected,
    How,
    MachineDrain,
    Migrate,
    Migrated,
    Preview,
    PreviewStep,
    Problem,
    Refused,
    Stuck,
    Success,
    Supply,
)

AT_ONCE = 3
"""How many services go at a time. While one of them is stopped, or becomes ready, others fill the link; more of them
would have less of it each, and so be down for longer."""
TRIES = 3
"""How often each is tried that met another one at an address: both had chosen it at the same time."""
AGAIN = ("name.taken", "address.taken")
"""What that is called: another one of ours was there first, or a container that is nobody's."""
WAIT = 20.0
"""Seconds that another operation of a namespace is waited for by whoever did not say."""
LOOK_AGAIN = 0.5
"""Seconds between looks at operations that are waited for."""
POSITION = re.compile(r"(?:(\d[\d.]*) )?(.*)", re.DOTALL)
STEPS = ("doing", "done", "committing", "committed", "undoing", "undone", "failed")
"""What is told of each operation. Its ending is one of many."""


class Burden(NamedTuple):
    """What is on a machine and goes as one: a service, with the volumes that it has there; or those that none has."""

    namespace: str
    service: str
    volumes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service or ', '.join(self.volumes)}"


def burdens(head: Head, machine: str) -> Iterator[Burden]:
    """Everything of a namespace that is on a machine."""
    there = {name for name, volume in head.volumes.items() if volume.machine == machine}
    for name, service in sorted(head.services.items()):
        volumes = tuple(sorted(there & service.specification.volumes.keys()))
        if volumes or any(instance.machine == machine for instance in service.instances):
            yield Burden(head.namespace, name, volumes)
    if lodgers := tuple(name for name in unused(head) if name in there):
        yield Burden(head.namespace, "", lodgers)


@dataclass
class Run:
    """One emptying of a machine: its operations that are under way, and what came of those that are over."""

    machine: str
    how: How
    who: str
    tell: Tell
    begun: int = 0
    children: set[str] = field(default_factory=set)
    moved: list[Departed] = field(default_factory=list)
    failed: dict[Burden, Problem] = field(default_factory=dict)
    aborted: bool = False


@dataclass
class Draining:
    operations: Operations
    _runs: dict[str, Run] = field(default_factory=dict, init=False)
    _alone: dict[str, asyncio.Lock] = field(default_factory=partial(defaultdict, asyncio.Lock), init=False)

    async def drain(self, request: MachineDrain, how: How, who: str, tell: Tell) -> Success:
        """Have nothing new on a machine, and nothing of what is there. Raises Problem; Stuck `drain.unfinished`."""
        if how.preview:
            return await self.preview(request, how, who, tell)
        how = structs.replace(how, op_id=how.op_id or new_id())
        marked = await self.operations.mutate(request, how, who, tell)
        moved = await self.empty(request.machine, how, who, tell)
        return Success("drained", msgspec.to_builtins(Drained(request.machine, moved)), marked.operation)

    async def empty(self, machine: str, how: How, who: str, tell: Tell) -> list[Departed]:
        """Have everything off a machine that takes nothing new; what has gone. Raises Stuck `drain.unfinished`."""
        run = self._runs[how.op_id or new_id()] = Run(machine, how, who, tell)
        try:
            async with self._alone[machine]:
                late = await self._moved_and_waited(run)
        finally:
            self._runs = {id: other for id, other in self._runs.items() if other is not run}
        stays = {one: run.failed[one] for one in await self.burdens(machine) if one in run.failed}
        if stays or late:
            raise _unfinished(run, stays, late)
        return run.moved

    async def _moved_and_waited(self, run: Run) -> set[tuple[str, str]]:
        """Move what is there, and what comes of operations that were under way; those of them that still are."""
        before, now = await self._under_way(), asyncio.get_running_loop().time
        until = now() + max(run.how.wait, WAIT)
        while True:
            while left := [one for one in await self.burdens(run.machine) if one not in run.failed]:
                await self._move(left, run)
            late = await self._under_way() & before
            if not late or run.aborted or now() >= until:
                return late
            await asyncio.sleep(LOOK_AGAIN)

    def abort(self, id: str) -> bool:
        """Begin nothing more, and take back what is under way; False if there is nothing of that id."""
        run = self._runs.get(id)
        if not run:
            return False
        run.aborted = True
        for child in run.children:
            if (running := self.operations.running.get(child)) and running.abortable:
                running.abort()
        return True

    # ---------------------------------------------------------------------------------------------- what is there

    async def burdens(self, machine: str) -> list[Burden]:
        """Everything that is on a machine, as the store tells it now."""
        records = await self.operations.means.store.namespaces()
        return [one for _, record in sorted(records.items()) if record.head for one in burdens(record.head, machine)]

    async def _under_way(self) -> set[tuple[str, str]]:
        """The namespaces that somebody changes, who may have planned before the machine took nothing new any more."""
        claims = await self.operations.means.store.claims()
        ours = {child for run in self._runs.values() for child in run.children}
        return {(name, one.operation) for name, held in claims.items() for one in held
                if one.kind == "change" and one.operation not in ours}  # fmt: skip

    # ------------------------------------------------------------------------------------------------- moving it

    async def _move(self, left: Iterable[Burden], run: Run) -> None:
        """Operations of one namespace exclude each other, so they go one after the other."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def leave(those: list[Burden]) -> None:
            for one in those:
                async with turns:
                    await self._one(one, run)

        by_namespace = [list(those) for _, those in groupby(left, key=lambda one: one.namespace)]
        async with asyncio.TaskGroup() as group:
            for those in by_namespace:
                group.create_task(leave(those))

    async def _one(self, one: Burden, run: Run) -> None:
        if run.aborted:
            run.failed[one] = Refused(
                "operation.aborted", f"cannot move {one}", "it was not begun: the drain was aborted"
            )
            return
        for left in reversed(range(TRIES)):
            try:
                run.moved.append(await self._depart(one, run))
                return
            except Problem as problem:
                if problem.code not in AGAIN or not left:
                    run.failed[one] = problem
                    return

    async def _depart(self, one: Burden, run: Run) -> Departed:
        id, number = new_id(), run.begun
        run.begun += 1
        run.children.add(id)
        how = How(op_id=id, wait=max(run.how.wait, WAIT), take_over=run.how.take_over)
        asked = Migrate(one.namespace, one.service, off=run.machine)
        try:
            done = await self.operations.mutate(asked, how, run.who, partial(_pass_on, run.tell, number, str(one)))
            return _departed(one, id, done)
        finally:
            run.children.discard(id)

    # ------------------------------------------------------------------------------------------------- showing it

    async def preview(self, request: MachineDrain, how: How, who: str, tell: Tell) -> Success:
        """What would go where, and what could not, with the reason."""
        marking = msgspec.convert((await self.operations.mutate(request, how, who, tell)).result, Preview)
        steps, moves, images = list(marking.steps), list[Expected](), list[Supply]()
        planned = await self.planned(request.machine, who)
        warnings = await self.operations.contention.held({one.namespace: "change" for one in planned})
        for one, plan in planned.items():
            if isinstance(plan, Refused):
                warnings.append(f"{one} cannot be moved: {plan.why or plan.what}")
                continue
            steps.append(_shown(one, plan))
            moves += [structs.replace(each, volume=f"{one.namespace}/{each.volume}") for each in plan.foreseen.moves]
            images += [each for each in plan.foreseen.images if each not in images]
            warnings += [said for said in plan.warnings if said not in warnings]
        shown = Preview("machine.drain", steps, len(steps), moves, images)
        return Success("preview", msgspec.to_builtins(shown), None, warnings)

    async def planned(self, machine: str, who: str) -> dict[Burden, Plan | Refused]:
        """How each that is on a machine would go, or why it cannot; what goes before it takes its room there."""
        planned, spoken = dict[Burden, Plan | Refused](), Counter[str]()
        for one in await self.burdens(machine):
            planned[one] = plan = await self._planned(one, machine, who, spoken)
            for move in plan.moves if isinstance(plan, Plan) else ():
                spoken[move.way.to] += move.stored
        return planned

    async def _planned(self, one: Burden, machine: str, who: str, spoken: Mapping[str, int]) -> Plan | Refused:
        means = self.operations.means
        try:
            asked = Migrate(one.namespace, one.service, off=machine)
            return await migrate.plan(asked, means.engine.node, By(new_id(), who, means.now()), spoken)
        except Refused as refused:
            return refused


def _shown(one: Burden, plan: Plan) -> PreviewStep:
    bytes = sum(each.bytes for each in plan.foreseen.moves) if plan.moves else None
    down = sorted({old.service for old in plan.change.stops})
    return PreviewStep(f"move {one} to {plan.to}", plan.source, bytes, down, plan.foreseen.downtime_s)


def _departed(one: Burden, id: str, done: Success) -> Departed:
    told = msgspec.convert(done.result, Migrated)
    bytes = sum(each.bytes_full + each.bytes_last for each in told.volumes)
    names = [each.name for each in told.volumes]
    return Departed(one.namespace, one.service, names, told.to, bytes, told.downtime_s, id)


def _pass_on(tell: Tell, number: int, name: str, event: Event) -> None:
    """The steps of many operations, each under its own number. Of a commit, or a failure, no position is told."""
    if event.kind in STEPS:
        position, words = POSITION.fullmatch(event.step).groups()  # type: ignore[union-attr]
        tell(structs.replace(event, step=f"{number}.{position or ''} {name}: {words}"))


def _unfinished(run: Run, stays: dict[Burden, Problem], late: Iterable[tuple[str, str]]) -> Stuck:
    moved = ", ".join(f"{one.namespace}/{one.service or ', '.join(one.volumes)}" for one in run.moved)
    why = [f"moved: {moved}" if moved else "", *(f"{one} stays: {_reason(problem)}" for one, problem in stays.items())]
    why += [f"{name} is being changed by {id}, which may have been planned before" for name, id in sorted(late)]
    hint = f"the same again, which goes on with what is there; or ployzctl machine undrain {run.machine}"
    return Stuck("drain.unfinished", f"cannot have everything off {run.machine}", "; ".join(filter(None, why)), hint)


def _reason(problem: Problem) -> str:
    known = f" ({problem.operation})" if problem.operation and problem.state != "refused" else ""
    return f"{problem.why or problem.what}{known}"
