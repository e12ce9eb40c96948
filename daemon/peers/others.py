"""The daemons of the other machines: what became of an operation, and whom they should listen to."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from daemon.journal import Answer
from daemon.peers.calls import Line, Part, answer_of
from daemon.wire import Problem, Refused

log = logging.getLogger("ployzd")

Fate = Literal["running", "over", "stuck"]


class Fence(Struct, frozen=True):
    """From now on nobody with an older part does anything more for the operation."""

    operation: str
    part: Part


class Others(Protocol):
    """What an operation needs of them besides their verbs."""

    async def fate(self, machine: str, operation: str) -> Fate:
        """What has become of an operation of that machine. Raises Refused `machine.unreachable`."""

    async def answer(self, machine: str, operation: str) -> Answer | None:
        """What that machine answered who asked for an operation; None if it has no answer. Raises likewise."""

    async def fence(self, operation: str, part: Part) -> list[str]:
        """Have all that can be reached listen to this part of it only; the names of those that cannot."""

    async def tell_over(self, operation: str) -> None:
        """Tell all that can be reached that it is over. Whoever misses it asks the store."""

    async def tell_back(self) -> None:
        """Tell all that can be reached that this machine can be reached again."""


class Alone:
    """There are none."""

    async def fate(self, machine: str, _operation: str) -> Fate:
        raise Refused("machine.unreachable", f"cannot ask {machine}", "it is no machine of this cluster")

    async def answer(self, machine: str, _operation: str) -> Answer | None:
        raise Refused("machine.unreachable", f"cannot ask {machine}", "it is no machine of this cluster")

    async def fence(self, _operation: str, _part: Part) -> list[str]:
        return []

    async def tell_over(self, _operation: str) -> None:
        return

    async def tell_back(self) -> None:
        return


ALONE = Alone()


@dataclass(frozen=True)
class LineOthers:
    """Over the line. `names` tells the machines, this one too: it may take part in another one's operation."""

    line: Line
    names: Callable[[], Iterable[str]]

    async def fate(self, machine: str, operation: str) -> Fate:
        told = await answer_of(self.line, machine, "operation", msgspec.json.encode(operation))
        fate: Fate = msgspec.json.decode(told, type=Fate)
        return fate

    async def answer(self, machine: str, operation: str) -> Answer | None:
        told = await answer_of(self.line, machine, "answer", msgspec.json.encode(operation))
        return msgspec.json.decode(told, type=Answer | None)

    async def fence(self, operation: str, part: Part) -> list[str]:
        return await self._all("fence", msgspec.json.encode(Fence(operation, part)))

    async def tell_over(self, operation: str) -> None:
        missing = await self._all("over", msgspec.json.encode(operation))
        if missing:
            log.info("%s were not told that %s is over", ", ".join(missing), operation)

    async def tell_back(self) -> None:
        await self._all("back", msgspec.json.encode(None))

    async def _all(self, what: str, question: bytes) -> list[str]:
        """Ask all of them; the names of those that do not answer. Raises what else went wrong."""
        names = sorted(self.names())
        asking = (answer_of(self.line, name, what, question) for name in names)
        answers = await asyncio.gather(*asking, return_exceptions=True)
        missing = {name for name, answer in zip(names, answers, strict=True) if _is_unreachable(answer)}
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, BaseException) and name not in missing:
                raise answer
        return sorted(missing)


def _is_unreachable(answer: object) -> bool:
    return isinstance(answer, Problem) and answer.code == "machine.unreachable"
