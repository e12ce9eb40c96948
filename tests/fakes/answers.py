"""Somebody behind the door who answers as told, and remembers what was asked."""

import asyncio
import socket
from collections.abc import AsyncIterator

from daemon.callers import Caller
from daemon.server import Emit, Tell
from daemon.wire import Event, Exec, How, Input, Look, Mutation, OpAbort, OpResume, Output, Problem, Run, Success

AT = "2030-01-01T00:00:00Z"


class Answering:
    """Answers everything at once, unless `raises` is set, or `may_end` is not."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.raises: BaseException | None = None
        self.began, self.may_end, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.may_end.set()
        self.result: dict[str, object] = {"namespace": "shop"}

    async def mutate(self, request: Mutation, how: How, who: Caller, tell: Tell) -> Success:
        return await self._change(tell, request, how, who)

    async def operate(self, request: OpResume | OpAbort, how: How, tell: Tell) -> Success:
        return await self._change(tell, request, how)

    async def look(self, request: Look, emit: Emit) -> Success:
        self.asked.append((request,))
        await emit(Output(b"first\n"))
        await self._come_to_an_end()
        return Success("looked", self.result)

    async def bring(self, operation: str, stream: socket.socket) -> None:
        """Send back in capitals what comes, to its end."""
        self.asked.append((operation,))
        while data := await asyncio.to_thread(stream.recv, 65536):
            await asyncio.to_thread(stream.sendall, data.upper())

    async def exec(self, request: Exec, inputs: AsyncIterator[Input], emit: Emit) -> Success:
        self.asked.append((request,))
        async for line in inputs:
            await emit(Output(line.data.upper()))
            if line.end:
                return Success("executed", {"code": 3})
        return Success("executed", {"code": 0})

    async def run(self, request: Run, who: Caller, inputs: AsyncIterator[Input], emit: Emit) -> Success:
        self.asked.append((request, who))
        async for line in inputs:
            await emit(Output(line.data.lower()))
        return Success("executed", {"code": 4})

    async def _change(self, tell: Tell, *asked: object) -> Success:
        self.asked.append(asked)
        tell(Event("op-1", AT, "doing", "1 fetch"))
        await self._come_to_an_end()
        tell(Event("op-1", AT, "done", "1 fetch"))
        return Success("deployed", self.result, "op-1")

    async def _come_to_an_end(self) -> None:
        self.began.set()
        try:
            await self.may_end.wait()
            if self.raises:
                raise self.raises
        finally:
            self.ended.set()


def stuck(operation: str) -> Problem:
    """A problem that knows its operation."""
    problem = Problem("x.y", "cannot x", "of y", "z")
    problem.operation = operation
    return problem
