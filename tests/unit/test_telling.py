"""What a daemon tells of its machine is what another one hears: over a line in memory, of what this machine is."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from daemon.distances import distances
from daemon.machine import Up
from daemon.peers.daemons import KINDS, DaemonThere
from daemon.records import Machine
from daemon.sites import Daemon, Told
from daemon.telling import Telling
from daemon.wire import MachineRuntime, OperationRow, Refused
from dataplane.calls import Question
from runtime.about import About
from runtime.instance import EngineUnavailable
from runtime.memory import told
from tests.fakes.line import FakeLine
from tests.fakes.seen import AT, SeenMirror

HERE, NEAR, NOWHERE = "127.0.0.1", "127.0.0.2", "255.255.255.255"
RUNNING = OperationRow("op-1", "deploy", "running", "ann", AT)


def machine(name: str, address: str) -> Machine:
    return Machine(name, name, "", address, AT, "0.1.0")


class Docker:
    def __init__(self) -> None:
        self.problem: EngineUnavailable | None = None

    async def about(self) -> About:
        if self.problem:
            raise self.problem
        return About("26.1.5", "overlay2", ("memory",))


class Heard:
    """The daemon of m2, which answers over a line, as m1 hears it."""

    def __init__(self) -> None:
        self.line, self.docker = FakeLine(), Docker()
        mirror = SeenMirror(stale_since=AT)
        machines = {"m1": machine("m1", NEAR), "m2": machine("m2", HERE)}
        mirror.machines = lambda: machines  # type: ignore[method-assign]
        among = SimpleNamespace(mirror=mirror, calls=SimpleNamespace(answer=self.answer))
        boot = SimpleNamespace(reasons=lambda _heads: {"web-1": "no image"})
        node, engines = SimpleNamespace(machine="m2"), SimpleNamespace(docker=self.docker)
        self.telling = Telling(cast(Up, SimpleNamespace(node=node, among=among, boot=boot, engines=engines)), running)
        self.there = DaemonThere("m2", self.line)

    async def answer(self, subject: str, handler: Callable[[Question], Awaitable[bytes]]) -> None:
        _, machine, kind = subject.split(".")
        self.line.there[machine, kind] = partial(self._answered, subject, handler)

    async def _answered(self, subject: str, handler: Callable[[Question], Awaitable[bytes]], question: bytes) -> bytes:
        async def say(_: bytes) -> None:
            raise AssertionError("nothing is said before the answer")

        return await handler(Question(subject, question, say))


async def running() -> list[OperationRow]:
    return [RUNNING]


def play(story: Callable[[Heard], Awaitable[None]]) -> None:
    async def played() -> None:
        heard = Heard()
        await heard.telling.answer()
        await story(heard)

    asyncio.run(played())


def test_every_kind_of_question_is_a_verb_of_a_daemon_here_and_there() -> None:
    verbs = {name for name in vars(Daemon) if not name.startswith("_")}
    assert verbs == set(KINDS) <= set(dir(Telling)) & set(dir(DaemonThere))


def test_what_a_daemon_tells_is_heard_as_it_is() -> None:
    async def story(heard: Heard) -> None:
        assert await heard.there.tell() == Told([RUNNING], {"web-1": "no image"}, AT)
        there = await heard.there.equipment()
        assert there.capacity.processors == os.cpu_count()
        assert there.capacity.memory == told(Path("/proc/meminfo").read_text(), "MemTotal") > there.capacity.free > 0
        assert there.runtime == MachineRuntime("docker", "26.1.5", "overlay2", ["memory"])
        [pair] = await heard.there.rtts()
        assert (pair.source, pair.to, pair.median_ms is not None) == ("m2", "m1", True)

    play(story)


def test_an_engine_that_cannot_be_asked_hides_nothing_else() -> None:
    async def story(heard: Heard) -> None:
        heard.docker.problem = EngineUnavailable("no answer")
        there = await heard.there.equipment()
        assert (there.runtime, there.capacity.processors) == (None, os.cpu_count())

    play(story)


def test_a_daemon_that_does_not_answer_tells_nothing() -> None:
    async def story(heard: Heard) -> None:
        heard.line.away.add("m2")
        for verb in KINDS:
            with pytest.raises(Refused) as refused:
                await getattr(heard.there, verb)()
            assert refused.value.code == "machine.unreachable"

    play(story)


def test_a_machine_measures_all_others_and_says_who_does_not_answer() -> None:
    machines = [machine("m1", HERE), machine("m2", NEAR), machine("m3", NOWHERE)]
    near, nowhere = asyncio.run(distances("m1", machines))
    assert (near.source, near.to, nowhere.to) == ("m1", "m2", "m3")
    assert near.median_ms is not None
    assert near.stddev_ms is not None
    assert 0 < near.median_ms < 1000
    assert (nowhere.median_ms, nowhere.stddev_ms) == (None, None)
