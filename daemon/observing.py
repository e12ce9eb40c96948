"""What each machine says of itself while it runs, and what is therefore held of the others. Never recorded.

A daemon tells the others which of its instances are down: at once when that changes, and regularly. Who is silent for
too long does not answer questions. A machine is gone only if it also takes no connection, for instances serve on while
nothing but their daemon is dead: then all of them are down until it is heard again. After a boot it takes connections
before its instances run, so that counts for nothing then.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import msgspec
from msgspec import Struct

from daemon.journal import rfc3339
from daemon.knocking import is_there
from daemon.mirror import Mirror
from daemon.node import ServingProblem
from daemon.records import Machine
from daemon.wire import Refused
from dataplane.bus import Bus, Gone, Message
from dataplane.entry import StoreDown
from dataplane.nats_configuration import seen

log = logging.getLogger("ployzd")

BEAT = 2.0
"""Seconds between two words of a machine to which nothing happens."""
SILENCE = 7.0
"""Seconds until a machine that says nothing counts as one that does not answer: three words may be lost."""


class Word(Struct, frozen=True):
    """What a machine says: which of its instances, by id, are down."""

    down: tuple[str, ...] = ()


@dataclass(frozen=True)
class Heard:
    """A machine as it was heard: when (seconds of our clock, and RFC 3339), what it said, whether it is gone since."""

    at: float
    when: str
    down: tuple[str, ...] = ()
    gone: bool = False


class Plane(Protocol):
    """daemon.serving, as seen from here."""

    async def mark_away(self, machines: Collection[str], instances: Collection[str]) -> None: ...


@dataclass
class Observing:
    """`members` are the machines of the records, `removed` the names of those that are no members any more. `say`
    publishes to all others; `knock` tells whether a machine takes or refuses a connection; `lost` is told of each
    machine that is gone. `back` is set when one is heard again that was silent, and when nobody could be heard, or the
    store not be seen."""

    machine: str
    members: Callable[[], Mapping[str, Machine]]
    removed: Callable[[], Collection[str]]
    plane: Plane
    say: Callable[[bytes], Awaitable[None]]
    knock: Callable[[Machine], Awaitable[bool]]
    lost: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    beat: float = BEAT
    back: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _others: dict[str, Heard] = field(default_factory=dict, init=False)
    _own: tuple[str, ...] | None = field(default=None, init=False)
    _left: frozenset[str] = field(default=frozenset(), init=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def hear(self, machine: str, word: bytes) -> None:
        """A word came from a machine."""
        if machine == self.machine:
            return
        try:
            down = msgspec.json.decode(word, type=Word).down
        except msgspec.MsgspecError as wrong:
            log.warning("what %s says makes no sense: %s", machine, wrong)
            return
        before = self._others.get(machine)
        if before and not self._lately(before):
            self.back.set()
        self._others[machine] = Heard(self.clock(), rfc3339(), down)
        if not before or before.gone or before.down != down:
            self._news.set()

    async def tell(self, down: Collection[str]) -> None:
        """Say to all others, at once if it is news and from now on, which instances of this machine are down."""
        before, self._own = self._own, tuple(sorted(down))
        if self._own != before:
            await self._speak()

    def silence(self, machine: str) -> str:
        """Why asking a machine would only cost time; empty if it was heard lately, or is not known for long."""
        heard = self._others.get(machine)
        if not heard or self._lately(heard):
            return ""
        serves = "nobody is led to its instances" if heard.gone else "what runs there may go on"
        return f"its daemon was not heard since {heard.when}; {serves}"

    def last_heard(self, machine: str) -> str | None:
        """When it last said something (RFC 3339), or was first missed; None if it is not known for long."""
        heard = self._others.get(machine)
        return heard.when if heard else None

    async def follow(self) -> None:
        """Go on for ever."""
        async with asyncio.TaskGroup() as group:
            for effort in (self._go_on_speaking, self._go_on_looking, self._go_on_applying):
                group.create_task(effort())

    async def look(self) -> None:
        """Find out who of those that are silent is gone, and who was removed."""
        if (left := frozenset(self.removed())) != self._left:
            self._left = left
            self._news.set()
        members = {name: machine for name, machine in self.members().items() if name != self.machine}
        self._others = {name: self._others.get(name) or Heard(self.clock(), rfc3339()) for name in members}
        silent = [name for name, heard in self._others.items() if not heard.gone and not self._lately(heard)]
        there = await asyncio.gather(*(self.knock(members[name]) for name in silent))
        for name in (name for name, answers in zip(silent, there, strict=True) if not answers):
            if name in self._others and not self._lately(self._others[name]):  # or it spoke meanwhile
                log.warning("%s is gone: %s", name, self.silence(name))
                self._others[name] = replace(self._others[name], gone=True)
                self.lost(name)
                self._news.set()

    def _lately(self, heard: Heard) -> bool:
        return self.clock() - heard.at <= SILENCE

    async def _speak(self) -> None:
        if self._own is not None and len(self.members()) > 1:
            with suppress(StoreDown):  # whoever is not connected is not heard
                await self.say(msgspec.json.encode(Word(self._own)))

    async def _go_on_speaking(self) -> None:
        while True:
            await self._speak()
            await asyncio.sleep(self.beat)

    async def _go_on_looking(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self.beat / 2)

    async def _go_on_applying(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            gone = {machine for machine, heard in self._others.items() if heard.gone} | self._left
            down = {id for heard in self._others.values() for id in heard.down}
            try:
                await self.plane.mark_away(gone, down)
            except (ServingProblem, Refused) as failure:
                log.warning("cannot say who is down elsewhere: %s", failure)
                await asyncio.sleep(self.beat)
                self._news.set()


async def observe(machine: str, bus: Bus, mirror: Mirror, plane: Plane, lost: Callable[[str], None]) -> Observing:
    """Over the bus: each machine speaks on a subject of its own, where nobody else may, and everybody listens."""
    say = partial(bus.tell, seen(machine))
    observing = Observing(machine, mirror.machines, mirror.removed, plane, say, is_there, lost)

    def hear(message: Message | Gone) -> None:
        if isinstance(message, Message):
            observing.hear(message.subject.rpartition(".")[2], message.data)
        else:
            observing.back.set()

    mirror.when_back(observing.back.set)
    await bus.hear(seen("*"), hear)
    return observing
