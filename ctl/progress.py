"""How progress is shown while a call is under way; programs get nothing of it, or JSON."""

from collections.abc import Callable
from typing import Protocol

from daemon.wire import Event, encode

Write = Callable[[str], None]


class Progress(Protocol):
    """How the events of a call are shown while they come."""

    @property
    def period(self) -> float | None:
        """How many seconds may pass between two calls of `tick`; None: it needs none."""

    def event(self, event: Event) -> None: ...
    def note(self, text: str) -> None: ...
    def tick(self) -> None: ...
    def close(self) -> None: ...


class Silent:
    """For programs: nothing, or the events themselves where `write` is given."""

    period = None

    def __init__(self, write: Write | None = None) -> None:
        self._write = write

    def event(self, event: Event) -> None:
        if self._write:
            self._write(encode(event).decode())

    def note(self, text: str) -> None:
        pass

    def tick(self) -> None:
        pass

    def close(self) -> None:
        pass
