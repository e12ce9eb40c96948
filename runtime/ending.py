"""Waiting for what ends: a command in an instance, or the instance itself. The same for every engine."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

from runtime.health import SAID
from runtime.instance import Condition, Ended, EngineProblem, NotReady
from runtime.stream import Stream

LOOK_AGAIN = 0.05
"""Seconds between two looks at something that is on its way."""
KEPT = 64 * 1024
"""Bytes of a command's output that are kept, from the end."""
OUTPUT = 1000
"""Lines of an ended instance's log that are its output."""


class Session(Protocol):
    """A running command."""

    async def end(self) -> None: ...
    def __aiter__(self) -> AsyncGenerator[tuple[Stream, bytes], None]: ...
    async def code(self) -> int: ...
    async def close(self) -> None: ...


class Runs(Protocol):
    """What this needs of an engine."""

    async def open_exec(self, id: str, argv: Sequence[str]) -> Session: ...
    async def look(self, id: str) -> Condition | None: ...
    async def tail(self, id: str, lines: int) -> str: ...


async def run_to_end(engine: Runs, id: str, argv: Sequence[str], within: float) -> Ended:
    """Run a command in it to its end, and return the end of what it wrote. Raises NotReady when its time is up."""
    said = bytearray()
    try:
        async with asyncio.timeout(within):
            code = await _run(await engine.open_exec(id, argv), said)
    except TimeoutError:
        words = " ".join(argv)
        why = f"`{words}` in {id} did not end within {within:g} seconds and was killed"
        raise NotReady(why, said.decode(errors="replace")) from None
    return Ended(code, said.decode(errors="replace"))


async def _run(session: Session, said: bytearray) -> int:
    try:
        await session.end()
        async with aclosing(session.__aiter__()) as pieces:
            async for _, data in pieces:
                said += data
                del said[:-KEPT]
        return await session.code()
    finally:
        await session.close()


async def instance_ended(engine: Runs, id: str, within: float) -> Ended:
    """Wait until the instance ends for good. Raises NotReady when its time is up."""
    until = time.monotonic() + within
    while (found := await engine.look(id)) is not None and found.status in ("created", "running"):
        if time.monotonic() > until:
            raise NotReady(f"{id} did not end within {within:g} seconds", await engine.tail(id, SAID))
        await asyncio.sleep(LOOK_AGAIN)
    if found is None:
        raise EngineProblem(f"there is no instance {id}")
    return Ended(found.last_exit or 0, await engine.tail(id, OUTPUT))
