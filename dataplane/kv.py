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

import msgspec
from msgspec import Struct

from dataplane.bus import ANSWER, RETRY, Beat, Bus, Gone, Told
from dataplane.entry import Entry, Moved, Sight, StoreDown

SILENCE = 25.0
"""Seconds after which a watcher that heard nothing at all begins again."""
BEATS = 2.5
"""How often within a listener's patience a store that has nothing new says so. Each time wakes a machine at rest."""

WRONG_REVISION = (10071, 10164)
NO_MESSAGE = 10037
NO_STREAM = 10059


class _Problem(Struct):
    description: str = ""
    err_code: int = 0


class _Message(Struct):
    seq: int
    data: str = ""


class _Answer(Struct):
    error: _Problem | None = None
    seq: int = 0
    message: _Message | None = None
    num_pending: int = 0
    ts: datetime | None = None


class Kv:
    """One bucket."""

    def __init__(self, bus: Bus, bucket: str) -> None:
        self._bus, self._stream, self._prefix = bus, f"KV_{bucket}", f"$KV.{bucket}."

    async def found(self) -> None:
        """Make the bucket where there is none. Raises StoreDown."""
        if (await self._api(f"STREAM.INFO.{self._stream}", {})).error:
            problem = (await self._api(f"STREAM.CREATE.{self._stream}", self._shape())).error
            if problem:
                raise StoreDown(f"cannot make the bucket: {problem.description}")

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

        Raises Moved if the key is at another one, TooLarge if the value cannot be a message, and StoreDown
        without an answer: it may then have been written, or may be later, while the revision is still this.
        """
        headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)}
        answer = _decode(await self._bus.ask(self._prefix + key, value, headers))
        if not answer.error and answer.seq:
            return answer.seq
        if answer.error and answer.error.err_code in WRONG_REVISION:
            raise Moved(key)
        raise StoreDown(answer.error.description if answer.error else "the store's answer is empty")

    async def all(self, prefix: str) -> dict[str, Entry]:
        """The newest entries of all keys below `prefix`, in one pass. Raises StoreDown."""
        found: dict[str, Entry] = {}
        async with aclosing(self._follow(f"{prefix}.>", ANSWER)) as told:
            async for change in told:
                if isinstance(change, Sight):
                    break
                found[change[0]] = change[1]
        return found

    async def watch(self) -> AsyncGenerator[tuple[str, Entry] | Sight, None]:
        """Every key's newest entry, then CURRENT, then each change as it happens, for ever.

        LOST says that the store is out of sight; once it is back everything is told again, with CURRENT.
        """
        lost = False
        while True:
            try:
                async with aclosing(self._follow(">", SILENCE)) as told:
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
                if not current and (isinstance(told, Beat) or not told.waiting):
                    current = True
                    yield Sight.CURRENT

    async def now(self) -> datetime:
        """The store's time. Raises StoreDown."""
        answer = await self._api(f"STREAM.INFO.{self._stream}", {})
        if not answer.ts:
            raise StoreDown(answer.error.description if answer.error else "the store tells no time")
        return answer.ts

    async def _api(self, call: str, request: dict[str, Any]) -> _Answer:
        return _decode(await self._bus.ask(f"$JS.API.{call}", msgspec.json.encode(request)))

    def _shape(self) -> dict[str, Any]:
        return {
            "name": self._stream,
            "subjects": [f"{self._prefix}>"],
            "storage": "file",
            "max_msgs_per_subject": 1,
            "discard": "new",
            "num_replicas": 1,
            "allow_direct": False,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
        }

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


def _decode(answer: bytes) -> _Answer:
    try:
        return msgspec.json.decode(answer, type=_Answer)
    except msgspec.MsgspecError as problem:
        raise StoreDown(f"the store's answer makes no sense: {problem}") from problem
