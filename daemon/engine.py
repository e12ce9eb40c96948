"""How every primitive goes. A failure, a cancellation and a crash are one thing: read the story, go back or go on.

Before the commit the way is back, after it forward; if it is not known which, `settle` decides for good. A step
before the commit, and the commit, are only begun once that is written down. The ways back and on are taken also where
nothing can be written: whoever resumes takes them again. But what is not written to its end is not over: it is stuck.
"""

import asyncio
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from daemon.journal import Story, Unwritten
from daemon.node import Node
from daemon.primitive import Commit, Part, Primitive, Step, Together
from daemon.problems import TRY, cannot, code, reason
from daemon.wire import Stuck, TakenBack

T = TypeVar("T")

PATIENCE = (0.2, 1.0, 4.0)
"""Seconds between tries of what has to succeed: steps after the commit, undos, and the settling itself."""


Decided = Callable[[Sequence[str]], Awaitable[None]]


@dataclass(frozen=True)
class Placed:
    """A step under its position and words, which is how the story knows it."""

    key: str
    step: Step


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

    `decided` is awaited while an operation is being resolved, with its namespaces, once their heads are what they
    will be and before it goes on either way: both ways rely on what the heads say being there, also after a boot.
    """

    def __init__(self, node: Node, patience: Sequence[float] = PATIENCE, decided: Decided | None = None) -> None:
        self.node, self.patience, self.decided = node, patience, decided or _nothing

    async def run(self, story: Story, primitive: Primitive, plan: Any) -> Any:
        """Carry the plan out. Returns what `verify` returns; raises TakenBack or Stuck."""
        way = placed(primitive.steps(plan, self.node))
        try:
            for group in way.before:
                await self._do(story, group)
            if way.commit:
                story.tell("committing", way.commit.says)
                await way.commit.do()
                story.note("committed", way.commit.says)
            else:
                return await self._finish(story, primitive, plan)
        except Stuck:
            raise
        except (Exception, CancelledError) as failure:
            return await self.resolve(story, primitive, plan, failure)
        return await self._finish(story, primitive, plan)

    async def pass_by(self, story: Story, primitive: Primitive, plan: Any, use: Callable[[], Awaitable[T]]) -> T:
        """Do the steps, use what they made, and take it back in any case. Raises TakenBack if it came to nothing."""
        way = placed(primitive.steps(plan, self.node))
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
        if failure:
            story.note("failed", why=reason(failure))
        _forget_cancellation()
        why = _first_failure(story)
        way = placed(primitive.steps(plan, self.node))
        committed = await self._committed(story, way)
        await self._tell_decided(story)
        if committed:
            return await self._finish(story, primitive, plan)
        if problems := await self._take_back(story, way):
            raise _stuck(story, f"{why}; then, taking it back: {'; '.join(problems)}")
        try:
            story.tell("taken_back", why=why)
        except Unwritten as unwritten:
            raise _stuck(story, f"{why}; everything is taken back, but {reason(unwritten)}") from unwritten
        raise TakenBack(code(failure), _cannot(story), why, f"ployzctl op show {story.operation}")

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

    async def _finish(self, story: Story, primitive: Primitive, plan: Any) -> Any:
        way = placed(primitive.steps(plan, self.node))
        try:
            for group in way.after:
                await self._do(story, group, insist=True)
            result = await self._insist(lambda: primitive.verify(plan, self.node, story))
            story.tell("finished")
        except Exception as failure:
            raise _stuck(story, f"it is committed, but not all that follows is done: {reason(failure)}") from failure
        return result

    async def _do(self, story: Story, group: Group, *, insist: bool = False) -> None:
        bound, tell = asyncio.Semaphore(AT_ONCE), story.note if insist else story.tell

        async def one(placed: Placed) -> None:
            if story.has("done", placed.key):
                return
            async with bound:
                tell("doing", placed.key)
                await (self._insist(placed.step.do) if insist else _alone(placed.step.do))
                tell("done", placed.key)

        await together([one(placed) for placed in group])

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
        story.note("undoing", placed.key)
        try:
            await self._insist(placed.step.undo)
        except Exception as failure:
            return f"{placed.step.says}: {reason(failure)}"
        story.note("undone", placed.key)
        return ""

    async def _insist(self, effect: Callable[[], Awaitable[T]]) -> T:
        for pause in self.patience:
            try:
                return await _alone(effect)
            except Exception:
                await asyncio.sleep(pause)
        return await _alone(effect)


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


def _forget_cancellation() -> None:
    """It is dealt with from here on: one that is still pending would be raised again by the next group of tasks."""
    task = asyncio.current_task()
    while task and task.cancelling():
        task.uncancel()


def placed(parts: Sequence[Part]) -> Way:
    """The steps under their positions and words."""
    if not parts:
        return Way((), None, ())
    [at] = [position for position, part in enumerate(parts) if isinstance(part, Commit)]
    commit = parts[at]
    assert isinstance(commit, Commit)
    groups = [_group(position, part) for position, part in enumerate(parts)]
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
        return tuple(Placed(f"{position}.{at} {step.says}", step) for at, step in enumerate(part.steps))
    return (Placed(f"{position} {part.says}", part),) if isinstance(part, Step) else ()


def _cannot(story: Story) -> str:
    return cannot(story.heading.primitive, story.heading.claims)


def _first_failure(story: Story) -> str:
    return next((event.why for event in story.events if event.kind == "failed"), "it was cut short")


def _stuck(story: Story, why: str) -> Stuck:
    story.note("stuck", why=why)
    if story.behind:
        return unwritable(story, why)
    return Stuck("operation.stuck", _cannot(story), why, f"ployzctl op resume {story.operation}")


def unwritable(story: Story, why: str) -> Stuck:
    """Its journal cannot be written to its end."""
    hint = f"{TRY['journal.unwritable']}, then ployzctl op resume {story.operation}"
    return Stuck("journal.unwritable", _cannot(story), why, hint)
