"""The order in which things are done and undone, one scenario a line."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daemon import engine
from daemon.engine import Engine
from daemon.journal import Heading, Story
from daemon.node import Node
from daemon.primitive import Commit, Part, Step, Together, Told
from daemon.wire import Event, Stuck, TakenBack

NOTHING: Any = None
NO_NODE = Node("m1", "", "", *[NOTHING] * 11)  # these steps touch nothing


@dataclass
class Scripted:
    """A primitive whose touches are written down, and fail when they are named in `fails`."""

    fails: str
    trace: list[str] = field(default_factory=list)
    KIND = "scripted"
    Plan = dict

    def touch(self, name: str, answer: Any = None) -> Any:
        async def effect() -> Any:
            self.trace.append(name)
            if name in self.fails.split():
                raise RuntimeError(f"{name} failed")
            return answer

        return effect

    def step(self, name: str, *, restores: bool = False) -> Step:
        return Step(name, do=self.touch(f"{name}:do"), undo=self.touch(f"{name}:undo"), restores=restores)

    def claims(self, ask: Any) -> dict[str, Any]:
        return {}

    async def plan(self, ask: Any, node: Node, by: Any) -> dict[str, Any]:
        return {}

    def steps(self, plan: Any, node: Node) -> list[Part]:
        committed = "commit:lost" in self.fails
        return [
            self.step("stop", restores=True),
            Together((self.step("a"), self.step("b"))),
            Commit("commit", do=self.touch("commit:do"), settle=self.touch("commit:settle", committed)),
            Step("flip", do=self.touch("flip:do")),
        ]

    async def verify(self, plan: Any, node: Node, told: Told) -> Any:
        return await self.touch("verify", "so")()


def story(folder: Path) -> Story:
    heading = Heading("op-1", {"type": "scripted"}, {}, {}, {}, "me", "now", "0", 1)
    return Story.begin(folder, heading)


def test_whoever_planned_carries_on_also_under_another_name(tmp_path: Path) -> None:
    heading = Heading("op-1", {"type": "scripted"}, {}, {}, {}, "me", "now", "0", 1, planned_on="as-it-was-called")
    told = Story.begin(tmp_path, heading)
    assert asyncio.run(Engine(NO_NODE, patience=()).run(told, Scripted(""), {})) == "so"


ALL = "stop:do a:do b:do commit:do flip:do verify"
BACK = "stop:undo a:undo b:undo"


@pytest.mark.parametrize(
    ("fails", "ends", "trace"),
    [
        ("", "so", ALL),
        ("stop:do", TakenBack, f"stop:do {BACK}"),
        ("b:do", TakenBack, f"stop:do a:do b:do {BACK}"),
        ("b:do a:undo", Stuck, f"stop:do a:do b:do {BACK}"),
        ("b:do stop:undo", Stuck, f"stop:do a:do b:do {BACK}"),
        ("commit:do", TakenBack, f"stop:do a:do b:do commit:do commit:settle {BACK}"),
        ("commit:do commit:lost", "so", "stop:do a:do b:do commit:do commit:settle flip:do verify"),
        ("commit:do commit:settle", Stuck, "stop:do a:do b:do commit:do commit:settle"),
        ("flip:do", Stuck, "stop:do a:do b:do commit:do flip:do"),
        ("verify", Stuck, ALL),
    ],
)
def test_order(tmp_path: Path, fails: str, ends: Any, trace: str) -> None:
    scripted, told = Scripted(fails), story(tmp_path)
    running = Engine(NO_NODE, patience=()).run(told, scripted, {})
    if isinstance(ends, str):
        assert asyncio.run(running) == ends
        assert told.over
    else:
        with pytest.raises(ends):
            asyncio.run(running)
        assert told.over == (ends is TakenBack)
    assert scripted.trace == trace.split()


@pytest.mark.parametrize(
    ("first", "then", "ends", "trace"),
    [
        ("b:do a:undo", "", TakenBack, "a:undo"),
        ("flip:do", "", "so", "flip:do verify"),
        ("verify", "", "so", "verify"),
        ("commit:do commit:settle", "", TakenBack, f"commit:settle {BACK}"),
        ("commit:do commit:settle", "commit:lost", "so", "commit:settle flip:do verify"),
    ],
)
def test_resuming_what_is_stuck_does_only_what_is_left(
    tmp_path: Path, first: str, then: str, ends: Any, trace: str
) -> None:
    told, running = story(tmp_path), Engine(NO_NODE, patience=())
    with pytest.raises(Stuck):
        asyncio.run(running.run(told, Scripted(first), {}))
    again = Story.read(told.file)
    assert again
    scripted = Scripted(then)
    if isinstance(ends, str):
        assert asyncio.run(running.resolve(again, scripted, {})) == ends
    else:
        with pytest.raises(ends):
            asyncio.run(running.resolve(again, scripted, {}))
    assert scripted.trace == trace.split()


def test_what_has_to_succeed_is_tried_again(tmp_path: Path) -> None:
    tries = []

    async def flaky() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError("not yet")

    class Flaky(Scripted):
        def steps(self, plan: Any, node: Node) -> list[Part]:
            commit = Commit("commit", do=self.touch("commit"), settle=self.touch("settle"))
            return [commit, Step("flip", do=flaky)]

    assert asyncio.run(Engine(NO_NODE, patience=(0, 0)).run(story(tmp_path), Flaky(""), {})) == "so"
    assert len(tries) == 3


def test_the_first_failure_is_told_not_those_that_follow(tmp_path: Path) -> None:
    with pytest.raises(Stuck, match="b:do failed; then, taking it back: a: a:undo failed"):
        asyncio.run(Engine(NO_NODE, patience=()).run(story(tmp_path), Scripted("b:do a:undo"), {}))


def test_a_cancellation_is_a_failure_before_the_commit(tmp_path: Path) -> None:
    async def scenario() -> None:
        stopped = asyncio.Event()

        class Waiting(Scripted):
            def steps(self, plan: Any, node: Node) -> list[Part]:
                async def wait() -> None:
                    stopped.set()
                    await asyncio.Event().wait()

                parts = super().steps(plan, node)
                return [parts[0], Step("wait", do=wait), *parts[1:]]

        waiting = Waiting("")
        task = asyncio.create_task(Engine(NO_NODE, patience=()).run(story(tmp_path), waiting, {}))
        await stopped.wait()
        task.cancel()
        with pytest.raises(TakenBack, match="aborted"):
            await task
        assert waiting.trace == f"stop:do {BACK}".split()

    asyncio.run(scenario())


class Cancelling(Scripted):
    """A primitive whose step `a` waits for something that somebody else cancels."""

    def touch(self, name: str, answer: Any = None) -> Any:
        if name not in self.fails.split():
            return super().touch(name, answer)

        async def cancelled() -> Any:
            self.trace.append(name)
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            return await future

        return cancelled


@pytest.mark.parametrize(
    ("fails", "ends"),
    [("a:do", TakenBack), ("a:do a:undo", Stuck), ("flip:do", Stuck), ("verify", Stuck), ("commit:do", TakenBack)],
)
def test_a_cancellation_that_nobody_asked_for_is_a_failure(tmp_path: Path, fails: str, ends: type[Exception]) -> None:
    scripted = Cancelling(fails)
    with pytest.raises(ends):
        asyncio.run(Engine(NO_NODE, patience=()).run(story(tmp_path), scripted, {}))
    if ends is Stuck and "undo" in fails:
        assert scripted.trace[-3:] == BACK.split(), "the other undos go on"


def test_where_there_is_nothing_to_commit_an_abort_comes_too_late(tmp_path: Path) -> None:
    async def scenario() -> None:
        checking = asyncio.Event()

        class Unchanged(Scripted):
            def steps(self, plan: Any, node: Node) -> list[Part]:
                return []

            async def verify(self, plan: Any, node: Node, told: Told) -> Any:
                if not checking.is_set():
                    checking.set()
                    await asyncio.Event().wait()
                return "so"

        told = story(tmp_path)
        task = asyncio.create_task(Engine(NO_NODE, patience=()).run(told, Unchanged(""), {}))
        await checking.wait()
        task.cancel()
        assert await task == "so"
        assert (told.over, task.cancelling()) == (True, 0)

    asyncio.run(scenario())


@dataclass
class Spread(Scripted):
    """The same steps on machines, of which none may be this one."""

    machines: tuple[str, ...] = ()

    def steps(self, plan: Any, node: Node) -> list[Part]:
        fetches = [Step("fetch", self.touch(machine), machine=machine) for machine in self.machines]
        return [Together(tuple(fetches)), Commit("commit", do=self.touch("commit:do"), settle=self.touch("settle"))]


@pytest.mark.parametrize(
    ("machines", "told"),
    [(("m1", "m2"), ["m1", "m2"]), (("m2",), ["m2"]), (("m1", "m1"), [None, None])],
)
def test_events_say_where_a_step_is_done_unless_all_are_done_here(
    machines: tuple[str, ...], told: list[str | None], tmp_path: Path
) -> None:
    spread, begun = Spread("", machines=machines), story(tmp_path)
    asyncio.run(Engine(NO_NODE).run(begun, spread, {}))
    kept = Story.read(begun.file)
    assert kept
    for kind in ("doing", "done"):
        assert [event.machine for event in kept.events if event.kind == kind] == told


@dataclass
class Copying(Scripted):
    """A step on another machine that is under way until it has told three times how far it is."""

    def steps(self, plan: Any, node: Node) -> list[Part]:
        enough, told = asyncio.Event(), iter((None, 4, 7))

        async def copied() -> None:
            await enough.wait()

        async def moved() -> int | None:
            now = next(told, 10)
            if now == 7:
                enough.set()
            return now

        commit = Commit("commit", do=self.touch("commit:do"), settle=self.touch("settle"))
        return [Step("copy", do=copied, bytes=12, moved=moved, machine="m2"), commit]


def test_whoever_listens_hears_how_far_a_step_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing follows from it, so only what came in all is written down; what nobody knows yet is not said."""
    monkeypatch.setattr(engine, "SHOWS", 0.0)
    told, heard = story(tmp_path), list[Event]()
    told.listeners.append(heard.append)
    asyncio.run(Engine(NO_NODE, patience=()).run(told, Copying(""), {}))
    shown = [one for one in heard if one.total is not None]
    assert [(one.bytes, one.total, one.machine, one.step) for one in shown][:2] == [
        (4, 12, "m2", "0 copy"),
        (7, 12, "m2", "0 copy"),
    ]
    written = Story.read(told.file)
    assert written
    counted = [(one.kind, one.bytes) for one in written.events if one.step == "0 copy"]
    assert counted == [("doing", None), ("done", 10)]
