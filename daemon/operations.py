"""The operations of this machine: asked for, re-attached to, aborted, resumed; and, at a start, brought to an end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, cast

import msgspec

from daemon import problems
from daemon.closing import reopened
from daemon.contention import Contention
from daemon.engine import forget_cancellation
from daemon.journal import Answer, Listener, Story, spoilt, stories, unanswered
from daemon.operation_ids import new_id, require_id
from daemon.operation_rows import row, unreadable
from daemon.peers.others import Fate
from daemon.preview import NOTHING, preview
from daemon.primitive import By
from daemon.records import Claim
from daemon.taking_over import ended_elsewhere, never_begun, taken_over
from daemon.undertaking import Means, Undertaking, answered, record_of, require_expected
from daemon.wire import Event, How, Mutation, OperationRow, Problem, Refused, Run, Stuck, Success

log = logging.getLogger("ployzd")


class Operations:
    """Those that run are in memory; all that ever ran here are in the journals."""

    def __init__(self, means: Means) -> None:
        self.means = means
        self.running: dict[str, Undertaking] = {}
        self.contention = Contention(means.store, self, lambda: reopened(means.engine.node))
        self._taking = asyncio.Lock()
        self._again, self._carrying = False, cast(asyncio.Task[None] | None, None)

    async def mutate(self, request: Mutation, how: How, who: str, tell: Listener) -> Success:
        """Carry a request out, or re-attach to it by its id. Raises Problem."""
        if how.preview:
            return await self._preview(request, how, who)
        id, asked = require_id(how.op_id or new_id()), self.means.written(request)
        running, story = self.running.get(id), self.story(id)
        _require_same(id, asked, running.request if running else story.heading.request if story else asked)
        if not running and story and story.answer:
            return answered(story.answer)
        if not running and story:
            running = self._resume(story)
        elif not running:
            running = Undertaking(id, asked, who, self.means.now(), self.means)
            self._launch(running, running.carry_out(request, how, self.contention))
        return await self._follow(running, tell, how.timeout)

    async def pass_by(self, request: Run, who: str, use: Callable[[Any], Awaitable[Any]]) -> Success:
        """Carry out what leaves nothing behind; `use` is given its plan. Whoever asked and goes away ends it."""
        running = Undertaking(new_id(), msgspec.to_builtins(request), who, self.means.now(), self.means)
        self._launch(running, running.pass_by(request, use))
        assert running.task
        try:
            return await asyncio.shield(running.task)
        finally:
            if running.abortable and not running.task.done():
                running.abort()

    async def abort(self, id: str) -> Success:
        """Take a running operation back, and wait until it is. Refused once it is committed, or over."""
        running = self.running.get(id)
        if not running or not running.task:
            why = "it is not running" if self.story(id) else "there is no such operation"
            raise Refused("operation.not_running", f"cannot abort {id}", why, "ployzctl op ls --all")
        if not running.abortable:
            why = "it is committed, or on its way back already"
            raise Refused("operation.committed", f"cannot abort {id}", why, f"ployzctl op show {id} -f")
        running.abort()
        try:
            await asyncio.shield(running.task)
        except Stuck:
            raise
        except Problem:
            return Success("aborted", {"id": id}, id)
        raise Refused("operation.committed", f"cannot abort {id}", "it was done before it could be taken back")

    async def resume(self, id: str, tell: Listener, *, take_over: bool = False) -> Success:
        """Carry on with an operation that is stuck, or attach to it if it runs. Returns its answer, or raises it.

        One of another machine is carried on there, or, with `take_over`, from here, should that one not answer.
        """
        if running := self.running.get(id):
            return await self._follow(running, tell, None)
        found = await self._found(id, take_over=take_over)
        if not found:
            raise Refused("operation.missing", f"cannot resume {id}", "there is no such operation", "ployzctl op ls")
        answer = found if isinstance(found, Answer) else found.answer
        if answer:
            return answered(answer)
        assert isinstance(found, Story)
        return await self._follow(self._resume(found), tell, None)

    async def bring_to_an_end(self) -> None:
        """Launch the resolution of every operation that is not over; free the claims of those that never began.

        A kill right after its answer leaves an operation that is over, and whose record does not say so yet.
        """
        for story in unanswered(self.means.folder):
            if story.operation not in self.running:
                self._resume(story)
        for operation in await self.means.store.operations():
            ours = operation.machine == self.means.machine and not operation.ending
            if ours and not self.is_running(operation.id):
                with suppress(Problem):
                    await self.resolve(operation.id)
        for name, claims in (await self.means.store.claims()).items():
            for claim in claims:
                if claim.machine == self.means.machine and not self.is_running(claim.operation):
                    await self._free_if_over(name, claim.operation)

    def undecided(self) -> set[str]:
        """The namespaces whose heads an operation that is not over may still change."""
        claims = [story.heading.claims for story in unanswered(self.means.folder)]
        return {name for each in claims for name, kind in each.items() if kind == "change"}

    async def _free_if_over(self, namespace: str, id: str) -> None:
        try:
            over = await self.resolve(id)
        except Problem:
            over = False
        if over:
            await self.means.store.free(namespace, id)

    # ---------------------------------------------------------------------------------------- who holds what

    def is_running(self, id: str) -> bool:
        return id in self.running

    async def fate(self, claim: Claim) -> Fate:
        if claim.machine != self.means.machine:
            return await self.means.others.fate(claim.machine, claim.operation)
        return await self.own_fate(claim.operation)

    async def own_fate(self, id: str) -> Fate:
        """What has become of an operation of this machine; one that does not run is brought to its end first."""
        if self.is_running(id):
            return "running"
        return "over" if await self.resolve(id) else "stuck"

    def own_answer(self, id: str) -> Answer | None:
        """What was answered here to who asked for an operation, if it is over."""
        story = self.story(id)
        return story.answer if story else None

    async def take_over(self, claim: Claim) -> Fate:
        """One that has no record yet has done nothing, and never begins."""
        never = never_begun(claim, self.means)
        if (await self.means.store.forbid(never)).ending:
            return "over"
        return await self._fate(await self.take(claim.operation))

    async def resolve(self, id: str) -> bool:
        """Bring an operation that does not run to its end; False if it is stuck. One that is over is fine."""
        try:
            story = await self._own(id)
        except Stuck:
            return False
        if not story:
            return True
        if story.answer:
            return await self.means.store.end(record_of(story, self.means.machine))
        return await self._fate(story) == "over"

    async def _fate(self, story: Story) -> Fate:
        try:
            await self._follow(self._resume(story), _nobody, None)
        except Stuck:
            return "stuck"
        except Problem:
            return "over"
        return "over"

    def hear_over(self, id: str) -> None:
        """Another machine has brought an operation to its end that may have been this one's."""
        with suppress(Stuck):
            story = self.story(id)
            if story and not story.answer:
                self._resume(story)

    async def give_up(self, id: str, term: int) -> None:
        """End what is done here for an operation in an earlier term, and return once it has ended."""
        running = self.running.get(id)
        if running and running.task and running.story and running.story.heading.term < term:
            running.task.cancel()
            await asyncio.wait({running.task})

    def carry_on(self) -> None:
        """Try again to bring to an end what is not over, because a machine can be reached again that it may have
        waited for."""
        self._again = True
        if not self._carrying or self._carrying.done():
            self._carrying = asyncio.create_task(self._carry_on(), name="carry on")

    async def _carry_on(self) -> None:
        while self._again:
            self._again = False
            for running in self.running.values():
                if running.task:  # it may have met the machine before that was back, and be stuck for it
                    running.task.add_done_callback(lambda _: self.carry_on())
            try:
                await self.bring_to_an_end()
            except Problem as problem:
                log.warning("nothing is carried on: %s", problem)

    def story(self, id: str) -> Story | None:
        """The story of an operation of this machine, whether it runs or not."""
        if (running := self.running.get(id)) and running.story:
            return running.story
        file = self.means.folder / f"{id}.jsonl"
        return Story.read(file) if file.exists() else None

    # ----------------------------------------------------------------------------------------- launching, watching

    def _resume(self, story: Story) -> Undertaking:
        if running := self.running.get(story.operation):
            return running
        heading = story.heading
        running = Undertaking(story.operation, heading.request, heading.who, heading.at, self.means, course="resumed")
        self._launch(running, running.resume(story))
        return running

    def _launch(self, running: Undertaking, effort: Coroutine[Any, Any, Success]) -> None:
        async def whole() -> Success:
            try:
                running.set_out()
                return await self._whoever_ends_it(running, effort)
            except Exception as failure:
                if not problems.known(failure):
                    log.exception("%s failed in a way that nobody foresaw", running.id)
                raise
            finally:
                effort.close()
                del self.running[running.id]
                self.means.engine.node.choices.forget(running.id)

        self.running[running.id] = running
        running.task = asyncio.create_task(whole(), name=running.id)
        running.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _follow(self, running: Undertaking, tell: Listener, timeout: float | None) -> Success:
        """Tell what happened so far and what happens, until it is over. Whoever follows may go away."""
        for event in running.story.events if running.story else ():
            tell(event)
        running.listeners.append(tell)
        assert running.task
        try:
            await asyncio.wait({running.task}, timeout=timeout)
            if not running.task.done():
                self._overdue(running)
            return await asyncio.shield(running.task)
        finally:
            running.listeners.remove(tell)

    def _overdue(self, running: Undertaking) -> None:
        """Over before the commit: taken back. After it: the caller is let go, the operation goes on."""
        if running.abortable:
            running.abort()
            return
        detached = Stuck(
            "operation.detached",
            f"cannot wait for {running.id} any longer",
            "its time was over when it was committed or on its way back already; it goes on",
            f"ployzctl op show {running.id} -f",
        )
        detached.operation = running.id
        raise detached

    async def _whoever_ends_it(self, running: Undertaking, effort: Coroutine[Any, Any, Success]) -> Success:
        """Its answer, also where another machine has taken it over."""
        try:
            return await effort
        except (Stuck, asyncio.CancelledError) as cut:
            story = running.story
            if not story or await self._is_ours(story):
                raise
            if isinstance(cut, asyncio.CancelledError):
                forget_cancellation()
            return await ended_elsewhere(story, self.means)

    # --------------------------------------------------------------------------------------- finding its story

    async def _own(self, id: str) -> Story | None:
        """The story of an operation that this machine carries out, from its record if the journal is lost."""
        if story := self.story(id):
            return story
        record = await self.means.store.operation(id)
        if not record or record.ending or record.machine != self.means.machine:
            return None
        return await self.take(id)

    async def _found(self, id: str, *, take_over: bool) -> Story | Answer | None:
        """The story to carry on with here, or what another machine answered, having carried on with it there.

        None if there is no such operation. Raises Refused `operation.elsewhere` if it goes on there, or is stuck.
        """
        own = await self._own(id)
        if own and (own.answer or await self._is_ours(own)):
            return own
        record = await self.means.store.operation(id)
        if not record or (own and record.ending):
            return own
        try:
            fate = await self.means.others.fate(record.machine, id)
            if answer := await self.means.others.answer(record.machine, id):
                return answer
        except Refused as refused:
            if refused.code != "machine.unreachable":
                raise
            if take_over:
                return await self.take(id)
            why = f"it is {record.machine}'s: {refused.why}"
            hint = f"ployzctl op resume {id} --take-over, if that machine is gone for longer"
            raise Refused(refused.code, f"cannot resume {id}", why, hint) from refused
        cannot, there = f"cannot resume {id} from here", f"ployzctl --context {record.machine} op show {id} -f"
        raise Refused("operation.elsewhere", cannot, f"it is {record.machine}'s, where it is {fate}", there)

    async def take(self, id: str) -> Story:
        """Have this machine carry on with an operation: its story, begun once, however many ask for it at a time.

        Once this returns nobody else does anything more for it where that counts: see `taken_over`.
        """
        async with self._taking:
            running, story = self.running.get(id), self.story(id)
            if story and (running or story.answer or await self._is_ours(story)):
                return story
            return await taken_over(id, self.means)

    async def _is_ours(self, story: Story) -> bool:
        """Whether nothing is known of a machine that has taken it over."""
        try:
            return await self.means.engine.standing.is_ours(story)
        except Refused:
            return True

    async def _preview(self, request: Mutation, how: How, who: str) -> Success:
        kind = self.means.written(request)["type"]
        primitive, node = self.means.primitives[kind], self.means.engine.node
        try:
            await require_expected(self.means.store, primitive.claims(request), how)
            plan = await primitive.plan(request, node, By(new_id(), who, self.means.now()))
        except Exception as failure:
            if not problems.known(failure):
                raise
            raise problems.refused(failure, problems.cannot(kind)) from failure
        foreseen = getattr(plan, "foreseen", NOTHING)  # few plans foresee anything
        shown = preview(kind, primitive.steps(plan, node), node.machine, foreseen)
        held = await self.contention.held(primitive.claims(request))
        return Success("preview", msgspec.to_builtins(shown), None, [*held, *plan.warnings])

    # ------------------------------------------------------------------------------------------------- looking

    def rows(self, *, all: bool) -> list[OperationRow]:
        """A row for each operation, newest first."""
        told = stories(self.means.folder) if all else unanswered(self.means.folder)
        rows = [row(story, running=self.is_running(story.operation)) for story in told]
        rows += [unreadable(file, why) for file, why in spoilt(self.means.folder)]
        listed = [row for row in reversed(rows) if all or row.state in ("running", "stuck")]
        return [msgspec.structs.replace(row, machine=self.means.machine) for row in listed]

    async def show(self, id: str, tell: Listener, *, follow: bool) -> Success:
        """kind `operation`: its row, events and answer; with `follow`, once it is over, after telling its events."""
        if follow and (running := self.running.get(id)):
            try:
                await self._follow(running, tell, None)
            except Problem as ending:
                log.debug("%s ended: %s", id, ending)
        story = self.story(id)
        if not story:
            raise Refused(
                "operation.missing", f"cannot show {id}", "there is no such operation", "ployzctl op ls --all"
            )
        told = msgspec.structs.replace(row(story, running=self.is_running(id)), machine=self.means.machine)
        result = {"operation": told, "request": story.heading.request, "events": story.events, "answer": story.answer}
        return Success("operation", msgspec.to_builtins(result), id)


def _nobody(_event: Event) -> None:
    """Nobody listens: the journal has it."""


def _require_same(id: str, asked: dict[str, Any], before: dict[str, Any]) -> None:
    told, said = (msgspec.json.encode(one, order="sorted") for one in (asked, before))  # a journal has no tuples
    if told != said:
        raise Refused(
            "operation.other_request",
            f"cannot use the operation id {id}",
            "another request has it",
            "leave --op-id out, or choose another",
        )
