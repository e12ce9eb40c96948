"""How every primitive goes. A failure, a cancellation and a crash are one thing: read the story, go back or go on.

Before the commit the way is back, after it forward; if it is not known which, `settle` decides for good. A step
before the commit, and the commit, are only begun once that is written down. The ways back and on are taken also where
nothing can be written: whoever resumes takes them again. But what is not written to its end is not over: it is stuck.
"""

import asyncio
from asyncio import CancelledError
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from daemon.belonging import is_lost
from daemon.journal import Story, Unwritten
from daemon.node import Node
from daemon.primitive import Commit, Part, Primitive, Step, Together
from daemon.problems import TRY, cannot, code, names, reason
from daemon.records import Turn
from daemon.wire import Refused, Stuck, TakenBack

T = TypeVar("T")

PATIENCE = (0.2, 1.0, 4.0)
"""Seconds between tries of what has to succeed: steps after the commit, undos, and the settling itself."""


Decided = Callable[[Sequence[str]], Awaitable[None]]


class Standing(Protocol):
    """Who knows whether another machine has taken an operation over from this one."""

    def was_told(self, story: Story) -> bool:
        """Whether another machine has told this one so."""

    async def is_ours(self, story: Story) -> bool:
        """Whether nobody has. Raises Refused where only the store would know, and it does not answer."""


class Sole:
    """There is nobody who could take one over."""

    def was_told(self, _story: Story) -> bool:
        return False

    async def is_ours(self, _story: Story) -> bool:
        return True


SOLE = Sole()


@dataclass(frozen=True)
class Placed:
    """A step under its position and words, which is how the story knows it; and where it is done, if it has to be said:
    of an operation that does something on other machines."""

    key: str
    step: Step
    machine: str | None = None


SHOWS = 0.5
"""Seconds between two words about a step that is under way."""

Group = tuple[Placed, ...]  # steps that go together; a lone step is a group of one

AT_ONCE = 8
"""How many steps of a group go at a time: enough to hide waiting, too few to swamp two cores."""


@dataclass(frozen=True)
class Way:
    """A primitive's steps, placed: what comes before the commit, the commit, what comes after it."""

    before: tuple[Group, ...]
    commit: Commit | None
    after: tuple[Group, ...]


class Engine:
    """Runs and resolves operations on one node.

    `decided` is awaited with an operation's namespaces once their heads are what they will be: before it plans, and,
    while it is being resolved, before it goes either way. All of that relies on what the heads say being there, also
    after a boot.
    Of one that another machine has taken over nothing is done any more: `standing` tells. On the way to the commit no
    step is begun unless that is sure. On the ways back and on, whoever has taken it over goes the same way, and is not
    over before it has told all machines where there is something to do; so a store that is away holds nobody up there.
    """

    def __init__(
        self,
        node: Node,
        patience: Sequence[float] = PATIENCE,
        decided: Decided | None = None,
        standing: Standing = SOLE,
    ) -> None:
        self.node, self.patience = node, patience
        self.decided, self.standing = decided or _nothing, standing

    async def run(self, story: Story, primitive: Primitive, plan: Any) -> Any:
        """Carry the plan out. Returns what `verify` returns; raises TakenBack or Stuck."""
        node = self._node(story)
        way = placed(primitive.steps(plan, node), node.machine)
        try:
            for group in way.before:
                await self._do(story, group)
            if way.commit:
                story.tell("committing", way.commit.says)
                await way.commit.do()
                story.note("committed", way.commit.says)
            else:
                return await self._finish(story, primitive, plan, node)
        except Stuck:
            raise
        except (Exception, CancelledError) as failure:
            return await self.resolve(story, primitive, plan, failure)
        return await self._finish(story, primitive, plan, node)

    async def pass_by(self, story: Story, primitive: Primitive, plan: Any, use: Callable[[], Awaitable[T]]) -> T:
        """Do the steps, use what they made, and take it back in any case. Raises TakenBack if it came to nothing."""
        way = placed(primitive.steps(plan, self._node(story)), self.node.machine)
        assert way.commit
        at = f"{len(way.before)} {way.commit.says}"
        try:
            for group in way.before:
                await self._do(story, group)
            story.tell("doing", at)
            result = await use()
            story.tell("done", at)
            problems = await self._take_back(story, way)
        except (Exception, CancelledError) as failure:
            return await self.resolve(story, primitive, plan, failure)  # type: ignore[no-any-return]
        if problems:
            raise _stuck(story, f"what was made for it is still there: {'; '.join(problems)}")
        story.tell("finished")
        return result

    async def resolve(self, story: Story, primitive: Primitive, plan: Any, failure: BaseException | None = None) -> Any:
        """Bring an operation that was cut short to its ending."""
        forget_cancellation()
        with suppress(Refused):
            if not await self.standing.is_ours(story):
                raise not_ours(story)
        if failure:
            story.note("failed", why=reason(failure))
        why, node = _first_failure(story), self._node(story)
        way = placed(primitive.steps(plan, node), node.machine)
        committed = await self._committed(story, way)
        await self._tell_decided(story)
        if committed:
            return await self._finish(story, primitive, plan, node)
        if problems := await self._take_back(story, way):
            raise _stuck(story, f"{why}; then, taking it back: {'; '.join(problems)}")
        try:
            story.tell("taken_back", why=why)
        except Unwritten as unwritten:
            raise _stuck(story, f"{why}; everything is taken back, but {reason(unwritten)}") from unwritten
        raise TakenBack(code(failure), _cannot(story), why, f"ployzctl op show {story.operation}")

    async def _require_ours(self, story: Story) -> None:
        """Raises Stuck `operation.taken_over`, and Refused where that cannot be found out."""
        if not await self._insist(lambda: self.standing.is_ours(story)):
            raise not_ours(story)

    def _require_untold(self, story: Story) -> None:
        """Raises Stuck `operation.taken_over` if this machine was told so."""
        if self.standing.was_told(story):
            raise not_ours(story)

    async def _committed(self, story: Story, way: Way) -> bool:
        if not way.commit:
            return True
        if story.has("committed"):
            return True
        if not story.has("committing"):
            return False
        try:
            committed = await self._insist(way.commit.settle)
        except Exception as failure:
            raise _stuck(story, f"it is not known whether it was committed: {reason(failure)}") from failure
        if committed:
            story.note("committed", way.commit.says)
        return committed

    async def _tell_decided(self, story: Story) -> None:
        try:
            await self.decided(list(story.heading.claims))
        except Exception as failure:
            raise _stuck(story, f"what was committed does not run yet: {reason(failure)}") from failure

    def _node(self, story: Story) -> Node:
        """The machine that planned, as the operation sees it from here on: a turn of its own, which all are told.

        In its first term an operation is on the machine that planned it, which may have joined under another name. The
        mesh is that of whoever carries it on: each machine follows the records by itself, and the one that planned may
        be gone for good.
        """
        heading = story.heading
        tokens = {name: token for name, token in heading.tokens.items() if heading.claims.get(name) == "change"}
        node = self.node.during(story.operation, tokens, Turn(heading.term, len(story.events)))
        planned_on = heading.planned_on if heading.term else ""
        return replace(node.at(planned_on or node.machine), mesh=node.mesh)

    async def _finish(self, story: Story, primitive: Primitive, plan: Any, node: Node) -> Any:
        way = placed(primitive.steps(plan, node), node.machine)
        try:
            for group in way.after:
                await self._do(story, group, insist=True)
            result = await self._insist(lambda: primitive.verify(plan, node, story))
            story.tell("finished")
        except Stuck:
            raise
        except Exception as failure:
            raise _stuck(story, f"it is committed, but not all that follows is done: {reason(failure)}") from failure
        return result

    async def _do(self, story: Story, group: Group, *, insist: bool = False) -> None:
        bound, tell = asyncio.Semaphore(AT_ONCE), story.note if insist else story.tell

        async def one(placed: Placed) -> None:
            if story.has("done", placed.key):
                return
            async with bound:
                if insist:
                    self._require_untold(story)
                else:
                    await self._require_ours(story)
                tell("doing", placed.key, machine=placed.machine)
                async with _shown(story, placed):
                    await (self._go_on(placed) if insist else _alone(placed.step.do))
                moved = await placed.step.moved() if placed.step.moved else None
                tell("done", placed.key, machine=placed.machine, bytes=moved)

        await together([one(placed) for placed in group])

    async def _go_on(self, placed: Placed) -> None:
        try:
            await self._insist(placed.step.do, placed)
        except Exception:
            if not await self._is_void(placed):
                raise

    async def _is_void(self, placed: Placed) -> bool:
        """Whether what cannot be done was to be done on a machine that nobody waits for any more."""
        if not placed.machine:
            return False
        try:
            return await is_lost(placed.machine, self.node.members)
        except Refused:
            return False

    async def _take_back(self, story: Story, way: Way) -> list[str]:
        """Undo every step, newest first, those that put a service back before all others; say what failed.

        Also what left no trace in the story is undone: what bears no mark of ours is not touched.
        """
        groups = list(reversed(way.before))
        restoring = [tuple(p for p in group if p.step.restores) for group in groups]
        others = [tuple(p for p in group if not p.step.restores) for group in groups]
        problems: list[str] = []
        for group in [*restoring, *others]:
            told = await together([self._undo(story, placed) for placed in group])
            problems += [said for said in told if said]
        return problems

    async def _undo(self, story: Story, placed: Placed) -> str:
        if not placed.step.undo or story.has("undone", placed.key):
            return ""
        self._require_untold(story)
        story.note("undoing", placed.key, machine=placed.machine)
        try:
            await self._insist(placed.step.undo, placed)
        except Exception as failure:
            if not await self._is_void(placed):
                return f"{placed.step.says}: {reason(failure)}"
        story.note("undone", placed.key, machine=placed.machine)
        return ""

    async def _insist(self, effect: Callable[[], Awaitable[T]], of: Placed | None = None) -> T:
        for pause in self.patience:
            try:
                return await _alone(effect)
            except Exception:
                if of and await self._is_void(of):
                    raise
                await asyncio.sleep(pause)
        return await _alone(effect)


@asynccontextmanager
async def _shown(story: Story, placed: Placed) -> AsyncIterator[None]:
    """Tell meanwhile how far the step is, if it knows."""
    moved, total = placed.step.moved, placed.step.bytes
    if not moved:
        yield
        return

    async def show() -> None:
        while True:
            await asyncio.sleep(SHOWS)
            if (now := await moved()) is not None:
                story.show(placed.key, placed.machine, now, total)

    showing = asyncio.create_task(show())
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.wait({showing})


async def _nothing(_namespaces: Sequence[str]) -> None:
    """Nobody wants to know."""


async def _alone(effect: Callable[[], Awaitable[T]]) -> T:
    """A cancellation that nobody asked this task for is a failure like any other: what it waited for was cancelled."""
    try:
        return await effect()
    except CancelledError:
        task = asyncio.current_task()
        if task and task.cancelling():
            raise
        raise ConnectionAbortedError("what it waited for was cancelled") from None


def forget_cancellation() -> None:
    """It is dealt with from here on: one that is still pending would be raised again by the next group of tasks."""
    task = asyncio.current_task()
    while task and task.cancelling():
        task.uncancel()


def placed(parts: Sequence[Part], here: str = "") -> Way:
    """The steps under their positions and words. On a machine that does all of them itself, none says where."""
    if not parts:
        return Way((), None, ())
    [at] = [position for position, part in enumerate(parts) if isinstance(part, Commit)]
    commit = parts[at]
    assert isinstance(commit, Commit)
    groups = [_group(position, part) for position, part in enumerate(parts)]
    if {each.machine for group in groups for each in group} <= {here, None}:
        groups = [tuple(replace(each, machine=None) for each in group) for group in groups]
    return Way(tuple(groups[:at]), commit, tuple(groups[at + 1 :]))


async def together(efforts: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all of them. When one fails the others are cancelled and waited for, and its failure is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(effort) for effort in efforts]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


def _group(position: int, part: Part) -> Group:
    if isinstance(part, Together):
        return tuple(_placed(f"{position}.{at}", step) for at, step in enumerate(part.steps))
    return (_placed(str(position), part),) if isinstance(part, Step) else ()


def _placed(position: str, step: Step) -> Placed:
    return Placed(f"{position} {step.says}", step, step.machine or None)


def _cannot(story: Story) -> str:
    return cannot(story.heading.primitive, names(story.heading.request, story.heading.claims))


def _first_failure(story: Story) -> str:
    return next((event.why for event in story.events if event.kind == "failed"), "it was cut short")


def not_ours(story: Story) -> Stuck:
    """Another machine has taken it over: nothing more is done here."""
    why = "another machine has taken it over, and brings it to its end"
    return Stuck("operation.taken_over", _cannot(story), why, f"ployzctl op resume {story.operation}")


def _stuck(story: Story, why: str) -> Stuck:
    story.note("stuck", why=why)
    if story.behind:
        return unwritable(story, why)
    return Stuck("operation.stuck", _cannot(story), why, f"ployzctl op resume {story.operation}")


def unwritable(story: Story, why: str) -> Stuck:
    """Its journal cannot be written to its end."""
    hint = f"{TRY['journal.unwritable']}, then ployzctl op resume {story.operation}"
    return Stuck("journal.unwritable", _cannot(story), why, hint)
