"""Every kind of question that machines ask each other, and who answers it. Question and answer are JSON."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from daemon.journal import Answer, Listener
from daemon.peers.calls import Call, said
from daemon.peers.others import Fate, Fence
from daemon.peers.participant import Participant
from daemon.wire import Event, Success

Told = Callable[[bytes], Awaitable[bytes]]
NOTHING = b"null"


class Knows(Protocol):
    """daemon.operations, as seen from here."""

    async def own_fate(self, id: str) -> Fate: ...

    def own_answer(self, id: str) -> Answer | None: ...

    async def show(self, id: str, tell: Listener, *, follow: bool) -> Success: ...

    async def abort(self, id: str) -> Success: ...

    def hear_over(self, id: str) -> None: ...

    def carry_on(self) -> None: ...


def answers(participant: Participant, operations: Knows) -> dict[str, Told]:
    """Who answers, by the kind of question: to do a verb, to be fenced, to hear of an end or that a machine is back,
    to tell what became of an operation of this machine, and what was answered to who asked for it; to show its story,
    and to take it back."""

    async def do(question: bytes) -> bytes:
        return await participant.do(msgspec.json.decode(question, type=Call))

    async def fence(question: bytes) -> bytes:
        asked = msgspec.json.decode(question, type=Fence)
        await participant.fence(asked.operation, asked.part)
        return NOTHING

    async def over(question: bytes) -> bytes:
        operation = msgspec.json.decode(question, type=str)
        await participant.end(operation)
        operations.hear_over(operation)
        return NOTHING

    async def back(_question: bytes) -> bytes:
        operations.carry_on()
        return NOTHING

    async def operation(question: bytes) -> bytes:
        return msgspec.json.encode(await operations.own_fate(msgspec.json.decode(question, type=str)))

    async def answer(question: bytes) -> bytes:
        return msgspec.json.encode(operations.own_answer(msgspec.json.decode(question, type=str)))

    async def show(question: bytes) -> bytes:
        shown = await operations.show(msgspec.json.decode(question, type=str), _nobody, follow=False)
        return msgspec.json.encode(shown.result)

    async def abort(question: bytes) -> bytes:
        await operations.abort(msgspec.json.decode(question, type=str))
        return NOTHING

    all = {"do": do, "fence": fence, "over": over, "back": back, "operation": operation, "answer": answer}
    all |= {"show": show, "abort": abort}
    return {what: _said(answer) for what, answer in all.items()}


def _nobody(_: Event) -> None:
    """Whoever asks has the events with the answer."""


def _said(answer: Told) -> Told:
    async def told(question: bytes) -> bytes:
        return await said(answer(question))

    return told
