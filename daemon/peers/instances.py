"""Instances of other machines: what they wrote, and commands in them, each talked of over a connection of its own."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from daemon.logs import Line
from daemon.node import Instances
from daemon.peers.failures import heard
from daemon.peers.talk import PORT, Answer, Broke, Command, Log, Over, Question, Said, Talk
from daemon.records import Machine
from daemon.wire import Input, Refused
from runtime.instance import Condition

CONNECTS = 2.5
"""Seconds until a machine that does not answer counts as out of reach."""


@dataclass(frozen=True)
class Talks:
    """The talks that this machine began, by the machine that they are with. `members` are the records' machines."""

    members: Callable[[], Mapping[str, Machine]]
    port: int = PORT
    open: dict[str, set["TalkWith"]] = field(default_factory=dict)

    async def begin(self, machine: str, question: Question) -> "TalkWith":
        """Ask. Raises Refused `machine.unreachable`."""
        with _reached(machine):
            async with asyncio.timeout(CONNECTS):
                address = self.members()[machine].overlay_ip
                talk = TalkWith(machine, Talk(*await asyncio.open_connection(address, self.port)), self)
        self.open.setdefault(machine, set()).add(talk)
        try:
            await talk.say(question)
        except BaseException:
            talk.close()
            raise
        return talk

    def cut(self, machine: str) -> None:
        """End what is talked of with a machine that is gone: who types at it would wait for long otherwise."""
        for talk in list(self.open.get(machine, ())):
            talk.close()


@dataclass(frozen=True, eq=False)
class TalkWith:
    """A talk with another machine. Verbs raise Refused `machine.unreachable` once it is gone."""

    machine: str
    talk: Talk
    among: Talks

    async def say(self, line: Question | Input) -> None:
        with _reached(self.machine):
            await self.talk.say(line)

    async def hear(self) -> Said | Over:
        """What it says next. Raises what it failed with there."""
        with _reached(self.machine):
            answer: Said | Over | Broke = await self.talk.hear(Answer)
        if isinstance(answer, Broke):
            raise heard(answer.failed, self.machine)
        return answer

    def close(self) -> None:
        """Twice is fine."""
        self.among.open.get(self.machine, set()).discard(self)
        self.talk.close()


@contextmanager
def _reached(machine: str) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError) as failure:  # a time-out is an OSError too
        why = f"no connection to it can be made, or kept: {failure or type(failure).__name__}"
        raise Refused("machine.unreachable", f"cannot talk with {machine}", why, "ployzctl machine ls") from failure


@dataclass(frozen=True)
class EngineThere:
    """The engine of another machine, as `daemon.sites.Engine`."""

    machine: str
    instances: Instances
    talks: Talks

    async def all(self) -> list[Condition]:
        return await self.instances.all()

    async def logs(
        self, id: str, *, follow: bool = False, since: float | None = None, tail: int | None = None
    ) -> AsyncGenerator[Line, None]:
        talk = await self.talks.begin(self.machine, Log(id, follow, since, tail))
        try:
            while isinstance(said := await talk.hear(), Said):
                yield said.stream, said.at, said.data
        finally:
            talk.close()

    async def open_exec(
        self, id: str, argv: Sequence[str], *, tty: bool = False, rows: int = 24, columns: int = 80
    ) -> "SessionThere":
        command = Command(id, list(argv), tty, rows, columns)
        return SessionThere(await self.talks.begin(self.machine, command))


class SessionThere:
    """A command in an instance of another machine, as `daemon.executing.Session`."""

    def __init__(self, talk: TalkWith) -> None:
        self._talk, self._over = talk, asyncio.get_running_loop().create_future()

    async def write(self, data: bytes) -> None:
        await self._talk.say(Input(data))

    async def end(self) -> None:
        await self._talk.say(Input(end=True))

    async def resize(self, rows: int, columns: int) -> None:
        await self._talk.say(Input(rows=rows, columns=columns))

    async def __aiter__(self) -> AsyncGenerator[tuple[Literal["stdout", "stderr"], bytes], None]:
        while isinstance(said := await self._talk.hear(), Said):
            yield said.stream, said.data
        self._over.set_result(said.code)

    async def code(self) -> int:
        """Once it has said all."""
        return int(await self._over)

    async def close(self) -> None:
        self._talk.close()
