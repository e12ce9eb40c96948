"""A talk: a connection to another machine for what is too much or too lively for the bus: logs, commands, data.

It is TCP over the mesh. Whoever writes waits until the other side has read enough, so that a log that nobody reads is
not read on. Nobody says who they are: only machines get through to the port, and WireGuard has checked their address.
"""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from daemon.peers.failures import Failed
from daemon.wire import Input

PORT = 51823
"""Of TCP, at each machine's address on the mesh."""
LARGEST = 64 * 1024 * 1024
"""Bytes of one message."""
LENGTH = 4
KEEPALIVE = ((socket.TCP_KEEPIDLE, 3), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 4))
"""A silent connection whose other end is gone is noticed after 7 seconds (tcp(7))."""

T = TypeVar("T")


class Log(Struct, frozen=True, tag="log"):
    """Tell what an instance wrote, as an engine's `logs` does."""

    instance: str
    follow: bool = False
    since: float | None = None
    tail: int | None = None


class Command(Struct, frozen=True, tag="command"):
    """Run a command in an instance; Inputs follow, until one of them says that it is the end."""

    instance: str
    argv: Sequence[str]
    tty: bool = False
    rows: int = 24
    columns: int = 80


class Bytes(Struct, frozen=True, tag="bytes"):
    """Send a snapshot as a ZFS stream; or, `packed`, the files of a mounted dataset as a tar."""

    dataset: str
    packed: bool = False


class Said(Struct, frozen=True, tag="said"):
    """What an instance or a command wrote, and when it was got; or a piece of what was asked for."""

    data: bytes
    stream: Literal["stdout", "stderr"]
    at: str = ""


class Over(Struct, frozen=True, tag="over"):
    """That was all; a command ended with this code."""

    code: int = 0


class Broke(Struct, frozen=True, tag="broke"):
    """It failed there."""

    failed: Failed


Question = Log | Command | Bytes
Answer = Said | Over | Broke


class Talk:
    """One side of a talk. Both verbs raise OSError once the other side is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)

    @property
    def other(self) -> str:
        """The address of the other side."""
        return str(self._writer.get_extra_info("peername")[0])

    async def say(self, line: Question | Answer | Input) -> None:
        """Send it; wait while the other side does not read."""
        data = msgspec.json.encode(line)
        self._writer.write(len(data).to_bytes(LENGTH, "big") + data)
        await self._writer.drain()

    async def hear(self, kind: type[T] | Any) -> T:
        """The next that the other side says. Raises msgspec.ValidationError for what is no such thing."""
        try:
            length = int.from_bytes(await self._reader.readexactly(LENGTH), "big")
            if length > LARGEST:
                raise ConnectionError(f"{length} bytes are no message")
            data = await self._reader.readexactly(length)
        except asyncio.IncompleteReadError:
            raise ConnectionError("the connection was closed") from None
        heard: T = msgspec.json.decode(data, type=kind)
        return heard

    async def finish(self) -> None:
        """Wait until the other side has heard everything, and goes."""
        with suppress(OSError):
            while await self._reader.read(LARGEST):
                pass

    def close(self) -> None:
        """Whatever is not sent yet is lost: everything that matters is answered."""
        self._writer.transport.abort()
