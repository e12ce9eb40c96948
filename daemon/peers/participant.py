"""What this machine does for operations that another one carries out.

It writes down who asks before it acts: the newest token of each namespace, and of each operation its turn. Whoever
shows an older one changes nothing here any more, and neither does an operation that is over. Of a later turn nothing
is begun before everything has ended that this machine does for an earlier one.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from daemon.node import Node
from daemon.peers.calls import Call, Part
from daemon.peers.verbs import Verb, verbs
from daemon.records import Token, Turn
from daemon.wire import Refused

log = logging.getLogger("ployzd")

T = TypeVar("T")


NEVER = Turn(-1, 0)


class Entry(Struct, frozen=True):
    """The file of an operation: the turn that it last took here, and whether it is over."""

    turn: Turn = NEVER
    over: bool = False


@dataclass
class Guest:
    """An operation of another machine, as it is here just now. `doing` are its calls that are not answered yet; of
    turns before `alone` nothing is done any more."""

    entry: Entry
    alone: Turn = NEVER
    doing: dict[bytes, asyncio.Task[bytes]] = field(default_factory=dict)


async def _not_ours(_operation: str, _term: int) -> None:
    """This machine carries no operations out."""


class Participant:
    """Does verbs of `node` for others. `folder` remembers whom it was told of; `ended` asks the store in which term an
    operation ended, None if it is not over; `give_up` ends what this machine itself does for an operation, when another
    one tells of a later term of it, and returns once it has ended."""

    def __init__(
        self,
        node: Node,
        folder: Path,
        ended: Callable[[str], Awaitable[int | None]],
        give_up: Callable[[str, int], Awaitable[None]] = _not_ours,
    ) -> None:
        self.node, self._folder, self._ended, self._give_up = node, folder, ended, give_up
        self._guests: dict[str, Guest] = {}
        self._admission = asyncio.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._tokens = _read(folder / "tokens", dict[str, Token]) or {}

    async def do(self, call: Call) -> bytes:
        """Do what a call says, and return what the verb returned. Raises what that raises, and Refused `peer.verb`,
        `peer.no_operation`, `token.old`, `operation.over`."""
        verb = verbs().get(call.verb)
        if not verb:
            why = "this machine runs another version of ployz, which does not know it"
            raise Refused("peer.verb", f"cannot do {call.verb} on {self.node.machine}", why, "ployzctl machine ls")
        if call.operation and call.part:
            async with self._admission:
                guest = await self._admit(call.operation, call.part)
                doing = self._begin(guest, verb, call)
            return await self._done(call.operation, doing)
        if not verb.looks:
            why = "it changes something, and no operation asks for it"
            raise Refused("peer.no_operation", f"cannot do {call.verb} on {self.node.machine}", why)
        return await verb.do(self.node, bytes(call.given))

    async def _done(self, operation: str, doing: asyncio.Task[bytes]) -> bytes:
        """Whoever asked may go away: it goes on. Raises Refused `token.old` if somebody else made it end."""
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            if not doing.cancelled():
                raise
            raise self._too_old(operation) from None

    def _too_old(self, operation: str) -> Refused:
        cannot = f"cannot go on with {operation} on {self.node.machine}"
        return Refused("token.old", cannot, "somebody else has taken over since", f"ployzctl op show {operation}")

    async def fence(self, operation: str, part: Part) -> None:
        """Let nobody with an older part do anything more for the operation, once this returns."""
        async with self._admission:
            await self._admit(operation, part)

    async def end(self, operation: str) -> None:
        """An operation is over: nothing more is done for it."""
        async with self._admission:
            guest = self._guest(operation)
            if guest.entry.turn > NEVER:
                self._remember(operation, guest, Entry(guest.entry.turn, over=True))
                await _halt(guest)

    def term(self, operation: str) -> int:
        """The latest term of an operation that this machine was told of; before any -1."""
        return self._guest(operation).entry.turn.term

    async def ask_for_endings(self) -> None:
        """Find out what became of the operations that this machine was told no end of; forget those that are over.

        Of one that was never taken over nobody asks anything any more: the machine that carried it out says itself
        that it is over, once all that it asked was answered or undone. Who was taken over may not know it yet.
        """
        for file in sorted(self._folder.glob("*.entry")):
            operation = file.stem
            if (term := await self._ended(operation)) is None:
                continue
            await self.end(operation)
            if term == 0:
                self._guests.pop(operation, None)
                file.unlink(missing_ok=True)

    def _begin(self, guest: Guest, verb: Verb, call: Call) -> asyncio.Task[bytes]:
        """Whoever asks again, because the answer was lost, waits for what is being done already."""
        key = b" ".join((call.verb.encode(), bytes(call.given)))
        if key not in guest.doing:
            doing = asyncio.create_task(verb.do(self.node, bytes(call.given)), name=f"{call.operation} {call.verb}")
            guest.doing[key] = doing
            doing.add_done_callback(lambda _: guest.doing.pop(key, None))
            doing.add_done_callback(lambda task: task.cancelled() or task.exception())
        return guest.doing[key]

    async def _admit(self, operation: str, part: Part) -> Guest:
        """Raises Refused `token.old`, `operation.over`."""
        guest = self._guest(operation)
        if guest.entry.over:
            cannot, why = (
                f"cannot go on with {operation} on {self.node.machine}",
                "it is over, as this machine was told",
            )
            raise Refused("operation.over", cannot, why, f"ployzctl op show {operation}")
        older = any(token < self._tokens.get(name, token) for name, token in part.tokens.items())
        if older or part.turn < guest.entry.turn:
            raise self._too_old(operation)
        if part.tokens.items() - self._tokens.items():
            fresh = {**self._tokens, **part.tokens}
            _write(self._folder / "tokens", fresh)
            self._tokens = fresh
        if part.turn > guest.entry.turn:
            self._remember(operation, guest, Entry(part.turn))
        if part.turn > guest.alone:
            await _halt(guest)
            await self._give_up(operation, part.turn.term)
            guest.alone = part.turn
        return guest

    def _guest(self, operation: str) -> Guest:
        if operation not in self._guests:
            self._guests[operation] = Guest(_read(self._folder / f"{operation}.entry", Entry) or Entry())
        return self._guests[operation]

    def _remember(self, operation: str, guest: Guest, entry: Entry) -> None:
        _write(self._folder / f"{operation}.entry", entry)
        guest.entry = entry


async def _halt(guest: Guest) -> None:
    """End what is being done for it, and wait until it has ended."""
    doing = list(guest.doing.values())
    for task in doing:
        task.cancel()
    await asyncio.gather(*doing, return_exceptions=True)


def _read(file: Path, shape: type[T]) -> T | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=shape)
    except FileNotFoundError:
        return None


def _write(file: Path, what: object) -> None:
    """Have it on the disk whole, or not at all."""
    made = file.with_name(f".{file.name}.new")
    with made.open("wb") as opened:
        opened.write(msgspec.json.encode(what))
        opened.flush()
        os.fsync(opened.fileno())
    made.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
