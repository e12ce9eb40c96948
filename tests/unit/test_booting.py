"""What starts after a boot: in order, each once what it comes after is ready, or has had its time to be."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from daemon.booting import Boot
from runtime.instance import Check, EngineProblem, NotReady
from tests.fakes.engine import FakeEngine
from tests.law.cases import SEES, secret, shop
from tests.law.world import World, ask, boot, founded

DB, WEB = "shop-db-1-op-1", "shop-web-1-op-1"


class Patient(FakeEngine):
    """The same engine, in which nothing is ready before it is said. `story` is what happened, in order."""

    def __init__(self, engine: FakeEngine) -> None:
        vars(self).update(vars(engine))
        self.story: list[str] = []
        self.ready_now = asyncio.Event()
        self.failure: EngineProblem | None = None

    async def start(self, id: str) -> None:
        self.story.append(f"start {id}")
        await super().start(id)

    async def ready(self, id: str, check: Check) -> None:
        self.story.append(f"ask {id}")
        await self.ready_now.wait()
        if self.failure:
            raise self.failure

    async def release(self, instances: Collection[str]) -> None:
        self.story += [f"lead to {id}" for id in instances]


@pytest.fixture
def world() -> Iterator[World]:
    """A shop whose power was cut. Its page has a secret, which is a mount, so the engine starts nothing by itself."""
    with closing(founded()) as made:
        assert ask(made, secret(b"one"), "op-0") == "done"
        assert ask(made, shop(more=SEES), "op-1") == "done"
        made.power_cut()
        yield made


def story(world: World, test: Callable[[Boot, Patient], Awaitable[Any]]) -> list[str]:
    """What happened while `test` started a machine anew."""

    async def told() -> list[str]:
        engine = Patient(world.instances)
        node = replace(boot(world).means.engine.node, instances=engine)
        starting = Boot(node, world.disk / "memory", engine.release)
        assert await starting.begin() == {DB, WEB}, "nobody is led to anything before it is released"
        await test(starting, engine)
        assert not starting.note.pending
        return engine.story

    return asyncio.run(told())


async def quiet() -> None:
    """Let everybody go on who can."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_a_page_starts_once_its_database_is_ready(world: World) -> None:
    async def test(starting: Boot, engine: Patient) -> None:
        going = asyncio.create_task(starting.start_all_but(()))
        await quiet()
        assert engine.story == [f"start {DB}", f"lead to {DB}", f"ask {DB}"]
        engine.ready_now.set()
        await going

    assert story(world, test)[3:] == [f"start {WEB}", f"lead to {WEB}"], "and nobody waits for what nothing comes after"


def test_a_database_that_does_not_get_ready_holds_its_page_up_no_longer_than_its_check(world: World) -> None:
    async def test(starting: Boot, engine: Patient) -> None:
        engine.failure = NotReady(f"{DB} was not ready within 30 seconds")
        engine.ready_now.set()
        await starting.start_all_but(())

    assert story(world, test)[3:] == [f"start {WEB}", f"lead to {WEB}"]


def test_whoever_asks_meanwhile_waits_for_the_one_start_there_is(world: World) -> None:
    async def test(starting: Boot, engine: Patient) -> None:
        waiting = [asyncio.create_task(starting.start(["shop"])) for _ in range(3)]
        await quiet()
        waiting.pop().cancel()
        await quiet()
        assert not any(task.done() for task in waiting)
        engine.ready_now.set()
        await asyncio.gather(*waiting)

    happened = story(world, test)
    assert len(happened) == len(set(happened)), "something was done twice"


def test_where_the_store_does_not_answer_it_is_asked_again(world: World) -> None:
    async def test(starting: Boot, engine: Patient) -> None:
        engine.ready_now.set()
        world.kv.kill()
        going = asyncio.create_task(starting.start_all_but(()))
        await quiet()
        assert (engine.story, starting.note.pending) == ([], ("shop",))
        world.kv.start()
        await asyncio.wait_for(going, 10)

    assert f"start {WEB}" in story(world, test)


def test_until_the_store_was_in_sight_it_is_told_why_nothing_is_started(world: World) -> None:
    async def told() -> tuple[Any, Any]:
        node = boot(world).means.engine.node
        head = (await node.records.namespace("shop")).head
        assert head
        starting = Boot(node, world.disk / "memory")
        before = starting.reasons([head])
        await starting.begin()
        return before, starting.reasons([head])

    before, after = asyncio.run(told())
    assert before.keys() == {DB, WEB}
    assert "have not been in sight" in before[DB]
    assert after == {}
