"""A command run inside a container: what is typed goes in, what it writes comes out, then its exit code."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from runtime.engine import Engine
from runtime.instance import Ended, EngineProblem
from runtime.stream import Connection, Stream, connect, pieces

RESIZE = "cannot resize the terminal"


@dataclass(frozen=True)
class Session:
    """Talk with a program. Iterate over it for what that writes; close it, also when it was not read to its end.

    `id` is what the engine calls the program by.
    """

    engine: Engine
    id: str
    connection: Connection
    tty: bool

    async def write(self, data: bytes) -> None:
        """Give it input. What it no longer reads is dropped, as a pipe would."""
        self.connection.writer.write(data)
        with suppress(ConnectionError):
            await self.connection.writer.drain()

    async def end(self) -> None:
        """The end of its input."""
        if self.connection.writer.can_write_eof():
            self.connection.writer.write_eof()

    async def close(self) -> None:
        """Hang up."""
        await self.connection.close()

    def __aiter__(self) -> AsyncGenerator[tuple[Stream, bytes], None]:
        return pieces(self.connection, tty=self.tty)


class ExecSession(Session):
    """One running command."""

    async def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal the new size."""
        await self.engine.ask(RESIZE, lambda client: client.exec_resize(self.id, height=rows, width=columns))

    async def code(self, within: float = 5.0) -> int:
        """Its exit code; the engine may know it a moment after the last output."""
        try:
            async with asyncio.timeout(within):
                while (told := await _told(self.engine, self.id))["Running"] or told["ExitCode"] is None:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise EngineProblem("cannot tell how the command ended: the engine says that it still runs") from None
        return int(told["ExitCode"])

    async def close(self) -> None:
        """End the command with its process group if it still runs (the engine has no verb for that), and hang up."""
        try:
            await _end(self.engine, self.id)
        finally:
            await super().close()


@dataclass(frozen=True)
class Attached(Session):
    """An instance that somebody talks to: like a command in one, but it is the instance that ends."""

    ending: Callable[[], Awaitable[Ended]]

    async def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal the new size."""
        await self.engine.ask(RESIZE, lambda client: client.resize(self.id, height=rows, width=columns))

    async def code(self) -> int:
        """Its exit code, once it has ended."""
        return (await self.ending()).code


async def attach(engine: Engine, container: str, ending: Callable[[], Awaitable[Ended]], *, tty: bool) -> Attached:
    """Listen and talk to a container that was made `attached`, before it is started: so nothing of it is missed."""
    wanted = "stream=1&stdin=1&stdout=1&stderr=1"
    connection = await connect(engine.socket, f"POST /containers/{container}/attach?{wanted}")
    return Attached(engine, container, connection, tty, ending)


async def open_exec(
    engine: Engine, container: str, argv: Sequence[str], *, tty: bool = False, size: tuple[int, int] | None = None
) -> ExecSession:
    """Start a command in a running container; `size` is the terminal's rows and columns."""
    cannot = f"cannot run {argv[0]} in {container}"
    made = await engine.ask(
        cannot, lambda client: client.exec_create(container, list(argv), stdin=True, tty=tty, stdout=True, stderr=True)
    )
    if not isinstance(made, dict) or "Id" not in made:
        raise EngineProblem(f"{cannot}: the engine's answer has no id")
    try:
        connection = await connect(engine.socket, f"POST /exec/{made['Id']}/start", {"Detach": False, "Tty": tty})
    except BaseException:
        await _end(engine, made["Id"])
        raise
    session = ExecSession(engine, made["Id"], connection, tty)
    try:
        if tty and size:
            await session.resize(*size)
    except BaseException:
        await session.close()
        raise
    return session


async def _told(engine: Engine, id: str) -> dict[str, Any]:
    told = await engine.ask("cannot look at a command", lambda client: client.exec_inspect(id))
    if not isinstance(told, dict) or not {"Running", "ExitCode", "Pid", "ContainerID"} <= told.keys():
        raise EngineProblem("cannot understand what the engine says of a command")
    return told


async def _end(engine: Engine, id: str) -> None:
    told = await _told(engine, id)
    if told["Running"] and told["Pid"]:
        _kill(int(told["Pid"]), str(told["ContainerID"]))


def _kill(pid: int, container: str) -> None:
    """A command leads a process group of its own. Numbers are used again: be sure that it is in that container."""
    try:
        with open(f"/proc/{pid}/cgroup") as file:
            ours = container in file.read()
        if ours:
            os.killpg(pid, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        return
