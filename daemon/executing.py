"""A command in an instance: what the client types goes in, what the command writes comes out, at the same time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Literal, Protocol

from daemon.server import Emit
from daemon.wire import Exec, Input, Output, Run


class Session(Protocol):
    """What runs and is talked to. Iterating tells what it writes, until it ends. Raises instance.EngineProblem."""

    async def write(self, data: bytes) -> None: ...
    async def end(self) -> None: ...
    async def resize(self, rows: int, columns: int) -> None: ...
    def __aiter__(self) -> AsyncGenerator[tuple[Literal["stdout", "stderr"], bytes], None]: ...
    async def code(self) -> int: ...
    async def close(self) -> None: ...


class Executes(Protocol):
    """An engine that runs commands in instances. Raises instance.EngineProblem."""

    async def open_exec(
        self, id: str, argv: Sequence[str], *, tty: bool = False, rows: int = 24, columns: int = 80
    ) -> Session: ...


class Begins(Protocol):
    """An engine that starts an instance and lets one talk to it. Raises instance.EngineProblem."""

    async def begin(self, id: str, *, tty: bool = False, rows: int = 24, columns: int = 80) -> Session: ...


async def execute(engine: Executes, id: str, request: Exec, inputs: AsyncIterator[Input], emit: Emit) -> int:
    """Run the command to its end and return its exit code. It is ended if anything fails, or if this is cancelled."""
    session = await engine.open_exec(id, request.argv, tty=request.tty, rows=request.rows, columns=request.columns)
    return await _to_its_end(session, inputs, emit, interactive=request.interactive)


async def attend(engine: Begins, id: str, request: Run, inputs: AsyncIterator[Input], emit: Emit) -> int:
    """Start an instance that was made to be talked to, and return its exit code once it has ended."""
    session = await engine.begin(id, tty=request.tty, rows=request.rows, columns=request.columns)
    return await _to_its_end(session, inputs, emit, interactive=request.interactive)


async def _to_its_end(session: Session, inputs: AsyncIterator[Input], emit: Emit, *, interactive: bool) -> int:
    try:
        await _converse(session, inputs, emit, interactive=interactive)
        return await session.code()
    finally:
        await session.close()


async def _converse(session: Session, inputs: AsyncIterator[Input], emit: Emit, *, interactive: bool) -> None:
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


async def _feed(session: Session, inputs: AsyncIterator[Input], *, interactive: bool) -> None:
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


async def _show(session: Session, emit: Emit) -> None:
    async with aclosing(session.__aiter__()) as pieces:
        async for stream, data in pieces:
            await emit(Output(data, stream))
