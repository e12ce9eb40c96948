"""What machines ask of each other, and answer."""

from collections.abc import Awaitable
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

from daemon.peers.failures import Failed, heard, told
from daemon.records import Token, Turn


class Part(Struct, frozen=True):
    """In whose name an operation asks: its claims' newest tokens, and its turn."""

    tokens: dict[str, Token]
    turn: Turn


class Call(Struct, frozen=True):
    """Do a verb (`datasets.clone`) with these arguments, for an operation; or, for none, look at something."""

    verb: str
    given: Raw
    operation: str = ""
    part: Part | None = None


class Said(Struct, frozen=True):
    """What came of a question: what was returned, or how it failed."""

    returned: Raw = Raw(b"null")
    failed: Failed | None = None


class Line(Protocol):
    """The way to the daemons of other machines."""

    async def ask(self, machine: str, what: str, question: bytes) -> bytes:
        """The answer of a machine to a question of a kind (`do`, `operation`, …).

        Raises Refused `machine.unreachable` as soon as nobody listens there, or nothing is heard for some seconds.
        """


async def answer_of(line: Line, machine: str, what: str, question: bytes) -> bytes:
    """What a machine returned. Raises what it raised there, and Refused `machine.unreachable`."""
    said = msgspec.json.decode(await line.ask(machine, what, question), type=Said)
    if said.failed:
        raise heard(said.failed, machine)
    return bytes(said.returned)


async def said(effort: Awaitable[bytes]) -> bytes:
    """An answer, encoded: failures of the world are answers too. What else is raised is a bug, and not told."""
    try:
        return msgspec.json.encode(Said(Raw(await effort)))
    except Exception as failure:
        failed = told(failure)
        if not failed:
            raise
        return msgspec.json.encode(Said(failed=failed))
