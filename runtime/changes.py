"""Which instances run, told again whenever that changes: a look at all of them, then at whomever an event names."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol
from urllib.parse import quote

import msgspec
from msgspec import Struct

from runtime.container import OPERATION
from runtime.engine import Engine
from runtime.instance import Condition, EngineProblem
from runtime.stream import Connection, connect

RECONNECT = 1.0
"""Seconds until an engine that hung up, or does not answer, is asked again."""
FILTERS = {"type": ["container"], "label": [OPERATION], "event": ["start", "die", "destroy"]}
"""Not `exec_…`: each question of a readiness check would be one."""


class Seen(Protocol):
    """What is needed of the engine's adapter."""

    engine: Engine

    async def look(self, id: str) -> Condition | None: ...
    async def all(self) -> list[Condition]: ...


class _Actor(Struct, rename="pascal"):
    attributes: dict[str, str]


class _Event(Struct, rename="pascal"):
    actor: _Actor


async def running(seen: Seen) -> AsyncGenerator[frozenset[str], None]:
    """The ids of the instances that run, now and after each change, for ever; nothing while the engine is away.

    Events only say whom to look at: the engine tells of a death before its list knows. What was missed while nobody
    listened is seen by the look at all of them, which comes once events are listened to again.
    """
    while True:
        try:
            async with aclosing(_while_connected(seen)) as told:
                async for ids in told:
                    yield ids
        except EngineProblem:
            pass  # whoever starts the engine again, or asks it for something, says so
        await asyncio.sleep(RECONNECT)


async def _while_connected(seen: Seen) -> AsyncGenerator[frozenset[str], None]:
    connection = await connect(seen.engine.socket, f"GET /events?filters={quote(json.dumps(FILTERS))}")
    try:
        up = frozenset(found.id for found in await seen.all() if found.status == "running")
        yield up
        while id := await _named(connection):
            found = await seen.look(id)
            up = up | {id} if found and found.status == "running" else up - {id}
            yield up
    finally:
        await connection.close()


async def _named(connection: Connection) -> str:
    """The instance of the next event; empty when the engine hung up."""
    try:
        line = await connection.reader.readline()
        return msgspec.json.decode(line, type=_Event).actor.attributes["name"] if line else ""
    except (OSError, ValueError, KeyError) as error:
        raise EngineProblem(f"cannot understand an event of the engine: {error}") from error
