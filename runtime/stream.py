"""Answers of an engine that go on for as long as something runs: connections of their own, without threads."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runtime.engine import Absent
from runtime.instance import EngineProblem, EngineUnavailable

Stream = Literal["stdout", "stderr"]
STREAMS: dict[int, Stream] = {0: "stdout", 1: "stdout", 2: "stderr"}
PIECE = 64 * 1024


@dataclass(frozen=True)
class Connection:
    """An open answer, read piece by piece; what is written to it goes to the other side's stdin."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            return  # it was closed by the other side first


async def connect(
    socket: Path, request: str, body: dict[str, Any] | None = None, *, within: float = 30.0
) -> Connection:
    """Send a request (such as `GET /info`) whose answer is a stream. HTTP/1.0, so that it comes without chunks.

    Raises Absent for a 404, EngineUnavailable where nobody answers, EngineProblem for everything else.
    """
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_unix_connection(socket)
            return await _asked(Connection(reader, writer), request, body)
    except TimeoutError as error:
        raise EngineUnavailable(f"cannot {request}: the engine did not answer within {within:g} seconds") from error
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise EngineUnavailable(f"cannot {request}: the engine at {socket} gave no whole answer: {error}") from error


async def _asked(connection: Connection, request: str, body: dict[str, Any] | None) -> Connection:
    try:
        connection.writer.write(_written(request, body))
        await connection.writer.drain()
        head = await connection.reader.readuntil(b"\r\n\r\n")
        await _require_good(connection.reader, head, request)
    except BaseException:
        await connection.close()
        raise
    return connection


def _written(request: str, body: dict[str, Any] | None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    fields = f"Host: engine\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return f"{request} HTTP/1.0\r\n{fields}\r\n\r\n".encode() + content


async def _require_good(reader: asyncio.StreamReader, head: bytes, request: str) -> None:
    words = head.split(maxsplit=2)
    if len(words) < 2 or not words[1].isdigit():
        raise EngineProblem(f"cannot {request}: the engine's answer is no HTTP")
    if (status := int(words[1])) < 300:
        return
    said = (await reader.read(PIECE)).decode(errors="replace").strip()
    raise (Absent if status == 404 else EngineProblem)(f"cannot {request}: {status}: {said}")


async def pieces(connection: Connection, *, tty: bool) -> AsyncGenerator[tuple[Stream, bytes], None]:
    """What comes: with a terminal as it is, without one in frames of an 8-byte header (stream, length) and bytes."""
    try:
        while True:
            if tty:
                stream, data = STREAMS[1], await connection.reader.read(PIECE)
            else:
                header = await connection.reader.readexactly(8)
                stream = STREAMS.get(header[0], "stdout")
                data = await connection.reader.readexactly(int.from_bytes(header[4:]))
            if tty and not data:
                return
            yield stream, data
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise EngineUnavailable("the engine broke off in the middle of what it told") from error
    except ConnectionError as error:
        raise EngineUnavailable(f"the engine broke off: {error}") from error
