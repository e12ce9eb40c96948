"""A bucket of records in JetStream: read, written by compare-and-set, listed and watched.

Records are never deleted: a deleted key would let a write of long ago create it again. Reads are answered by the
stream's leader and may still be old where a former leader has not noticed: what decides is a compare-and-set.
"""

import asyncio
from base64 import b64decode
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Any

from dataplane.bus import ANSWER, RETRY, Beat, Bus, Gone, Told
from dataplane.entry import Closed, Entry, Moved, Sight, StoreDown
from dataplane.stream import Stream, decode

SILENCE = 25.0
"""Seconds after which a watcher that heard nothing at all begins again."""
BEATS = 2.5
"""How often within a listener's patience a store that has nothing new says so. Each time wakes a machine at rest."""

WRONG_REVISION = (10071, 10164)
NO_MESSAGE = 10037
TOO_LARGE_NOW = 10054


class Kv:
    """One bucket."""

    def __init__(self, bus: Bus, bucket: str, *, silence: float = SILENCE) -> None:
        self._bus, self._silence, self.stream = bus, silence, Stream(bus, bucket)
        self._stream, self._prefix, self._api = self.stream.name, self.stream.prefix, self.stream.api

    async def found(self, *, replicas: int = 1, first: int = 1) -> None:
        """Make the bucket where there is none, its first revision being `first`. Raises StoreDown."""
        await self.stream.make(replicas, first)

    async def get(self, key: str) -> Entry | None:
        """The newest entry of a key, or None where there never was one. Raises StoreDown."""
        answer = await self._api(f"STREAM.MSG.GET.{self._stream}", {"last_by_subj": self._prefix + key})
        if answer.error and answer.error.err_code == NO_MESSAGE:
            return None
        if answer.error or not answer.message:
            raise StoreDown(answer.error.description if answer.error else "the store's answer is empty")
        return Entry(b64decode(answer.message.data), answer.message.seq)

    async def put(self, key: str, value: bytes, revision: int) -> int:
        """Write over exactly this revision (0: the key must not exist) and return the new one.

        Raises Moved if the key is at another one, TooLarge if the value cannot be a message, Closed while the store
        moves, and StoreDown without an answer: it may then have been written, or may be later, while the revision is
        still this.
        """
        headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)}
        answer = decode(await self._bus.ask(self._prefix + key, value, headers))
        if not answer.error and answer.seq:
            return answer.seq
        if answer.error and answer.error.err_code in WRONG_REVISION:
            raise Moved(key)
        if answer.error and answer.error.err_code == TOO_LARGE_NOW:
            raise Closed("the store is closed while it moves to other machines")
        raise StoreDown(answer.error.description if answer.error else "the store's answer is empty")

    async def all(self, prefix: str = "") -> dict[str, Entry]:
        """The newest entries of all keys below `prefix`, or of all there are, in one pass. Raises StoreDown."""
        found: dict[str, Entry] = {}
        async with aclosing(self._follow(f"{prefix}.>" if prefix else ">", ANSWER)) as told:
            async for change in told:
                if isinstance(change, Sight):
                    break
                found[change[0]] = change[1]
        return found

    async def watch(self) -> AsyncGenerator[tuple[str, Entry] | Sight, None]:
        """Every key's newest entry, then CURRENT, then each change as it happens, for ever.

        CURRENT comes again whenever nothing changed for a while and that was made sure of. LOST says that the store is
        out of sight, maybe ever since what was told last; once it is back everything is told again, with CURRENT.
        """
        lost = False
        while True:
            try:
                async with aclosing(self._follow(">", self._silence)) as told:
                    async for change in told:
                        lost = False
                        yield change
            except StoreDown:
                if not lost:
                    yield Sight.LOST
                lost = True
            await asyncio.sleep(RETRY)
            await self._bus.connected()

    async def _follow(self, keys: str, patience: float) -> AsyncGenerator[tuple[str, Entry] | Sight, None]:
        async with self._bus.listen() as (subject, heard):
            answer = await self._api(f"CONSUMER.CREATE.{self._stream}", self._consumer(keys, subject, patience))
            if answer.error:
                raise StoreDown(answer.error.description)
            current, place = not answer.num_pending, 0
            if current:
                yield Sight.CURRENT
            while True:
                told = await _next(heard, patience)
                if told.place != place + isinstance(told, Told):
                    raise StoreDown("some of what the store told was lost on the way")
                place = told.place
                if isinstance(told, Told):
                    yield told.subject.removeprefix(self._prefix), Entry(told.data, told.sequence)
                if isinstance(told, Beat):
                    # Beats go on where somebody is cut off with the machine that sends them.
                    await self._require_majority()
                if isinstance(told, Beat) or not (current or told.waiting):
                    current = True
                    yield Sight.CURRENT

    async def _require_majority(self) -> None:
        if not await self.stream.has_majority():
            raise StoreDown("the store has no majority of its machines")

    async def now(self) -> datetime:
        """The store's time. Raises StoreDown."""
        told = (await self.stream.info()).ts
        if not told:
            raise StoreDown("the store tells no time")
        return told

    def _consumer(self, keys: str, subject: str, patience: float) -> dict[str, Any]:
        config = {
            "deliver_subject": subject,
            "deliver_policy": "last_per_subject",
            "filter_subject": self._prefix + keys,
            "ack_policy": "none",
            "idle_heartbeat": int(patience / BEATS * 1e9),
            "mem_storage": True,
            "num_replicas": 1,
        }
        return {"stream_name": self._stream, "config": config}


async def _next(heard: asyncio.Queue[Told | Beat | Gone], patience: float) -> Told | Beat:
    try:
        async with asyncio.timeout(patience):
            told = await heard.get()
    except TimeoutError:
        raise StoreDown(f"the store was silent for {patience:g} seconds") from None
    if isinstance(told, Gone):
        raise StoreDown("the connection was lost")
    return told
