"""Who died is led to no more, and again once it is ready; what an operation withdrew is not looked at."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine
from typing import Any

import pytest

from daemon.manifest import parse
from daemon.node import ServingProblem
from daemon.records import Running, Service
from daemon.watching import Watching
from runtime.instance import Check, NotReady

MANIFEST = 'namespace = "shop"\n[services.web]\nimage = "web"\nreplicas = 2\nready = { exec = ["true"], every = "1ms" }'
BOTH = frozenset({"web-1", "web-2"})


class FakeRuntime:
    """Tells what it is told to tell. Instances in `unready` are not ready until they leave it."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[frozenset[str]] = asyncio.Queue()
        self.unready: set[str] = set()
        self.asked: list[str] = []

    async def running(self) -> AsyncGenerator[frozenset[str], None]:
        while True:
            yield await self.told.get()

    async def ready(self, id: str, check: Check) -> None:
        self.asked.append(id)
        if id in self.unready:
            raise NotReady(f"{id} is not ready")


class FakePlane:
    """Two instances of a service here, and one elsewhere."""

    def __init__(self) -> None:
        service = parse(MANIFEST).services["web"]
        places = (("web-1", "m1"), ("web-2", "m1"), ("web-far", "m2"))
        running = tuple(Running(id, machine, "10.210.1.7", "op-1") for id, machine in places)
        self.service = Service("web", service, "web", "sha256:1", "x", None, (), (), running)
        self.withdrawn: set[str] = set()
        self.down: frozenset[str] = frozenset()
        self.fails = False
        self.changed = asyncio.Event()

    def led_to(self) -> dict[str, Service]:
        return {each.id: self.service for each in self.service.instances if each.id not in self.withdrawn}

    async def mark_down(self, instances: Collection[str]) -> None:
        if self.fails:
            raise ServingProblem("nft would not")
        self.down = frozenset(instances)
        self.changed.set()


class Scene:
    def __init__(self) -> None:
        self.plane, self.runtime = FakePlane(), FakeRuntime()
        self.told: list[set[str]] = []
        self.watching = Watching("m1", self.plane, [self.runtime], self.hear)

    async def hear(self, down: Collection[str]) -> None:
        """What other machines are told."""
        self.told.append(set(down))

    async def tell(self, *running: str) -> None:
        """And let it be heard."""
        self.runtime.told.put_nowait(frozenset(running))
        for _ in range(10):
            await asyncio.sleep(0)


def scenario(test: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(10):
            scene = Scene()
            following = asyncio.create_task(scene.watching.follow())
            await scene.watching.begin(())
            await test(scene)
            following.cancel()

    asyncio.run(whole())


def test_who_died_is_down_until_it_is_ready_again() -> None:
    async def test(scene: Scene) -> None:
        await scene.tell(*BOTH)
        assert (scene.plane.down, scene.runtime.asked) == (frozenset(), [])
        scene.runtime.unready.add("web-1")
        await scene.tell("web-2")
        assert scene.plane.down == {"web-1"}
        await scene.tell(*BOTH)
        assert (scene.plane.down, scene.runtime.asked[:1]) == (frozenset({"web-1"}), ["web-1"])
        scene.plane.changed.clear()
        scene.runtime.unready.clear()
        await scene.plane.changed.wait()
        assert scene.plane.down == frozenset()

    scenario(test)


def test_who_dies_again_before_it_is_ready_stays_down() -> None:
    async def test(scene: Scene) -> None:
        scene.runtime.unready.add("web-1")
        for running in (("web-2",), tuple(BOTH), ("web-2",)):
            await scene.tell(*running)
        scene.runtime.unready.clear()
        asked = len(scene.runtime.asked)
        await scene.tell("web-2", "another")
        assert (scene.plane.down, len(scene.runtime.asked)) == (frozenset({"web-1"}), asked)

    scenario(test)


def test_what_is_dead_at_the_first_look_is_down() -> None:
    async def test(scene: Scene) -> None:
        await scene.tell()
        assert scene.plane.down == BOTH

    scenario(test)


def test_who_is_held_is_down_although_it_runs_and_up_once_released_and_ready() -> None:
    async def test(scene: Scene) -> None:
        await scene.watching.begin(["web-1"])
        await scene.tell("web-2")
        assert scene.plane.down == {"web-1"}
        await scene.tell(*BOTH)
        await scene.tell(*BOTH, "another")
        assert (scene.plane.down, scene.runtime.asked) == (frozenset({"web-1"}), [])
        scene.plane.changed.clear()
        await scene.watching.release(["web-1"])
        await scene.plane.changed.wait()
        assert (scene.plane.down, scene.runtime.asked) == (frozenset(), ["web-1"])

    scenario(test)


def test_who_is_released_before_anything_is_known_is_led_to_once_it_is_ready() -> None:
    async def test(scene: Scene) -> None:
        await scene.watching.begin(BOTH)
        await scene.watching.release(BOTH)
        assert scene.plane.down == BOTH
        scene.plane.changed.clear()
        scene.runtime.unready.add("web-2")
        await scene.tell(*BOTH)
        await scene.plane.changed.wait()
        assert (scene.plane.down, frozenset(scene.runtime.asked)) == (frozenset({"web-2"}), BOTH)

    scenario(test)


def test_what_an_operation_withdrew_is_its_own_business() -> None:
    async def test(scene: Scene) -> None:
        scene.plane.withdrawn = {"web-1"}
        await scene.tell("web-2", "candidate")
        await scene.tell("web-2")
        assert scene.plane.down == frozenset()

    scenario(test)


def test_what_could_not_be_applied_is_taken_along_by_the_next() -> None:
    async def test(scene: Scene) -> None:
        scene.plane.fails = True
        await scene.tell("web-2")
        assert scene.plane.down == frozenset()
        scene.plane.fails = False
        await scene.tell()
        assert scene.plane.down == BOTH

    scenario(test)


@pytest.mark.parametrize("gone", ["web-1", "web-2"])
def test_what_is_not_committed_any_more_is_forgotten(gone: str) -> None:
    async def test(scene: Scene) -> None:
        await scene.tell(*(BOTH - {gone}))
        assert scene.plane.down == {gone}
        scene.plane.withdrawn = {gone}
        await scene.tell(*(BOTH - {gone}))
        assert scene.plane.down == frozenset()

    scenario(test)


def test_others_are_told_who_is_down_once_that_is_known_and_whenever_it_changes() -> None:
    async def test(scene: Scene) -> None:
        assert scene.told == []
        await scene.tell(*BOTH)
        assert scene.told == [set()]
        await scene.tell("web-2")
        assert scene.told[-1] == {"web-1"}
        await scene.tell(*BOTH)
        while scene.told[-1]:
            await asyncio.sleep(0.001)

    scenario(test)
