"""One operation's story: written down before and after every step, and read back after a crash.

The file is JSON lines: the heading (what was asked, the plan, the claims' tokens), then one event a line, each
durable before anything that follows from it is done; last, once it is over, the answer. A torn last line is cut.
"""

import errno
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from daemon.records import Token
from daemon.wire import Event, EventKind, Failure, Stuck, Success, encode


class Heading(Struct, frozen=True):
    """The first line. `version` is that of the code that planned, `plans` the number of how it writes plans.

    `planned_on` is the machine that planned, this one if empty; `term` is how often the operation had been taken over
    when this machine began to carry it on.
    """

    operation: str
    request: dict[str, Any]
    plan: dict[str, Any]
    claims: dict[str, str]
    tokens: dict[str, Token]
    who: str
    at: str
    version: str
    plans: int
    planned_on: str = ""
    term: int = 0

    @property
    def primitive(self) -> str:
        return str(self.request["type"])


class Answer(Struct, frozen=True):
    """The last line: what whoever asked was told, and whoever asks again with this id is told."""

    answer: Success | None = None
    failure: Failure | None = None


class _Version(Struct, frozen=True):
    """What every version has to be able to read of a heading."""

    version: str


ANSWER = b'{"answer":'
"""How the encoding of an Answer begins, and no event's."""

log = logging.getLogger("ployzd")

Listener = Callable[[Event], None]


class Unwritten(Exception):
    """A line of a journal cannot be written, so nothing may be done that it was to announce."""


class Story:
    """A journal in memory and on disk. Listeners hear each event that was told, or noted."""

    def __init__(self, file: Path, heading: Heading, lines: list[bytes], now: Callable[[], str]) -> None:
        self.file, self.heading, self._now = file, heading, now
        self.operation = heading.operation
        self.listeners: list[Listener] = []
        self._behind: list[bytes] = []
        events = [line for line in lines if not line.startswith(ANSWER)]
        answers = [msgspec.json.decode(line, type=Answer) for line in lines if line.startswith(ANSWER)]
        self.events = [msgspec.json.decode(line, type=Event) for line in events]
        self.answer = answers[-1] if answers else None

    @classmethod
    def begin(
        cls, folder: Path, heading: Heading, now: Callable[[], str] | None = None, first: Sequence[Event] = ()
    ) -> "Story":
        """Write the heading and these first events at one instant; once this returns, a crash finds the operation.

        Raises Unwritten, and leaves no journal.
        """
        file, lines = folder / f"{heading.operation}.jsonl", [encode(event) for event in first]
        try:
            _write_new(file, encode(heading) + b"".join(lines))
        except OSError as failure:
            file.unlink(missing_ok=True)
            raise _unwritten(file, failure) from failure
        return cls(file, heading, lines, now or rfc3339)

    @classmethod
    def read(cls, file: Path, now: Callable[[], str] | None = None) -> "Story | None":
        """The story so far; None if the crash came before its heading was whole: then it did nothing.

        Raises Stuck `operation.unreadable` if another version wrote it otherwise, or it is spoilt.
        """
        text = file.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            os.truncate(file, len(whole))
        lines = whole.splitlines()
        if not lines:
            return None
        try:
            return cls(file, msgspec.json.decode(lines[0], type=Heading), lines[1:], now or rfc3339)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise unreadable(file.stem, str(error), _version(lines[0])) from error

    def tell(
        self,
        kind: EventKind,
        step: str = "",
        why: str = "",
        machine: str | None = None,
        bytes: int | None = None,
    ) -> None:
        """Write an event down, then let everybody who listens hear it. Raises Unwritten, and then nobody heard it."""
        event = Event(self.operation, self._now(), kind, step, why, machine, bytes)
        self._append(encode(event))
        self._heard(event)

    def show(self, step: str, machine: str | None, bytes: int, total: int | None) -> None:
        """Let everybody who listens hear how far a step is. Nothing follows from it, so it is not written down."""
        event = Event(self.operation, self._now(), "doing", step, "", machine, bytes, total)
        for listener in list(self.listeners):
            listener(event)

    def note(
        self,
        kind: EventKind,
        step: str = "",
        why: str = "",
        machine: str | None = None,
        bytes: int | None = None,
    ) -> None:
        """Tell what follows from what is written already, so that it may happen although it cannot be written.

        It is written before whatever is told next. After a crash it is not known, and has to be found out again.
        """
        event = Event(self.operation, self._now(), kind, step, why, machine, bytes)
        try:
            self._append(encode(event))
        except Unwritten:
            self._behind.append(encode(event))
        self._heard(event)

    @property
    def behind(self) -> bool:
        """Whether something was noted that could not be written yet."""
        return bool(self._behind)

    def _heard(self, event: Event) -> None:
        self.events.append(event)
        for listener in list(self.listeners):
            listener(event)

    def conclude(self, answer: Answer) -> None:
        """Write down what is answered. Raises Unwritten: then it has no answer yet."""
        self._append(encode(answer))
        self.answer = answer

    def has(self, kind: EventKind, step: str | None = None) -> bool:
        return any(event.kind == kind and step in (None, event.step) for event in self.events)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do or to take back."""
        return self.has("finished") or self.has("taken_back")

    @property
    def ending(self) -> Literal["done", "taken_back"]:
        """How an operation that is over ended; of one that another machine took over its answer tells."""
        return "done" if self.has("finished") or (self.answer and self.answer.answer) else "taken_back"

    def seconds(self, first: str, last: str) -> float:
        """From when the step of words `first` began to when that of words `last` was done; 0 if either did not."""
        begun = [event.at for event in self.events if event.kind == "doing" and event.step.endswith(f" {first}")]
        done = [event.at for event in self.events if event.kind == "done" and event.step.endswith(f" {last}")]
        if not begun or not done:
            return 0.0
        return (datetime.fromisoformat(done[-1]) - datetime.fromisoformat(begun[0])).total_seconds()

    def moved(self, step: str) -> int:
        """How many bytes were moved by the step of these words, as far as that is known."""
        done = [event for event in self.events if event.kind == "done" and event.step.endswith(f" {step}")]
        return (done[-1].bytes or 0) if done else 0

    def _append(self, line: bytes) -> None:
        lines = b"".join([*self._behind, line])
        try:
            with self.file.open("ab", buffering=0) as file:
                _append(file, lines)
        except OSError as failure:
            raise _unwritten(self.file, failure) from failure
        self._behind.clear()


def _unwritten(file: Path, failure: OSError) -> Unwritten:
    return Unwritten(f"cannot write the journal {file}: {failure.strerror}")


def _write_new(file: Path, lines: bytes) -> None:
    fresh = file.with_suffix(".new")
    try:
        with fresh.open("wb", buffering=0) as out:
            _append(out, lines)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
    _sync_folder(file.parent)


def _append(file: FileIO, lines: bytes) -> None:
    whole = file.tell()
    try:
        if file.write(lines) < len(lines):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)
        os.fsync(file.fileno())
    except OSError:
        file.truncate(whole)  # what is told next must not stand on half a line
        raise


def stories(folder: Path) -> Iterator[Story]:
    """All that are kept, oldest first."""
    return _read(_files(folder))


def unanswered(folder: Path) -> Iterator[Story]:
    """Those that are not over, oldest first. The others are not decoded: there are ever more of them."""
    return _read(file for file in _files(folder) if not _is_answered(file))


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"), key=lambda file: file.stat().st_mtime_ns)


def _read(files: Iterable[Path]) -> Iterator[Story]:
    """One that cannot be understood is left as it is: it must not keep the others from being resolved."""
    for file in files:
        try:
            story = Story.read(file)
        except Stuck as stuck:
            log.error("%s", stuck)
            continue
        if story:
            yield story


def spoilt(folder: Path) -> Iterator[tuple[Path, Stuck]]:
    """Those that are not over, as far as that can be told, and cannot be read, oldest first, with why."""
    for file in _files(folder):
        if not _is_answered(file):
            try:
                Story.read(file)
            except Stuck as stuck:
                yield file, stuck


def unreadable(operation: str, why: str, version: str) -> Stuck:
    """What another version wrote, and only it can carry on; nothing of it is taken back on a guess."""
    who = f"ployz {version}" if version else "the version of ployz that wrote it"
    cannot, hint = f"cannot carry on with {operation}", f"install {who}, and ployzctl op resume {operation} there"
    return Stuck("operation.unreadable", cannot, f"{who} wrote its journal: {why}", hint)


def _version(heading: bytes) -> str:
    try:
        return msgspec.json.decode(heading, type=_Version).version
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def _is_answered(file: Path) -> bool:
    """Whether it has a whole line that is an answer. No line break is part of any encoding."""
    text = file.read_bytes()
    begins = text.rfind(b"\n" + ANSWER)
    return begins >= 0 and text.find(b"\n", begins + 1) >= 0


def rfc3339(moment: datetime | None = None) -> str:
    """The time, now if no other, UTC, with milliseconds."""
    return (moment or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _sync_folder(folder: Path) -> None:
    """A new file is only found after a crash if its folder was synced too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
