"""Answers what other machines talk of with this one: its instances' logs, and commands in them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
from msgspec import structs

from daemon.executing import Executes, execute
from daemon.logs import Logged
from daemon.peers.failures import told
from daemon.peers.talk import PORT, Broke, Bytes, Log, Over, Question, Said, Talk
from daemon.records import Machine
from daemon.wire import Event, Exec, Input, Output, Problem
from dataplane.dataset import ZfsProblem
from runtime.instance import EngineProblem

log = logging.getLogger("ployzd")

AHEAD = 16
"""Inputs that are read before a command has taken those before them."""


class Engine(Logged, Executes, Protocol):
    """The engine of this machine. Raises instance.EngineProblem."""


class Data(Protocol):
    """The data of this machine. Raises dataset.ZfsProblem."""

    def pieces(self, dataset: str, *, packed: bool) -> AsyncGenerator[bytes, None]:
        """A snapshot as a ZFS stream, or the files of a mounted dataset packed as a tar, piece by piece."""


@dataclass
class Talking:
    """`members` are the machines of the cluster: nobody else is answered."""

    engine: Engine
    data: Data
    members: Callable[[], Mapping[str, Machine]]
    port: int = PORT
    _server: asyncio.Server | None = field(default=None, init=False)

    async def open(self, address: str) -> None:
        """Listen. Raises OSError if somebody else does."""
        self._server = await asyncio.start_server(self._hear, address, self.port)

    async def close(self) -> None:
        if self._server:
            self._server.close()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(reader, writer)
        try:
            if talk.other in {machine.overlay_ip for machine in self.members().values()}:
                await self._talk(talk)
        except (OSError, msgspec.MsgspecError) as failure:
            log.info("a talk with %s ends: %s", talk.other, failure)
        finally:
            talk.close()

    async def _talk(self, talk: Talk) -> None:
        """Until all is said, or whoever asked is gone: what was begun for them ends with them."""
        question: Question = await talk.hear(Question)
        inputs = asyncio.Queue[Input](AHEAD)
        answering = asyncio.create_task(self._answer(question, talk, inputs))
        listening = asyncio.create_task(_listen(talk, inputs))
        try:
            await asyncio.wait({answering, listening}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
                listening.cancel()
                await asyncio.wait({listening})
                await talk.finish()
        finally:
            for task in (answering, listening):
                task.cancel()
            await asyncio.gather(answering, listening, return_exceptions=True)

    async def _answer(self, question: Question, talk: Talk, inputs: asyncio.Queue[Input]) -> None:
        try:
            code = await self._answered(question, talk, inputs)
        except (EngineProblem, ZfsProblem, Problem) as failure:
            failed = told(failure)
            assert failed
            await talk.say(Broke(failed))
        else:
            await talk.say(Over(code))

    async def _answered(self, question: Question, talk: Talk, inputs: asyncio.Queue[Input]) -> int:
        if isinstance(question, Log):
            await self._read_out(question, talk)
            return 0
        if isinstance(question, Bytes):
            async with aclosing(self.data.pieces(question.dataset, packed=question.packed)) as pieces:
                async for data in pieces:
                    await talk.say(Said(data, "stdout"))
            return 0

        async def emit(line: Event | Output) -> None:
            assert isinstance(line, Output)
            await talk.say(Said(line.data, line.stream))

        asked = Exec("", "", list(question.argv), interactive=True, tty=question.tty)
        asked = structs.replace(asked, rows=question.rows, columns=question.columns)
        return await execute(self.engine, question.instance, asked, _taken(inputs), emit)

    async def _read_out(self, asked: Log, talk: Talk) -> None:
        found = self.engine.logs(asked.instance, follow=asked.follow, since=asked.since, tail=asked.tail)
        async with aclosing(found) as lines:
            async for stream, at, data in lines:
                await talk.say(Said(data, stream, at))


async def _listen(talk: Talk, inputs: asyncio.Queue[Input]) -> None:
    """Raises OSError once whoever asked is gone."""
    while True:
        await inputs.put(await talk.hear(Input))


async def _taken(inputs: asyncio.Queue[Input]) -> AsyncIterator[Input]:
    """They say themselves when they end."""
    while True:
        yield await inputs.get()
