"""The operations of this machine: asked for, re-attached to, aborted, resumed; and, at a start, brought to an end."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from daemon import problems
from daemon.contention import Contention
from daemon.journal import Listener, Story, Unwritten, rfc3339, spoilt, stories, unanswered
from daemon.preview import preview
from daemon.primitive import By
from daemon.undertaking import Means, Undertaking, answered, heading_of, require_expected
from daemon.wire import Event, How, Mutation, OperationRow, Problem, Refused, Run, Stuck, Success

ID = r"[a-z0-9][a-z0-9-]{0,39}"

log = logging.getLogger("ployzd")


class Operations:
    """Those that run are in memory; all that ever ran here are in the journals."""

    def __init__(self, means: Means) -> None:
        self.means = means
        self.running: dict[str, Undertaking] = {}
        self.contention = Contention(means.store, self, means.machine)

    async def mutate(self, request: Mutation, how: How, who: str, tell: Listener) -> Success:
        """Carry a request out, or re-attach to it by its id. Raises Problem."""
        if how.preview:
            return await self._preview(request, how, who)
        id, asked = _require_id(how.op_id or new_id()), self.means.written(request)
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

    async def resume(self, id: str, tell: Listener) -> Success:
        """Carry on with an operation that is stuck, or attach to it if it runs. Returns its answer, or raises it."""
        running = self.running.get(id)
        if not running:
            story = self.story(id) or await self._from_record(id)
            if not story:
                raise Refused(
                    "operation.missing", f"cannot resume {id}", "there is no such operation", "ployzctl op ls"
                )
            if story.answer:
                return answered(story.answer)
            running = self._resume(story)
        return await self._follow(running, tell, None)

    async def bring_to_an_end(self) -> None:
        """Launch the resolution of every operation that is not over; free the claims of those that never began.

        A kill right after its answer leaves an operation that is over, and whose record does not say so yet.
        """
        for story in unanswered(self.means.folder):
            if story.operation not in self.running:
                self._resume(story)
        for operation in await self.means.store.operations():
            if operation.machine == self.means.machine and not operation.ending:
                await self._end_if_over(operation.id)
        for name, record in (await self.means.store.namespaces()).items():
            for claim in record.claims:
                if claim.machine == self.means.machine and not self.is_running(claim.operation):
                    await self._free_if_over(name, claim.operation)

    def undecided(self) -> set[str]:
        """The namespaces whose heads an operation that is not over may still change."""
        claims = [story.heading.claims for story in unanswered(self.means.folder)]
        return {name for each in claims for name, kind in each.items() if kind == "change"}

    async def _end_if_over(self, id: str) -> None:
        try:
            story = self.story(id)
        except Stuck:
            return  # of another version: who can read it says how it ended
        if story and story.answer:
            await self.means.store.end(id, story.ending, story.events[-1].at)

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

    async def resolve(self, id: str) -> bool:
        """Bring an operation that does not run to its end; False if it is stuck. One that is over is fine."""
        try:
            story = self.story(id)
        except Stuck:
            return False
        story = story or await self._from_record(id)
        if not story or story.answer:
            return True
        try:
            await self._follow(self._resume(story), _nobody, None)
        except Stuck:
            return False
        except Problem:
            return True
        return True

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
                return await effort
            except Exception as failure:
                if not problems.known(failure):
                    log.exception("%s failed in a way that nobody foresaw", running.id)
                raise
            finally:
                effort.close()
                del self.running[running.id]

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

    async def _from_record(self, id: str) -> Story | None:
        """The story of an operation whose journal is lost: what it did is not known, so its commit is settled first."""
        record = await self.means.store.operation(id)
        if there := self.story(id):
            return there  # somebody else was faster
        if not record or record.ending or record.machine != self.means.machine:
            return None
        first = Event(id, self.means.now(), "committing", why="the journal was lost; this story begins with the record")
        try:
            return Story.begin(self.means.folder, heading_of(record), self.means.now, [first])
        except Unwritten as failure:
            raise problems.refused(failure, f"cannot carry on with {id}") from failure

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
        shown = preview(kind, primitive.steps(plan, node), node.machine)
        return Success("preview", msgspec.to_builtins(shown), None, list(plan.warnings))

    # ------------------------------------------------------------------------------------------------- looking

    def ls(self, *, all: bool) -> Success:
        """kind `operations`: those that are not over, or all, newest first."""
        return Success("operations", {"operations": msgspec.to_builtins(self.rows(all=all))})

    def rows(self, *, all: bool) -> list[OperationRow]:
        """A row for each operation, newest first."""
        told = stories(self.means.folder) if all else unanswered(self.means.folder)
        rows = [_row(story, running=self.is_running(story.operation)) for story in told]
        rows += [_unreadable(file, why) for file, why in spoilt(self.means.folder)]
        return [row for row in reversed(rows) if all or row.state in ("running", "stuck")]

    async def show(self, id: str, tell: Listener, *, follow: bool) -> Success:
        """kind `operation`: its row, events and answer; with `follow`, once it is over, after telling its events."""
        if follow and (running := self.running.get(id)):
            try:
                await self._follow(running, tell, None)
            except Problem as ending:
                log.debug("%s ended: %s", id, ending)
        story = self.story(id)
        if not story:
            raise Refused("operation.missing", f"cannot show {id}", "there is no such operation here", "ployzctl op ls")
        row = _row(story, running=self.is_running(id))
        result = {"operation": row, "request": story.heading.request, "events": story.events, "answer": story.answer}
        return Success("operation", msgspec.to_builtins(result), id)


def new_id() -> str:
    """An operation's id: when it began, so that ids sort, then what nobody guesses."""
    return f"op-{int(time.time()):08x}{secrets.token_hex(4)}"


def _require_id(id: str) -> str:
    """An id becomes a part of names in ZFS, Docker and the file system."""
    if not re.fullmatch(ID, id):
        why = f"{id!r} has other characters than a-z, 0-9 and -, or more than 40 of them"
        raise Refused("operation.id", "cannot use this operation id", why, "leave --op-id out")
    return id


def _nobody(_event: Event) -> None:
    """Nobody listens: the journal has it."""


def _require_same(id: str, asked: dict[str, Any], before: dict[str, Any]) -> None:
    if asked != before:
        raise Refused(
            "operation.other_request",
            f"cannot use the operation id {id}",
            "another request has it",
            "leave --op-id out, or choose another",
        )


def _row(story: Story, *, running: bool) -> OperationRow:
    last = story.events[-1] if story.events else None
    return OperationRow(
        id=story.operation,
        primitive=story.heading.primitive,
        state=_state(story, running=running),
        who=story.heading.who,
        began_at=story.heading.at,
        ended_at=last.at if last and story.answer else None,
        namespaces=list(story.heading.claims),
        says=last.step.partition(" ")[2] if last and not story.answer else "",
    )


def _unreadable(file: Path, why: Stuck) -> OperationRow:
    """All that can be told of an operation whose journal cannot be read: it began before its file was last written."""
    at = rfc3339(datetime.fromtimestamp(file.stat().st_mtime, UTC))
    return OperationRow(file.stem, "unknown", "stuck", "", at, says=why.why, code=why.code)


def _state(story: Story, *, running: bool) -> Literal["running", "stuck", "done", "taken_back"]:
    if running:
        return "running"
    if not story.answer:
        return "stuck"
    return story.ending
