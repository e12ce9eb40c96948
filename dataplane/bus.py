"""The bus: one connection to NATS, made anew whenever it is lost. The only place that knows the client library.

Each connection is a fresh client. The library's own reconnecting would keep what was written while it was cut
off and send it later, long after its writer was told that it failed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from dataplane.entry import StoreDown, TooLarge, Unsent

ANSWER = 3.0
"""Seconds until a question without an answer is given up."""
DIAL = 2.0
"""Seconds until an attempt to connect is given up."""
RETRY = 0.25
"""Seconds between attempts."""
PING = 30
"""Seconds between the client's own checks of a silent connection; it is closed after two without an answer."""

HEADERS = 1024
"""Bytes left for headers. The client does not count them; a server closes the connection of whoever is over."""


@dataclass(frozen=True)
class Told:
    """A message of a stream: its sequence there, its place in what this listener is told, how many still wait."""

    subject: str
    data: bytes
    sequence: int
    place: int
    waiting: int


@dataclass(frozen=True)
class Beat:
    """Nothing new: the last place that was told is `place`."""

    place: int


class Gone:
    """The connection is lost, or what was listened to ended: nothing more will come."""


@dataclass(frozen=True)
class Message:
    """What somebody sent: to this subject, with the subject that an answer goes to, if one is wanted."""

    subject: str
    data: bytes
    reply: str
    headers: Mapping[str, str] = field(default_factory=dict)


Heard = asyncio.Queue[Told | Beat | Gone]
Ear = Callable[[Message | Gone], None]


class Bus:
    """One machine's way to its NATS server."""

    def __init__(self, url: str, *, seed: str, inbox: str) -> None:
        self._url, self._seed, self._inbox = url, seed, inbox
        self._client: Client | None = None
        self._up = asyncio.Event()
        self._listeners: set[Heard] = set()
        self._ears: list[tuple[str, Ear]] = []
        self._subscribing = asyncio.Lock()
        self._why = "the server does not answer"
        self._keeper: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, url: str, *, seed: str, inbox: str, within: float = 5.0) -> "Bus":
        """Connect as the user of this nkey seed, and stay connected until `close`.

        `inbox` is the prefix of the subjects that answers come to. Without a connection `within` seconds it
        returns all the same and goes on trying; until then every question raises StoreDown at once.
        """
        bus = cls(url, seed=seed, inbox=inbox)
        bus._keeper = asyncio.create_task(bus._keep_connected(), name="bus")
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await bus.connected()
        return bus

    async def close(self) -> None:
        """Disconnect for good."""
        if self._keeper:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        if self._client:
            await self._client.close()

    async def turn_to(self, url: str) -> None:
        """Be connected to another server from now on. What is listened to breaks off, as where a connection is lost."""
        if url == self._url:
            return
        self._url = url
        self._up.clear()
        if self._client:
            await self._client.close()

    @property
    def is_connected(self) -> bool:
        return self._up.is_set()

    @property
    def answers(self) -> str:
        """The prefix of the subjects on which others may answer this machine."""
        return f"{self._inbox}.answer"

    @property
    def complaint(self) -> Exception | None:
        """What the server complained of last: it leaves a forbidden message without an answer."""
        return self._client.last_error if self._client else None

    async def connected(self) -> None:
        """Wait until there is a connection."""
        await self._up.wait()

    async def ask(self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> bytes:
        """The answer to a question.

        Raises Unsent at once while there is no connection, and StoreDown after ANSWER seconds without an answer;
        TooLarge, with nothing sent, if the payload does not fit into a message.
        """
        client = self._connection_for(payload)
        complaint = client.last_error
        try:
            return (await client.request(subject, payload, timeout=ANSWER, headers=dict(headers or {}) or None)).data
        except nats.errors.TimeoutError:
            raise StoreDown(f"no answer within {ANSWER:g} seconds{_new(client, complaint)}") from None
        except nats.errors.NoRespondersError:
            raise StoreDown(f"nobody answers on {subject.partition('.')[0]}") from None
        except (nats.errors.Error, OSError) as problem:
            raise StoreDown(str(problem) or type(problem).__name__) from problem

    async def tell(
        self, subject: str, payload: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a message to whoever listens now. Raises as `ask` does; nobody tells whether it arrived."""
        client = self._connection_for(payload)
        try:
            await client.publish(subject, payload, reply, headers=dict(headers or {}) or None)
        except (nats.errors.Error, OSError) as problem:
            raise StoreDown(str(problem) or type(problem).__name__) from problem

    async def hear(self, subject: str, ear: Ear) -> None:
        """Give `ear` what is sent to a subject, on this connection and all after it, and Gone whenever one is lost."""
        async with self._subscribing:
            self._ears.append((subject, ear))
            if self._client and self.is_connected:
                with suppress(nats.errors.Error, OSError):  # it is lost, and the next one hears it
                    await _subscribe(self._client, subject, ear)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[tuple[str, Heard]]:
        """A subject of our own, and what comes in on it. Raises Unsent while there is no connection."""
        client, heard = self._connection(), Heard()

        async def hear(message: Msg) -> None:
            heard.put_nowait(_understand(message))

        subject = client.new_inbox()
        try:
            subscription = await client.subscribe(subject, cb=hear)
        except (nats.errors.Error, OSError) as problem:
            raise StoreDown(str(problem) or type(problem).__name__) from problem
        self._listeners.add(heard)
        try:
            yield subject, heard
        finally:
            self._listeners.discard(heard)
            with suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()

    def _connection(self) -> Client:
        if not self._client or not self._client.is_connected:
            raise Unsent(f"not connected to {self._url}: {self._why}")
        return self._client

    def _connection_for(self, payload: bytes) -> Client:
        client = self._connection()
        if len(payload) + HEADERS > client.max_payload:
            raise TooLarge(f"{len(payload)} bytes do not fit into one message of {client.max_payload}")
        return client

    async def _keep_connected(self) -> None:
        while True:
            lost = asyncio.Event()
            try:
                async with asyncio.timeout(DIAL), self._subscribing:
                    self._client = await self._dial(lost)
                    self._up.set()
            except (nats.errors.Error, OSError, TimeoutError) as problem:
                self._why = str(problem) or "it did not answer in time"
                await asyncio.sleep(RETRY)
                continue
            await lost.wait()
            self._up.clear()
            self._why = "the connection was lost"
            for heard in self._listeners:
                heard.put_nowait(Gone())
            for _, ear in self._ears:
                ear(Gone())

    async def _dial(self, lost: asyncio.Event) -> Client:
        async def closed() -> None:
            lost.set()

        client = _Connection()
        try:
            await client.connect(
                self._url,
                nkeys_seed_str=self._seed,
                inbox_prefix=self._inbox,
                pending_size=0,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=int(DIAL),
                ping_interval=PING,
                closed_cb=closed,
                error_cb=_stay_quiet,
            )
            for subject, ear in self._ears:
                await _subscribe(client, subject, ear)
        except BaseException:
            await client.close()  # it leaves its socket open where it was refused
            raise
        return client


class _Connection(Client):
    """The library's client, which in the middle of closing gives up, and tells nobody, when what was still to be sent
    cannot be: so it is for whoever stood still until its server had closed the connection."""

    async def _close(self, *how: Any, **more: Any) -> None:
        try:
            await super()._close(*how, **more)
        except OSError:
            self._pending, self._pending_data_size, self._status = [], 0, Client.DISCONNECTED
            await super()._close(*how, **more)


async def _subscribe(client: Client, subject: str, ear: Ear) -> None:
    async def hear(message: Msg) -> None:
        ear(Message(message.subject, message.data, message.reply, message.headers or {}))

    await client.subscribe(subject, cb=hear)


def _new(client: Client, complaint: Exception | None) -> str:
    """What the server complained of meanwhile: it leaves a forbidden question without an answer."""
    return f" ({client.last_error})" if client.last_error is not complaint else ""


async def _stay_quiet(_: Exception) -> None:
    """Whoever asked is told; the client keeps the last error."""


def _understand(message: Msg) -> Told | Beat | Gone:
    headers = message.headers or {}
    status = headers.get("Status")
    if status == "100":
        return Beat(int(headers.get("Nats-Last-Consumer", "0")))
    if status or not message.reply:
        return Gone()
    about = message.metadata
    place, waiting = about.sequence.consumer, about.num_pending
    return Told(message.subject, message.data, about.sequence.stream, place, waiting or 0)
