"""A bucket in memory that behaves like the store's: it can be frozen or down, and a late put obeys compare-and-set."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Literal, TypeVar

from dataplane.entry import Closed, Entry, Moved, Sight, StoreDown, TooLarge
from tests.fakes.touch import Touch, straight

T = TypeVar("T")

LARGEST = 8 * 1024 * 1024 - 1024


class Late:
    """A touch that holds the next `count` changes back: their sender hears nothing, and they may come later."""

    def __init__(self) -> None:
        self.count = 0
        self.held: list[Callable[[], object]] = []
        self.before_next: Callable[[], None] | None = None

    async def __call__(self, what: str, effect: Callable[[], T]) -> T:
        if self.before_next:
            act, self.before_next = self.before_next, None
            act()
        if self.count:
            self.count -= 1
            self.held.append(effect)
            raise StoreDown("no answer")
        return effect()

    def deliver(self) -> None:
        held, self.held = self.held, []
        for effect in held:
            try:
                effect()
            except (Moved, Closed):
                continue


class FakeKv:
    """Frozen, it answers nobody and does what it was sent once it is thawed; down, nothing reaches it; sealed, it takes
    nothing."""

    def __init__(self, touch: Touch = straight) -> None:
        self.entries: dict[str, Entry] = {}
        self.revision = 0
        self.state: Literal["up", "frozen", "down"] = "up"
        self.sealed = False
        self._touch = touch
        self._in_flight: list[Callable[[], int]] = []
        self._watchers: set[asyncio.Queue[tuple[str, Entry] | Sight]] = set()

    async def get(self, key: str) -> Entry | None:
        self._require_up()
        return self.entries.get(key)

    async def put(self, key: str, value: bytes, revision: int) -> int:
        return await self.put_by(self._touch, key, value, revision)

    async def put_by(self, touch: Touch, key: str, value: bytes, revision: int) -> int:
        """The same, as the touch of whoever writes."""

        def effect() -> int:
            return self._write(key, value, revision)

        if len(value) > LARGEST:
            raise TooLarge(key)
        if self.state == "frozen":
            self._in_flight.append(effect)
        self._require_up()
        return await touch(f"put {key}", effect)

    async def all(self, prefix: str) -> dict[str, Entry]:
        self._require_up()
        return {key: entry for key, entry in self.entries.items() if key.startswith(prefix + ".")}

    async def watch(self) -> AsyncGenerator[tuple[str, Entry] | Sight, None]:
        told: asyncio.Queue[tuple[str, Entry] | Sight] = asyncio.Queue()
        if self.state == "up":
            self._tell_all(told)
        else:
            told.put_nowait(Sight.LOST)
        self._watchers.add(told)
        try:
            while True:
                yield await told.get()
        finally:
            self._watchers.discard(told)

    def copy(self, touch: Touch) -> "FakeKv":
        """Another one that holds the same just now."""
        other = FakeKv(touch)
        other.entries, other.revision, other.sealed = dict(self.entries), self.revision, self.sealed
        return other

    def freeze(self) -> None:
        self._leave("frozen")

    def kill(self) -> None:
        self._leave("down")

    def start(self) -> None:
        """Be up again, having done first what was sent meanwhile."""
        self.state = "up"
        for effect in self._in_flight:
            try:
                effect()
            except Moved:
                continue
        self._in_flight.clear()
        for told in self._watchers:
            self._tell_all(told)

    def _leave(self, state: Literal["frozen", "down"]) -> None:
        self.state = state
        for told in self._watchers:
            told.put_nowait(Sight.LOST)

    def _require_up(self) -> None:
        if self.state != "up":
            raise StoreDown(f"the store is {self.state}")

    def _tell_all(self, told: asyncio.Queue[tuple[str, Entry] | Sight]) -> None:
        for key, entry in sorted(self.entries.items(), key=lambda one: one[1].revision):
            told.put_nowait((key, entry))
        told.put_nowait(Sight.CURRENT)

    def _write(self, key: str, value: bytes, revision: int) -> int:
        if self.sealed:
            raise Closed("the store is closed while it moves to other machines")
        there = self.entries.get(key)
        if (there.revision if there else 0) != revision:
            raise Moved(key)
        self.revision += 1
        self.entries[key] = Entry(value, self.revision)
        for told in self._watchers:
            told.put_nowait((key, self.entries[key]))
        return self.revision
