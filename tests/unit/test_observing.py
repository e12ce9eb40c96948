"""What machines say of themselves, and what is held of those that say nothing: over a bus in memory."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from daemon.node import ServingProblem
from daemon.observing import SILENCE, Observing
from daemon.records import Machine
from dataplane.entry import StoreDown
from tests.fakes.seen import AT

NAMES = ("m1", "m2", "m3")


class FakePlane:
    def __init__(self) -> None:
        self.machines: set[str] = set()
        self.instances: set[str] = set()
        self.fails = False

    async def mark_away(self, machines: Collection[str], instances: Collection[str]) -> None:
        if self.fails:
            raise ServingProblem("nft would not")
        self.machines, self.instances = set(machines), set(instances)


class Cluster:
    """Three machines that hear each other unless they are `cut` off, and take connections unless they are `off`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.cut: set[str] = set()
        self.off: set[str] = set()
        self.lost: list[str] = []
        self.planes = {name: FakePlane() for name in NAMES}
        self.machines = {
            name: Machine(name, name, f"10.210.{at}.0/24", f"10.210.{at}.1", AT, "1") for at, name in enumerate(NAMES)
        }
        self.removed: set[str] = set()
        self.at = {name: self.observing(name) for name in NAMES}

    def observing(self, name: str) -> Observing:
        async def say(word: bytes) -> None:
            if name in self.cut:
                raise StoreDown("not connected")
            for other in self.at.values():
                if other.machine not in self.cut:
                    other.hear(name, word)

        async def knock(machine: Machine) -> bool:
            return machine.name not in self.off

        plane, lost = self.planes[name], self.lost.append
        members, removed = lambda: self.machines, lambda: self.removed
        return Observing(name, members, removed, plane, say, knock, lost, lambda: self.now, beat=0.001)

    async def passes(self, seconds: float) -> None:
        """Time, during which everybody speaks and looks."""
        for _ in range(int(seconds)):
            self.now += 1
            await asyncio.sleep(0.01)


def scenario(test: Callable[[Cluster], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(20):
            cluster = Cluster()
            tasks = [asyncio.create_task(each.follow()) for each in cluster.at.values()]
            for each in cluster.at.values():
                await each.tell(())
            await test(cluster)
            for task in tasks:
                task.cancel()

    asyncio.run(whole())


def test_who_is_down_is_told_at_once_and_taken_back_when_it_is_up() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.at["m2"].tell({"web-2"})
        await asyncio.sleep(0.01)
        assert cluster.planes["m1"].instances == cluster.planes["m3"].instances == {"web-2"}
        await cluster.at["m2"].tell(())
        await asyncio.sleep(0.01)
        assert cluster.planes["m1"].instances == set()

    scenario(test)


def test_a_word_that_was_lost_is_said_again() -> None:
    async def test(cluster: Cluster) -> None:
        cluster.cut = {"m1"}
        await cluster.at["m2"].tell({"web-2"})
        await asyncio.sleep(0.01)
        assert cluster.planes["m1"].instances == set()
        cluster.cut = set()
        await asyncio.sleep(0.05)
        assert cluster.planes["m1"].instances == {"web-2"}

    scenario(test)


def test_a_machine_is_gone_that_says_nothing_and_takes_no_connection() -> None:
    async def test(cluster: Cluster) -> None:
        cluster.cut, cluster.off = {"m3"}, {"m3"}
        await cluster.passes(SILENCE - 1)
        assert (cluster.planes["m1"].machines, cluster.at["m1"].silence("m3")) == (set(), "")
        await cluster.passes(3)
        assert cluster.planes["m1"].machines == cluster.planes["m2"].machines == {"m3"}
        assert "m3" in cluster.lost
        assert "nobody is led to its instances" in cluster.at["m1"].silence("m3")
        assert (cluster.at["m1"].last_heard("m3") or "never") in cluster.at["m1"].silence("m3")
        assert cluster.at["m1"].last_heard("m9") is None

    scenario(test)


def test_a_machine_that_takes_connections_again_is_led_to_only_once_it_says_who_is_up() -> None:
    async def test(cluster: Cluster) -> None:
        cluster.cut, cluster.off = {"m3"}, {"m3"}
        await cluster.passes(SILENCE + 3)
        cluster.off = set()
        await cluster.passes(3)
        assert cluster.planes["m1"].machines == {"m3"}
        await cluster.at["m3"].tell({"web-3"})
        cluster.cut = set()
        await asyncio.sleep(0.05)
        assert (cluster.planes["m1"].machines, cluster.planes["m1"].instances) == (set(), {"web-3"})

    scenario(test)


def test_nobody_is_led_to_a_machine_that_was_removed_unless_another_has_its_name() -> None:
    async def test(cluster: Cluster) -> None:
        gone = cluster.machines.pop("m3")
        cluster.removed = {"m3"}
        await asyncio.sleep(0.05)
        assert cluster.planes["m1"].machines == cluster.planes["m2"].machines == {"m3"}
        cluster.machines["m3"] = gone
        cluster.removed = set()
        await asyncio.sleep(0.05)
        assert cluster.planes["m1"].machines == set()

    scenario(test)


def test_that_a_machine_is_back_is_noticed_on_both_sides() -> None:
    async def test(cluster: Cluster) -> None:
        cluster.cut = {"m3"}
        await cluster.passes(SILENCE - 1)
        cluster.cut = set()
        await cluster.passes(2)
        assert not any(each.back.is_set() for each in cluster.at.values()), "it was not silent for long enough"
        cluster.cut = {"m3"}
        await cluster.passes(SILENCE + 1)
        assert not any(each.back.is_set() for each in cluster.at.values())
        cluster.cut = set()
        await cluster.passes(1)
        assert all(each.back.is_set() for each in cluster.at.values())

    scenario(test)


def test_where_only_the_daemon_is_dead_what_runs_there_is_led_to() -> None:
    async def test(cluster: Cluster) -> None:
        cluster.cut = {"m3"}
        await cluster.passes(SILENCE + 5)
        assert (cluster.planes["m1"].machines, cluster.lost) == (set(), [])
        assert "what runs there may go on" in cluster.at["m1"].silence("m3")

    scenario(test)


def test_nobody_speaks_before_it_is_known_who_is_up() -> None:
    async def test(cluster: Cluster) -> None:
        fresh = cluster.observing("m2")
        cluster.at["m2"] = fresh
        heard: list[bytes] = []

        async def say(word: bytes) -> None:
            heard.append(word)

        fresh.say = say
        task = asyncio.create_task(fresh.follow())
        await asyncio.sleep(0.02)
        assert heard == []
        await fresh.tell(())
        assert heard == [b'{"down":[]}']
        task.cancel()

    scenario(test)


def test_what_could_not_be_applied_is_tried_again_and_nonsense_is_not_heard() -> None:
    async def test(cluster: Cluster) -> None:
        cluster.planes["m1"].fails = True
        await cluster.at["m2"].tell({"web-2"})
        await asyncio.sleep(0.01)
        cluster.planes["m1"].fails = False
        await asyncio.sleep(0.05)
        assert cluster.planes["m1"].instances == {"web-2"}
        cluster.at["m1"].hear("m2", b"[]")
        await asyncio.sleep(0.01)
        assert cluster.planes["m1"].instances == {"web-2"}

    scenario(test)
