"""Logs of several instances, by time, and on as they are written."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from daemon.wire import Event, Logs, Output
from runtime.instance import EngineProblem
from tests.fakes.seen import SeenEngine, condition
from tests.unit.test_looking import World


def at(second: int) -> str:
    return f"2030-01-01T00:00:{second:02}.000000000Z"


class Told:
    """What was told so far, as `<instance> <line>`."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = asyncio.Condition()

    async def __call__(self, line: Event | Output) -> None:
        assert isinstance(line, Output)
        async with self._more:
            self.lines.append(f"{line.instance} {line.data.decode()}")
            self._more.notify_all()

    async def until(self, *lines: str) -> None:
        async with asyncio.timeout(10), self._more:
            await self._more.wait_for(lambda: len(self.lines) >= len(lines))
        assert self.lines == list(lines)


def engine(*written: tuple[str, int, bytes]) -> SeenEngine:
    made = SeenEngine(condition("web-1"), condition("web-2"))
    for id, second, said in written:
        made.lines.setdefault(id, []).append(("stdout", at(second), said))
    return made


PAST = (("web-1", 1, b"a"), ("web-1", 4, b"d"), ("web-2", 2, b"b"), ("web-2", 3, b"c"), ("web-2", 5, b"e"))


def told(request: Logs, *written: tuple[str, int, bytes]) -> tuple[str, list[str]]:
    async def story() -> tuple[str, list[str]]:
        world, lines = World(engine(*written)), Told()
        success = await world.looking.look(request, lines)
        return " ".join(success.warnings), [line.split()[1] for line in lines.lines]

    return asyncio.run(story())


@pytest.mark.parametrize(
    ("since", "tail", "letters"),
    [
        (None, None, "abcde"),
        (None, 3, "cde"),
        (None, 0, ""),
        (None, 99, "abcde"),
        (at(3), None, "cde"),
        ("2030-01-01T00:00:03", None, "cde"),
        ("2030-01-01T01:00:04+01:00", None, "de"),
        ("1m", None, "abcde"),
        (at(2), 2, "de"),
    ],
)
def test_lines_are_merged_by_time(since: str | None, tail: int | None, letters: str) -> None:
    assert told(Logs("shop", "web", since=since, tail=tail), *PAST) == ("", list(letters))


def test_a_duration_counts_back_from_now() -> None:
    async def story() -> list[str]:
        world, lines = World(engine(*PAST)), Told()
        world.minutes = 1
        await world.looking.look(Logs("shop", "web", since="57s"), lines)
        return lines.lines

    assert asyncio.run(story()) == ["web-2 c", "web-1 d", "web-2 e"]


def test_an_instance_that_is_missing_is_named() -> None:
    async def story() -> None:
        one, lines = engine(*PAST), Told()
        one.conditions = (condition("web-1"),)
        world = World(one)
        success = await world.looking.look(Logs("shop", "web"), lines)
        assert lines.lines == ["web-1 a", "web-1 d"]
        assert success.warnings == ["instance web-2 is missing, with its log"]

    asyncio.run(story())


def following(
    test: Callable[[SeenEngine, Told, asyncio.Task[object]], Awaitable[None]], tail: int | None = None
) -> None:
    async def story() -> None:
        one, lines = engine(("web-1", 1, b"a"), ("web-2", 2, b"b"), ("web-2", 2, b"c")), Told()
        world = World(one)
        request = Logs("shop", "web", follow=True, tail=tail)
        task: asyncio.Task[object] = asyncio.create_task(world.looking.look(request, lines))
        async with asyncio.timeout(10):
            await test(one, lines, task)
        assert one.readers == 0

    asyncio.run(story())


def test_following_goes_on_after_the_past_without_a_gap_or_a_repetition() -> None:
    async def test(engine: SeenEngine, lines: Told, task: asyncio.Task[object]) -> None:
        await lines.until("web-1 a", "web-2 b", "web-2 c")
        await engine.write("web-2", at(2), b"same moment")
        await lines.until("web-1 a", "web-2 b", "web-2 c", "web-2 same moment")
        await engine.write("web-1", at(9), b"later")
        await engine.stop("web-1")
        await engine.stop("web-2")
        await task
        assert lines.lines[-1] == "web-1 later"

    following(test)


def test_following_without_the_past() -> None:
    async def test(engine: SeenEngine, lines: Told, task: asyncio.Task[object]) -> None:
        await engine.followed_by(2)
        await engine.write("web-1", at(9), b"new")
        await lines.until("web-1 new")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    following(test, tail=0)


def test_a_problem_with_one_instance_ends_all() -> None:
    async def test(engine: SeenEngine, lines: Told, task: asyncio.Task[object]) -> None:
        await lines.until("web-1 a", "web-2 b", "web-2 c")
        await engine.fail(EngineProblem("gone"))
        with pytest.raises(Exception, match="gone") as refused:
            await task
        assert refused.value.code == "engine.failed"  # type: ignore[attr-defined]

    following(test)
