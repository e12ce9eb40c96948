"""A volume's bytes that another machine has, on their way to a client of this one: talked of, as logs are."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from socket import socket

from daemon.peers.instances import Talks
from daemon.peers.talk import Bytes, Said
from dataplane.dataset import StreamProblem

Met = Callable[[str], AbstractAsyncContextManager[socket]]
"""The connection of an operation's client, as `daemon.streaming.Streaming.met` gives it."""


@dataclass(frozen=True)
class StreamsThere:
    """Implements `daemon.node.Streams` for a machine: its bytes go through this one, because the client is here."""

    machine: str
    talks: Talks
    met: Met

    async def send(self, snapshot: str, by: str) -> None:
        await self._pass_on(Bytes(snapshot), by)

    async def pack(self, dataset: str, by: str) -> None:
        await self._pass_on(Bytes(dataset, packed=True), by)

    async def receive(self, *_: object, **__: object) -> None:
        """What comes becomes a volume of the machine that is asked."""
        raise StreamProblem(f"nothing is received on {self.machine} for a client of another machine")

    async def _pass_on(self, question: Bytes, by: str) -> None:
        async with self.met(by) as client:
            talk = await self.talks.begin(self.machine, question)
            try:
                while isinstance(said := await talk.hear(), Said):
                    await asyncio.to_thread(client.sendall, said.data)
            except OSError as failure:
                raise StreamProblem(f"whoever asked went away: {failure}") from failure
            finally:
                talk.close()
