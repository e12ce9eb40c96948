"""Operations of other machines: listed, shown and aborted from any; of one that is away only what is recorded."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from daemon.all_operations import AllOperations
from daemon.operations import Operations
from daemon.records import Operation
from daemon.sites import Site, Sites, Told
from daemon.store import Store
from daemon.wire import Event, How, Refused, SecretSet
from tests.fakes.seen import SeenDaemon, SeenEngine, SeenPool
from tests.law.world import Halt, Line, World, boot, boot_at, founded, ignore

SET = SecretSet("shop", "KEY", b"x")


class Recorded:
    """The records as the mirror has them once it heard of everything."""

    def __init__(self) -> None:
        self.found: list[Operation] = []

    def operations(self) -> list[Operation]:
        return self.found


class Play:
    """m1 and m2 carry operations out; m1 is asked."""

    def __init__(self, world: World) -> None:
        self.world, self.mirror = world, Recorded()
        self.daemons = {"m1": boot(self.world), "m2": boot_at(self.world, "m2")}
        sites = {name: self._site(name, daemon) for name, daemon in self.daemons.items()}
        reached = Sites(sites.pop("m1"), lambda: sites)
        self.asked = AllOperations(self.daemons["m1"], self.mirror, reached, Line(self.world))

    def _site(self, name: str, daemon: Operations) -> Site:
        async def tell() -> Told:
            if name in self.world.parted:
                raise Refused("machine.unreachable", f"cannot ask {name}", "nothing was heard of it")
            return Told(daemon.rows(all=False))

        return Site(name, SeenEngine(), SeenPool(), SeenDaemon(name, tell))

    async def begun(self, at: str, id: str) -> tuple[Halt, "asyncio.Task[Any]"]:
        """An operation that stands still before its first step, or its commit."""
        halt = self.world.halt = Halt("put secrets")
        task = asyncio.create_task(self.daemons[at].mutate(SET, How(op_id=id), "ann", ignore))
        await halt.reached.wait()
        await self.heard()
        return halt, task

    async def heard(self) -> None:
        self.mirror.found = await Store(self.world.kv).operations()

    async def rows(self, *, all: bool = False) -> list[tuple[str, str, str]]:
        rows = (await self.asked.ls(all=all)).result["operations"]
        return [(row["id"], row["machine"], row["state"]) for row in rows]


def scenario(test: Callable[[Play], Coroutine[Any, Any, None]]) -> None:
    world = founded(machines=3)

    async def whole() -> None:
        async with asyncio.timeout(20):
            await test(Play(world))

    asyncio.run(whole())


def test_operations_of_all_machines_are_listed_and_of_one_that_is_away_what_is_recorded() -> None:
    async def test(play: Play) -> None:
        halt, task = await play.begun("m2", "op-far")
        assert await play.rows() == [("op-far", "m2", "running")]
        play.world.parted = {"m2"}
        told = await play.asked.ls(all=False)
        assert told.warnings == ["m2 does not answer: nothing was heard of it"]
        assert await play.rows() == await play.rows(all=True) == [("op-far", "m2", "unknown")]
        play.world.parted = set()
        halt.go.set()
        await task
        await play.heard()
        assert await play.rows() == []
        assert await play.rows(all=True) == [("op-far", "m2", "done")]

    scenario(test)


def test_one_that_was_taken_over_is_told_of_by_who_carries_it_out() -> None:
    async def test(play: Play) -> None:
        _, task = await play.begun("m1", "op-near")
        play.world.parted = {"m1"}
        await play.daemons["m2"].take("op-near")
        play.world.parted = set()
        await play.heard()
        assert await play.rows() == [("op-near", "m2", "stuck")]
        task.cancel()

    scenario(test)


def test_a_story_is_asked_of_who_has_it_and_followed_to_its_end() -> None:
    async def test(play: Play) -> None:
        halt, task = await play.begun("m2", "op-far")
        heard: list[Event] = []
        shown = (await play.asked.show("op-far", ignore, follow=False)).result
        assert (shown["operation"]["machine"], shown["operation"]["state"]) == ("m2", "running")
        assert [event["kind"] for event in shown["events"]] == ["planned", "doing"]
        following = asyncio.create_task(play.asked.show("op-far", heard.append, follow=True))
        halt.go.set()
        await task
        shown = (await following).result
        assert shown["operation"]["state"] == "done"
        assert [event.kind for event in heard] == [event["kind"] for event in shown["events"]]
        assert shown["answer"]["answer"]["kind"] == "secret"

    scenario(test)


def test_of_a_machine_that_is_away_only_the_record_is_shown() -> None:
    async def test(play: Play) -> None:
        halt, task = await play.begun("m2", "op-far")
        play.world.parted = {"m2"}
        shown = await play.asked.show("op-far", ignore, follow=True)
        assert shown.warnings[0].startswith("its story is on m2, which does not answer")
        assert (shown.result["operation"]["state"], shown.result["events"]) == ("unknown", [])
        assert shown.result["request"]["name"] == "KEY"
        with pytest.raises(Refused, match="it is m2's") as refused:
            await play.asked.abort("op-far")
        assert (refused.value.code, "--take-over" in refused.value.hint) == ("machine.unreachable", True)
        play.world.parted = set()
        halt.go.set()
        await task

    scenario(test)


def test_one_is_aborted_where_it_runs() -> None:
    async def test(play: Play) -> None:
        _, task = await play.begun("m2", "op-far")
        assert (await play.asked.abort("op-far")).result == {"id": "op-far"}
        with pytest.raises(Exception, match="aborted"):
            await task
        await play.heard()
        assert await play.rows(all=True) == [("op-far", "m2", "taken_back")]
        with pytest.raises(Refused) as refused:
            await play.asked.abort("op-far")
        assert refused.value.code == "operation.not_running"
        with pytest.raises(Refused) as refused:
            await play.asked.show("op-none", ignore, follow=False)
        assert refused.value.code == "operation.missing"

    scenario(test)
