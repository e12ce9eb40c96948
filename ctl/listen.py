"""Wait for the ending of what was asked, while events are shown and Ctrl-C is heeded. One thread, one select(2)."""

import select
import signal
from collections.abc import Callable
from typing import Protocol

from ctl.client import Lost
from ctl.lines import Ending, Line
from ctl.progress import Progress
from ctl.signals import Signals
from daemon.wire import Error, Event, Failure, Output, Problem

INTERRUPTED = Failure(Error("interrupted", "error", "cannot go on", "it was interrupted"))


class Failed(Exception):
    """An ending that is not *done*. `changes`: something was to be changed."""

    def __init__(self, failure: Failure, *, changes: bool = False) -> None:
        super().__init__(failure)
        self.failure, self.changes = failure, changes


class Source(Protocol):
    """What lines come from: a daemon, or a program that was started. `read` raises client.Lost at an early end."""

    pending: bytes

    def fileno(self) -> int: ...
    def write(self) -> None: ...
    def read(self) -> list[Line]: ...


class OnInterrupt(Protocol):
    """What Ctrl-C does. `also` is something that answers to it, to be listened to as well; then `heard` takes that."""

    also: Source | None

    def pressed(self, progress: Progress) -> None: ...
    def heard(self, line: Line, progress: Progress) -> None: ...


class Leave:
    """Ctrl-C ends a look: there is nothing to take back."""

    also: Source | None = None

    def pressed(self, _: Progress) -> None:
        raise Failed(INTERRUPTED)

    def heard(self, line: Line, progress: Progress) -> None:
        """Nothing answers."""


def listen(source: Source, progress: Progress, output: Callable[[Output], None], interrupt: OnInterrupt) -> Ending:
    """Return the ending; events go to `progress`, pieces of output to `output`."""
    with Signals(signal.SIGINT) as signals:
        try:
            while True:
                _wait(source, interrupt.also, signals, progress)
                if signals.read():
                    interrupt.pressed(progress)
                for line in _answers(interrupt):
                    interrupt.heard(line, progress)
                for line in source.read():
                    if isinstance(line, Event):
                        progress.event(line)
                    elif isinstance(line, Output):
                        output(line)
                    else:
                        return line
        finally:
            progress.close()


def _wait(source: Source, also: Source | None, signals: Signals, progress: Progress) -> None:
    """Until one of them has something to say, or the view wants to be drawn."""
    sources = [source, *([also] if also else [])]
    writing = [one for one in sources if one.pending]
    reading: list[Source | Signals] = [*sources, signals]
    _, writable, _ = select.select(reading, writing, [], progress.period)
    for one in writable:
        one.write()
    progress.tick()


def _answers(interrupt: OnInterrupt) -> list[Line]:
    """What answers Ctrl-C. Whatever becomes of that, the operation itself is still to be waited for."""
    if not interrupt.also:
        return []
    try:
        return interrupt.also.read()
    except Problem as problem:
        return [Failure(problem.error)]
    except Lost:
        return [Failure(Error("daemon.lost", "error", "cannot take it back", "the daemon went away"))]
