"""What is answered, line by line: events and output, then exactly one Success or Failure."""

from typing import Any, Literal

import msgspec
from msgspec import Struct, field

EventKind = Literal[
    "planned",
    "doing",
    "done",
    "committing",
    "committed",
    "undoing",
    "undone",
    "failed",
    "finished",
    "taken_back",
    "stuck",
]


class Event(Struct, frozen=True, omit_defaults=True):
    """One line of an operation's story: the journal keeps it, ctl shows it. `step` is `<position> <words>`."""

    operation: str
    at: str
    kind: EventKind
    step: str = ""
    why: str = ""
    machine: str | None = None
    bytes: int | None = None
    total: int | None = None


class Output(Struct, frozen=True, omit_defaults=True):
    """A line of a log, or a piece of what a command run by Exec wrote."""

    data: bytes
    stream: Literal["stdout", "stderr"] = "stdout"
    instance: str = ""
    at: str = ""


State = Literal["refused", "taken_back", "stuck", "error"]
EXIT: dict[State, int] = {"error": 1, "refused": 3, "taken_back": 4, "stuck": 5}


class Error(Struct, frozen=True):
    """What could not be done, because of what, and what to try: written for the person who asked."""

    code: str
    state: State
    what: str
    why: str = ""
    hint: str = field(default="", name="try")


class Failure(Struct, frozen=True):
    error: Error
    operation: str | None = None
    ok: Literal[False] = False


class Success(Struct, frozen=True):
    kind: str
    result: dict[str, Any]
    operation: str | None = None
    warnings: list[str] = []
    ok: Literal[True] = True


def encode(line: Struct) -> bytes:
    """One line of an answer, with its end."""
    return msgspec.json.encode(line) + b"\n"
