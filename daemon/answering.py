"""Who answers what: changes by the operations, looks by what can be seen."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from daemon.callers import Caller
from daemon.looking import Looking
from daemon.operations import Operations
from daemon.primitives.run import OneShot
from daemon.streaming import Streaming
from daemon.wire import (
    Doctor,
    Event,
    Exec,
    How,
    Input,
    Look,
    Mutation,
    OpAbort,
    OpLs,
    OpResume,
    OpShow,
    Output,
    Run,
    Success,
)

Tell = Callable[[Event], None]
Emit = Callable[[Event | Output], Awaitable[None]]


class Answering:
    """Sends each request to who answers it. Implements `daemon.server.Answers`."""

    def __init__(
        self, operations: Operations, looking: Looking, streaming: Streaming, doctor: Callable[[], Awaitable[Success]]
    ) -> None:
        self._operations, self._looking, self._streaming, self._doctor = operations, looking, streaming, doctor

    async def mutate(self, request: Mutation, how: How, who: Caller, tell: Tell) -> Success:
        return await self._operations.mutate(request, how, who.name, tell)

    async def operate(self, request: OpResume | OpAbort, tell: Tell) -> Success:
        if isinstance(request, OpAbort):
            return await self._operations.abort(request.id)
        return await self._operations.resume(request.id, tell)

    async def look(self, request: Look, emit: Emit) -> Success:
        match request:
            case OpLs():
                return self._operations.ls(all=request.all)
            case OpShow():
                return await _streamed(partial(self._operations.show, request.id, follow=request.follow), emit)
            case Doctor():
                return await self._doctor()
            case _:
                return await self._looking.look(request, emit)

    async def bring(self, operation: str, stream: socket.socket) -> None:
        await self._streaming.bring(operation, stream)

    async def exec(self, request: Exec, inputs: AsyncIterator[Input], emit: Emit) -> Success:
        return await self._looking.exec(request, inputs, emit)

    async def run(self, request: Run, who: Caller, inputs: AsyncIterator[Input], emit: Emit) -> Success:
        def attend(plan: OneShot) -> Awaitable[dict[str, int]]:
            return self._looking.attend(plan.specification, request, inputs, emit)

        return await self._operations.pass_by(request, who.name, attend)


async def _streamed(effort: Callable[[Tell], Awaitable[Success]], emit: Emit) -> Success:
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
