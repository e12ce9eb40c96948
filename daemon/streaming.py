"""The connections that clients open for an operation's bytes: each is met by its operation, once."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dataplane import zfs_stream
from dataplane.dataset import Layout, StreamProblem
from dataplane.zfs import Zfs
from dataplane.zfs_stream import New

MEET_WITHIN = 30.0
"""Seconds that an operation waits for its client's connection, and a connection for its operation."""


PIECE = 256 * 1024
"""Bytes that are passed on at a time."""


@dataclass
class Meeting:
    """Where an operation and its client's connection find each other; `over` once the operation needs it no more."""

    came: "asyncio.Future[socket.socket]"
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Streaming:
    """Sends and receives volumes' data. Implements `daemon.node.Streams`."""

    def __init__(self, zfs: Zfs) -> None:
        self._zfs = zfs
        self._meetings: dict[str, Meeting] = {}

    async def bring(self, operation: str, stream: socket.socket) -> None:
        """Give the operation its client's connection, and wait until it is used up, or nobody came for it."""
        meeting = self._meeting(operation)
        if meeting.came.done():
            return
        meeting.came.set_result(stream)
        try:
            async with asyncio.timeout(MEET_WITHIN):
                await meeting.taken.wait()
        except TimeoutError:
            self._meetings.pop(operation, None)
            return
        await meeting.over.wait()

    async def pieces(self, dataset: str, *, packed: bool) -> AsyncGenerator[bytes, None]:
        """A snapshot, or the files of a mounted dataset, as `send` and `pack` send them; whoever reads it is here."""
        path = await self._zfs.mount(dataset) if packed else ""
        ours, theirs = socket.socketpair()
        sending = asyncio.create_task(
            zfs_stream.pack(path, theirs.detach()) if packed else zfs_stream.send(dataset, theirs.detach())
        )
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            while data := await reader.read(PIECE):
                yield data
            await sending
        finally:
            sending.cancel()
            writer.transport.abort()
            await asyncio.gather(sending, return_exceptions=True)

    async def send(self, snapshot: str, by: str) -> None:
        async with self.met(by) as stream:
            await zfs_stream.send(snapshot, stream.dup().detach())

    async def pack(self, dataset: str, by: str) -> None:
        path = await self._zfs.mount(dataset)
        async with self.met(by) as stream:
            await zfs_stream.pack(path, stream.dup().detach())

    async def receive(self, name: str, by: str, marks: Mapping[str, str], layout: Layout) -> None:
        async with self.met(by) as stream:
            await zfs_stream.receive(self._zfs, stream, New(name, by, marks, layout))

    @asynccontextmanager
    async def met(self, operation: str) -> AsyncIterator[socket.socket]:
        """Its client's connection, while it needs that. Raises StreamProblem if no client comes."""
        meeting = self._meeting(operation)
        try:
            async with asyncio.timeout(MEET_WITHIN):
                stream = await asyncio.shield(meeting.came)
            meeting.taken.set()
            yield stream
        except TimeoutError:
            raise StreamProblem(f"nobody opened the stream of {operation} within {MEET_WITHIN:g} seconds") from None
        finally:
            meeting.over.set()
            self._meetings.pop(operation, None)

    def _meeting(self, operation: str) -> Meeting:
        if operation not in self._meetings:
            self._meetings[operation] = Meeting(asyncio.get_running_loop().create_future())
        return self._meetings[operation]
