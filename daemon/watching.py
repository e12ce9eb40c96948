"""Leads nobody to an instance that died, and everybody to it again once it is ready. Observed, never recorded."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol

from daemon.node import ServingProblem
from daemon.planning import identity
from daemon.records import Service
from daemon.wire import Refused
from runtime.instance import Check, EngineProblem

log = logging.getLogger("ployzd")


Tell = Callable[[Collection[str]], Awaitable[None]]


class Runtime(Protocol):
    """What runs instances on this machine."""

    def running(self) -> AsyncGenerator[frozenset[str], None]:
        """The ids of those that run: once whoever listens can miss no change any more, then after each one."""

    async def ready(self, id: str, check: Check) -> None:
        """Wait until it is ready. Raises EngineProblem when it ends or its time is up."""


class Plane(Protocol):
    """daemon.serving, as seen from here."""

    def led_to(self) -> Mapping[str, Service]:
        """The committed instances, by id, that no open operation withdrew."""

    async def mark_down(self, instances: Collection[str]) -> None: ...


class Watching:
    """Follows what runs on `machine`, in all its runtimes. What an open operation withdrew is that one's business.

    `tell` is told who is down as soon as that is known, and whenever it was compared again.
    """

    def __init__(self, machine: str, plane: Plane, runtimes: Sequence[Runtime], tell: Tell) -> None:
        self._machine, self._plane, self._others = machine, plane, tell
        self._running: dict[Runtime, frozenset[str] | None] = dict.fromkeys(runtimes)
        self._down: set[str] = set()
        self._held: set[str] = set()
        self._returning: dict[str, asyncio.Task[None]] = {}
        self._begun = asyncio.Event()

    async def begin(self, held: Collection[str]) -> None:
        """Serve; lead nobody to the instances that are `held` before they are released, whether they run or not.

        May be called again with others, once more is known.
        """
        self._held = set(held)
        self._down |= self._held
        await self._plane.mark_down(frozenset(self._down))
        self._begun.set()

    async def release(self, instances: Collection[str]) -> None:
        """Lead everybody to them as soon as they are ready."""
        self._held -= set(instances)
        await self._compare()

    async def follow(self) -> None:
        """Go on for ever, once it has begun."""
        await self._begun.wait()
        async with asyncio.TaskGroup() as group:
            for runtime in self._running:
                group.create_task(self._follow(runtime))

    async def _follow(self, runtime: Runtime) -> None:
        async with aclosing(runtime.running()) as told:
            async for ids in told:
                self._running[runtime] = ids
                await self._compare()

    async def _compare(self) -> None:
        """Of what came back, nobody is led there before it is ready. Nothing is known before all runtimes have told."""
        if None in self._running.values():
            return
        led, runs, before = self._led_to(), self._runtimes_by_id(), set(self._down)
        self._down = (led.keys() - runs) | ((self._down | self._held) & led.keys())
        back = (self._down & runs.keys()) - self._held
        for id in self._returning.keys() - back:
            self._returning.pop(id).cancel()
        for id in back - self._returning.keys():
            effort = self._return(runs[id], id, identity.check(led[id].specification))
            self._returning[id] = asyncio.create_task(effort)
        if self._down != before:
            await self._tell()
        else:
            await self._others(self._down)

    async def _return(self, runtime: Runtime, id: str, check: Check) -> None:
        while not await _is_ready(runtime, id, check):
            await asyncio.sleep(check.every)
        del self._returning[id]
        self._down.discard(id)
        await self._tell()

    def _led_to(self) -> dict[str, Service]:
        """Those of this machine."""
        led = self._plane.led_to()
        here = {each.id for service in led.values() for each in service.instances if each.machine == self._machine}
        return {id: service for id, service in led.items() if id in here}

    def _runtimes_by_id(self) -> dict[str, Runtime]:
        return {id: runtime for runtime, ids in self._running.items() for id in ids or ()}

    async def _tell(self) -> None:
        """Where it fails, whatever is applied next takes it along."""
        await self._others(self._down)
        log.info("nobody is led to %s", ", ".join(sorted(self._down)) or "any instance that is down: all are up")
        try:
            await self._plane.mark_down(frozenset(self._down))
        except (ServingProblem, Refused) as failure:
            log.warning("cannot say who is down: %s", failure)


async def _is_ready(runtime: Runtime, id: str, check: Check) -> bool:
    try:
        await runtime.ready(id, check)
    except EngineProblem as problem:
        log.info("%s is not ready yet: %s", id, problem)
        return False
    return True
