"""Calls from machine to machine over the bus: asked once, answered once, and failed at once where nobody listens.

A question is sent to who listens now, or not at all; nothing is kept for later. While somebody works on the answer
they give signs of life, so that a long call can be told from a dead machine.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial

from dataplane.bus import Bus, Gone, Message
from dataplane.entry import StoreDown, Unsent

LIFE = 1.0
"""Seconds between the signs of life of a call that is being answered."""
NOBODY = "503"
"""The status with which a server tells that nobody listens."""
KIND = "Ployz-Kind"

log = logging.getLogger("ployzd")


class CallFailed(Exception):
    """There is no answer."""


class Undelivered(CallFailed):
    """Nobody got the question: nothing was done for it, and nothing will be."""


class Unanswered(CallFailed):
    """Somebody may have got the question: what it asks for may have been done, or may yet be."""


class _Kind(Enum):
    ANSWER = "answer"
    SAID = "said"
    ALIVE = "alive"
    FAILED = "failed"


@dataclass(frozen=True)
class Question:
    """What somebody asks. `say` tells them something before the answer, as long as they can be reached."""

    subject: str
    data: bytes
    say: Callable[[bytes], Awaitable[None]]


Handler = Callable[[Question], Awaitable[bytes]]
"""Returns the answer. What it raises is a bug: the asker gets Unanswered with its words, the log all of it."""


class Calls:
    """The calls that one machine makes and answers."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._waiting: dict[str, asyncio.Queue[Message | Gone]] = {}
        self._answering: set[asyncio.Task[None]] = set()

    @classmethod
    async def over(cls, bus: Bus) -> "Calls":
        """Calls over this bus, for as long as it is open."""
        calls = cls(bus)
        await bus.hear(bus.answers + ".*", calls._hear)
        return calls

    async def close(self) -> None:
        """Cancel what is being answered, and wait until it has ended."""
        for task in list(self._answering):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def request(
        self, subject: str, data: bytes, within: float, heard: Callable[[bytes], None] | None = None
    ) -> bytes:
        """The answer of whoever answers on `subject`; `heard` is told what they say before it.

        Raises Undelivered at once if nobody listens there or this machine is not connected; Unanswered if they failed,
        the connection is lost, or nothing was heard for `within` seconds; TooLarge with nothing sent.

        Who is at work is heard each LIFE seconds. So `within` bounds the wait for somebody who is dead, not the work:
        `asyncio.timeout` does that. It should be twice LIFE or more. A caller who goes away stops nothing.
        """
        complaint, token = self.bus.complaint, secrets.token_hex(16)
        replies = self._waiting[token] = asyncio.Queue[Message | Gone]()
        try:
            await self._send(subject, data, f"{self.bus.answers}.{token}")
            while True:
                async with asyncio.timeout(within):
                    kind, told = _understand(subject, await replies.get())
                if kind is _Kind.ANSWER:
                    return told
                if kind is _Kind.SAID and heard:
                    heard(told)
        except TimeoutError:
            why = f" ({self.bus.complaint})" if self.bus.complaint is not complaint else ""
            raise Unanswered(f"nothing was heard from {subject} for {within:g} seconds{why}") from None
        finally:
            del self._waiting[token]

    async def answer(self, subject: str, handler: Handler) -> None:
        """Answer what is asked on `subject` (it may end in `*` or `>`) from now on, each call in a task of its own.

        A call whose connection is lost goes on; its answer goes out if there is another connection by then.
        """

        def begin(message: Message | Gone) -> None:
            if isinstance(message, Message):
                task = asyncio.create_task(self._respond(message, handler), name=f"the answer on {message.subject}")
                self._answering.add(task)
                task.add_done_callback(self._over)

        await self.bus.hear(subject, begin)

    async def _send(self, subject: str, data: bytes, answers: str) -> None:
        try:
            await self.bus.tell(subject, data, reply=answers)
        except Unsent as problem:
            raise Undelivered(str(problem)) from None
        except StoreDown as problem:
            raise Unanswered(str(problem)) from problem

    def _hear(self, message: Message | Gone) -> None:
        if isinstance(message, Gone):
            for replies in self._waiting.values():
                replies.put_nowait(message)
        elif asker := self._waiting.get(message.subject.rpartition(".")[2]):
            asker.put_nowait(message)

    async def _respond(self, message: Message, handler: Handler) -> None:
        say = partial(self._reply, message.reply, _Kind.SAID)
        living = asyncio.create_task(self._show_life(message.reply))
        try:
            answer = await handler(Question(message.subject, message.data, say))
            await self._reply(message.reply, _Kind.ANSWER, answer)
        except Exception as failure:
            await self._reply(message.reply, _Kind.FAILED, f"{type(failure).__name__}: {failure}".encode())
            raise
        finally:
            living.cancel()

    async def _show_life(self, reply: str) -> None:
        while True:
            await asyncio.sleep(LIFE)
            await self._reply(reply, _Kind.ALIVE, b"")

    async def _reply(self, reply: str, kind: _Kind, data: bytes) -> None:
        """What cannot be sent now is not sent at all: whoever asked waits no longer than they said."""
        if reply:
            with suppress(StoreDown):
                await self.bus.tell(reply, data, headers={KIND: kind.value})

    def _over(self, task: asyncio.Task[None]) -> None:
        self._answering.discard(task)
        if not task.cancelled() and (failure := task.exception()):
            log.error("%s failed", task.get_name(), exc_info=failure)


def _understand(subject: str, reply: Message | Gone) -> tuple[_Kind, bytes]:
    """What came back, and what it says. Raises Undelivered or Unanswered if no answer will."""
    if isinstance(reply, Gone):
        raise Unanswered(f"the connection was lost before {subject} had answered")
    if reply.headers.get("Status") == NOBODY:
        raise Undelivered(f"nobody listens on {subject}")
    kind = _Kind(reply.headers.get(KIND, _Kind.ANSWER.value))
    if kind is _Kind.FAILED:
        raise Unanswered(f"{subject} failed: {reply.data.decode(errors='replace')}")
    return kind, reply.data
