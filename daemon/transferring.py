"""This machine's ends of transfers: connections between machines that carry one snapshot each, and who they are for."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from daemon.records import Machine
from dataplane import line, zfs_transfer
from dataplane.dataset import StreamProblem
from dataplane.zfs import Zfs
from dataplane.zfs_transfer import Cargo, Landing

PORT = 51825
"""Of TCP, at each machine's address on the mesh."""
WORD = 32
"""Bytes of the word that begins each connection."""
MEET_WITHIN = 10.0
"""Seconds that one end waits for the other one."""

log = logging.getLogger("ployzd")


@dataclass
class Coming:
    """What a generation receives: `counts` by the name of each snapshot, and its task with the line just now."""

    counts: dict[str, int] = field(default_factory=dict)
    task: "asyncio.Task[object] | None" = None
    line: socket.socket | None = None
    now: str = ""

    def counted(self) -> list[int]:
        counts = dict(self.counts)
        if self.line:
            counts[self.now] = counts.get(self.now, 0) + line.received(self.line)
        return list(counts.values())


@dataclass(frozen=True)
class Meeting:
    """Where a connection and whoever receives with its word find each other."""

    came: "asyncio.Future[socket.socket]"
    taken: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Transferring:
    """Implements `daemon.node.Transfers`. `members` are the machines of the cluster: nobody else is listened to."""

    zfs: Zfs
    members: Callable[[], Mapping[str, Machine]]
    port: int = PORT
    _meetings: dict[str, Meeting] = field(default_factory=dict, init=False)
    _coming: dict[str, Coming] = field(default_factory=dict, init=False)
    _server: socket.socket | None = field(default=None, init=False)
    _listening: "asyncio.Task[None] | None" = field(default=None, init=False)
    _knocking: "set[asyncio.Task[None]]" = field(default_factory=set, init=False)

    async def open(self, address: str) -> None:
        """Listen for the connections of others. Raises OSError if somebody else does."""
        self._server = socket.create_server((address, self.port), backlog=64)
        self._server.settimeout(0)
        self._listening = asyncio.create_task(self._listen(self._server), name="transfers")

    async def close(self) -> None:
        tasks = {*self._knocking, *([self._listening] if self._listening else [])}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._server:
            self._server.close()

    # ------------------------------------------------------------------------------------------------- the verbs

    async def send(self, cargo: Cargo, to: str, word: str, rate: int | None) -> None:
        with await line.connected(to, self.port, rate) as out:
            try:
                await asyncio.get_running_loop().sock_sendall(out, bytes.fromhex(word))
            except OSError as failure:
                raise StreamProblem(f"{to} did not take the connection: {failure.strerror}") from None
            out.settimeout(None)
            await zfs_transfer.send(cargo, out)

    async def receive(self, snapshot: str, guid: str, word: str, by: str, onto: str | None) -> None:
        landing = Landing(snapshot, guid, by, onto)
        async with self._alone(landing.dataset) as coming:
            if await zfs_transfer.there(self.zfs, landing):
                return
            with await self._met(word) as incoming:
                coming.line, coming.now = incoming, snapshot.partition("@")[2]
                try:
                    await zfs_transfer.receive(self.zfs, incoming, landing)
                finally:
                    coming.counts[coming.now] = coming.counts.get(coming.now, 0) + line.received(incoming)
                    coming.line = None

    async def left(self, dataset: str) -> str | None:
        async with self._alone(dataset):
            return await self.zfs.left(dataset)

    async def give_up(self, dataset: str, by: str) -> None:
        async with self._alone(dataset):
            await self.zfs.give_up(dataset, by)

    async def moved(self, dataset: str) -> list[int]:
        return self._coming[dataset].counted() if dataset in self._coming else []

    # ------------------------------------------------------------------------------------------- who meets whom

    @asynccontextmanager
    async def _alone(self, dataset: str) -> AsyncIterator[Coming]:
        """Whoever receives it still, for a caller who has gone away, is ended first."""
        coming, task = self._coming.setdefault(dataset, Coming()), asyncio.current_task()
        while (before := coming.task) and before is not task:
            before.cancel()
            await asyncio.wait({before})
        coming.task = task
        try:
            yield coming
        finally:
            coming.task = None

    async def _met(self, word: str) -> socket.socket:
        """The connection that came, or comes, with the word."""
        meeting = self._meeting(word)
        try:
            async with asyncio.timeout(MEET_WITHIN):
                came = await meeting.came
            meeting.taken.set()
            return came
        except TimeoutError:
            raise StreamProblem(f"nobody came to send it within {MEET_WITHIN:g} seconds") from None
        finally:
            self._meetings.pop(word, None)

    def _meeting(self, word: str) -> Meeting:
        if word not in self._meetings:
            self._meetings[word] = Meeting(asyncio.get_running_loop().create_future())
        return self._meetings[word]

    async def _listen(self, server: socket.socket) -> None:
        while True:
            came, (address, _) = await asyncio.get_running_loop().sock_accept(server)
            knocking = asyncio.create_task(self._knock(came, address))
            self._knocking.add(knocking)
            knocking.add_done_callback(self._knocking.discard)

    async def _knock(self, came: socket.socket, address: str) -> None:
        """Give the connection to whoever waits for its word, or comes soon. After the word all bytes are left in it."""
        try:
            known = {machine.overlay_ip for machine in self.members().values()}
            if address not in known:
                raise StreamProblem(f"{address} is no machine of this cluster")
            line.watched(came)
            async with asyncio.timeout(MEET_WITHIN):
                word = await _word(came)
            await self._hand_over(came, word)
        except (OSError, StreamProblem) as failure:
            log.info("a connection of %s is not taken: %s", address, failure)
            came.close()
        except BaseException:
            came.close()
            raise

    async def _hand_over(self, came: socket.socket, word: str) -> None:
        """Raises StreamProblem if nobody wants it. Nobody is met twice by one word."""
        meeting = self._meeting(word)
        if meeting.came.done():
            raise StreamProblem("its word was used")
        came.settimeout(None)
        meeting.came.set_result(came)
        try:
            async with asyncio.timeout(MEET_WITHIN):
                await meeting.taken.wait()
        except TimeoutError:
            self._meetings.pop(word, None)
            raise StreamProblem("nobody waits for its word") from None


async def _word(came: socket.socket) -> str:
    """Read as many bytes as a word has, and not one more."""
    came.settimeout(0)
    read = b""
    while len(read) < WORD:
        with suppress(BlockingIOError):
            more = await asyncio.get_running_loop().sock_recv(came, WORD - len(read))
            if not more:
                raise StreamProblem("it ended before its word")
            read += more
    return read.hex()
