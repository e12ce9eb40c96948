"""What a command on local clusters tells while it works: its steps, in words, as events."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from daemon.wire import Event, EventKind

Tell = Callable[[Event], None]


@dataclass
class Story:
    """The steps of one command, as they are told; `step` counts them. Several may be under way."""

    operation: str
    tell: Tell
    step: int = 0

    @contextmanager
    def doing(self, words: str) -> Iterator[None]:
        """Tell that something is being done and, unless it fails, that it was."""
        step = self._next()
        self._say("doing", step, words)
        yield
        self._say("done", step, words)

    @contextmanager
    def undoing(self, words: str) -> Iterator[None]:
        """The same for what takes back."""
        step = self._next()
        self._say("undoing", step, words)
        yield
        self._say("undone", step, words)

    def already(self, words: str) -> None:
        """Tell what needed no doing."""
        self._say("done", self.step, words)

    def _next(self) -> int:
        self.step += 1
        return self.step

    def _say(self, kind: EventKind, step: int, words: str) -> None:
        at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        self.tell(Event(self.operation, at, kind, f"{step} {words}"))
