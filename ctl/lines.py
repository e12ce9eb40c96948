"""The lines of an answer: events, output, and the ending, told apart by the fields that only they have."""

from typing import TypeVar

import msgspec
from msgspec import Struct

from daemon.wire import Event, Failure, Output, Problem, Success

T = TypeVar("T")
Ending = Success | Failure
Line = Event | Output | Success | Failure


class _Look(Struct):
    ok: bool | None = None
    data: msgspec.Raw = msgspec.Raw()


def decode(line: bytes) -> Line:
    """Return what a line says; raise Problem `daemon.answer` for one that says nothing known."""
    try:
        look = msgspec.json.decode(line, type=_Look)
        if look.ok is not None:
            return msgspec.json.decode(line, type=Success) if look.ok else msgspec.json.decode(line, type=Failure)
        if bytes(look.data):
            return msgspec.json.decode(line, type=Output)
        return msgspec.json.decode(line, type=Event)
    except msgspec.DecodeError as error:
        raise strange(f"it said {line[:80].decode(errors='replace')!r} ({error})") from None


def strange(why: str) -> Problem:
    """The problem of an answer that does not follow the contract."""
    hint = "ployzctl version, and look whether ployzctl and ployzd are of the same release"
    return Problem("daemon.answer", "cannot understand the answer", why, hint)


def read(result: object, shape: type[T]) -> T:
    """A result in its shape; raise Problem `daemon.answer` if it has another."""
    try:
        return msgspec.convert(result, shape)
    except msgspec.ValidationError as error:
        raise strange(f"its result is not as agreed: {error}") from None
