"""What an operation tells while it goes on, handed to somebody who may be slow."""

import asyncio
from collections.abc import Awaitable, Callable

from daemon.wire import Event, Success

Tell = Callable[[Event], None]


async def streamed(effort: Callable[[Tell], Awaitable[Success]], emit: Callable[[Event], Awaitable[None]]) -> Success:
    """What is told while somebody listens is emitted in turn, and a slow listener slows nobody else."""
    told: asyncio.Queue[Event | None] = asyncio.Queue()

    async def whole() -> Success:
        try:
            return await effort(told.put_nowait)
        finally:
            told.put_nowait(None)

    task = asyncio.create_task(whole())
    try:
        while event := await told.get():
            await emit(event)
        return await task
    finally:
        task.cancel()
