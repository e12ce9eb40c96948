"""A command run inside an instance on the host: what is typed goes in, what it writes comes out, then its exit code."""

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from runtime.command import Conversation
from runtime.stream import PIECE, Stream

Piece = tuple[Stream, bytes]


@dataclass(frozen=True)
class HostSession:
    """One running command. Iterate over it for what it writes; close it, also when it was not read to its end."""

    command: Conversation

    async def write(self, data: bytes) -> None:
        """Give it input. What it no longer reads is dropped, as a pipe would."""
        stdin, terminal = self.command.process.stdin, self.command.terminal
        with suppress(OSError):
            if terminal is not None:
                await asyncio.to_thread(os.write, terminal, data)
            elif stdin:
                stdin.write(data)
                await stdin.drain()

    async def end(self) -> None:
        """The end of its input. A terminal has none but what is typed."""
        if self.command.process.stdin:
            self.command.process.stdin.close()

    async def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal the new size."""
        if self.command.terminal is not None:
            fcntl.ioctl(self.command.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def __aiter__(self) -> AsyncGenerator[Piece, None]:
        """Until all that could write to it have ended, or hung up."""
        pieces: asyncio.Queue[Piece | None] = asyncio.Queue(maxsize=16)
        readers = [asyncio.create_task(_read(stream, read, pieces)) for stream, read in await self._sources()]
        try:
            left = len(readers)
            while left:
                if piece := await pieces.get():
                    yield piece
                else:
                    left -= 1
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

    async def code(self) -> int:
        """Its exit code, once it has ended; 128 and the signal's number where one ended it."""
        code = await self.command.process.wait()
        return code if code >= 0 else 128 - code

    async def close(self) -> None:
        """End the command with its process group if it still runs."""
        await self.command.end()
        if self.command.terminal is not None:
            with suppress(OSError):
                os.close(self.command.terminal)

    async def _sources(self) -> list[tuple[Stream, Callable[[], Awaitable[bytes]]]]:
        process, terminal = self.command.process, self.command.terminal
        if terminal is not None:
            reader = asyncio.StreamReader()
            # A descriptor of its own: the loop closes it when it is done with reading.
            stream = os.fdopen(os.dup(terminal), "rb", buffering=0)
            await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), stream)
            return [("stdout", lambda: reader.read(PIECE))]
        assert process.stdout
        assert process.stderr
        out, error = process.stdout, process.stderr
        return [("stdout", lambda: out.read(PIECE)), ("stderr", lambda: error.read(PIECE))]


async def _read(stream: Stream, read: Callable[[], Awaitable[bytes]], pieces: "asyncio.Queue[Piece | None]") -> None:
    with suppress(OSError):  # a terminal whose other side has hung up says EIO, not the end
        while data := await read():
            await pieces.put((stream, data))
    await pieces.put(None)
