"""A command in an instance: what the client types goes in, what the command writes comes out, at the same time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Literal, Protocol

from daemon.server import Emit
from daemon.wire import Exec, Input, Output, Run
from runtime.instance import Ended

ENDS_WITHIN = 10.0
"""Seconds that the engine may take to say how an instance ended that writes nothing any more."""


class Talk(Protocol):
    """What runs and is talked to. Iterating tells what it writes, until it ends. Raises instance.EngineProblem."""

    async def write(self, data: bytes) -> None: ...
    async def end(self) -> None: ...
    async def resize(self, rows: int, columns: int) -> None: ...
    def __aiter__(self) -> AsyncGenerator[tuple[Literal["stdout", "stderr"], bytes], None]: ...
    async def close(self) -> None: ...


class Session(Talk, Protocol):
    """A running command."""

    async def code(self) -> int: ...


class Executes(Protocol):
    """An engine that runs commands in instances, and lets one talk to an instance. Raises instance.EngineProblem."""

    async def open_exec(
        self, id: str, argv: Sequence[str], *, tty: bool = False, rows: int = 24, columns: int = 80
    ) -> Session: ...
    async def attach(self, id: str, *, tty: bool = False) -> Talk: ...
    async def start(self, id: str) -> None: ...
    async def ended(self, id: str, within: float) -> Ended: ...


async def execute(engine: Executes, id: str, request: Exec, inputs: AsyncIterator[Input], emit: Emit) -> int:
    """Run the command to its end and return its exit code. It is ended if anything fails, or if this is cancelled."""
    session = await engine.open_exec(id, request.argv, tty=request.tty, rows=request.rows, columns=request.columns)
    try:
        await _converse(session, inputs, emit, interactive=request.interactive)
        return await session.code()
    finally:
        await session.close()


async def attend(engine: Executes, id: str, request: Run, inputs: AsyncIterator[Input], emit: Emit) -> int:
    """Start an instance that was made to be talked to, and return its exit code once it has ended."""
    talk = await engine.attach(id, tty=request.tty)
    try:
        await engine.start(id)
        if request.tty:
            await talk.resize(request.rows, request.columns)
        await _converse(talk, inputs, emit, interactive=request.interactive)
        return (await engine.ended(id, ENDS_WITHIN)).code
    finally:
        await talk.close()


async def _converse(session: Talk, inputs: AsyncIterator[Input], emit: Emit, *, interactive: bool) -> None:
    """Until the command has no more to say. What is wrong with the inputs ends it too."""
    feeding = asyncio.create_task(_feed(session, inputs, interactive=interactive))
    showing = asyncio.create_task(_show(session, emit))
    try:
        await asyncio.wait({feeding, showing}, return_when=asyncio.FIRST_COMPLETED)
        if feeding.done():
            feeding.result()
        await showing
    finally:
        for task in (feeding, showing):
            task.cancel()
        await asyncio.gather(feeding, showing, return_exceptions=True)


async def _feed(session: Talk, inputs: AsyncIterator[Input], *, interactive: bool) -> None:
    """Nobody types at a command that is not interactive; its terminal may change its size all the same."""
    is_open = interactive
    if not is_open:
        await session.end()
    async for line in inputs:
        if line.rows and line.columns:
            await session.resize(line.rows, line.columns)
        if line.data and is_open:
            await session.write(line.data)
        if line.end and is_open:
            is_open = False
            await session.end()
    if is_open:
        await session.end()


async def _show(session: Talk, emit: Emit) -> None:
    async with aclosing(session.__aiter__()) as pieces:
        async for stream, data in pieces:
            await emit(Output(data, stream))
