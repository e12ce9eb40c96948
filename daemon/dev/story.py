"""What a command on local clusters tells while it works: its steps, in words, as events."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from daemon.wire import Event, EventKind

Tell = Callable[[Event], None]


@dataclass
class Story:
    """The steps of one command, as they are told; `step` counts them."""

    operation: str
    tell: Tell
    step: int = 0

    @contextmanager
    def doing(self, words: str) -> Iterator[None]:
        """Tell that something is being done and, unless it fails, that it was."""
        self.step += 1
        self._say("doing", words)
        yield
        self._say("done", words)

    @contextmanager
    def undoing(self, words: str) -> Iterator[None]:
        """The same for what takes back."""
        self.step += 1
        self._say("undoing", words)
        yield
        self._say("undone", words)

    def already(self, words: str) -> None:
        """Tell what needed no doing."""
        self._say("done", words)

    def _say(self, kind: EventKind, words: str) -> None:
        at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        self.tell(Event(self.operation, at, kind, f"{self.step} {words}"))
