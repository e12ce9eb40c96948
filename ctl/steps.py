"""The story of an operation in lines: what its events say about each step, and how long it took."""

import re
from collections.abc import Iterable
from datetime import datetime

from ctl.quantities import moment, size, span
from ctl.style import Style, cut, harmless
from daemon.wire import Event

POSITION = re.compile(r"^\d[\d.]*\s+")
BEGINS = ("doing", "committing", "undoing")
ENDS = ("done", "committed", "undone", "failed")
COLUMN = 56
BAR = 12
"""Columns of a bar."""


class Steps:
    """Which steps are under way, each with the event that began it or told of it last."""

    def __init__(self) -> None:
        self.running: dict[str, Event] = {}
        self._began: dict[str, datetime] = {}

    def take(self, event: Event) -> float | None:
        """Take note of an event, and return the seconds that its step took if it ends one that was seen to begin."""
        if event.kind in BEGINS:
            before = self.running.get(event.step)
            if before is None or before.kind != event.kind:
                self._began[event.step] = moment(event.at)
            self.running[event.step] = event
            return None
        began = self._began.pop(event.step, None)
        self.running.pop(event.step, None)
        if event.kind in ("finished", "taken_back", "stuck"):
            self.running.clear()
        return None if began is None else max(0.0, (moment(event.at) - began).total_seconds())

    def elapsed(self, event: Event, until: datetime) -> float:
        """Seconds since the running step of that event began."""
        return max(0.0, (until - self._began[event.step]).total_seconds())


def words(event: Event) -> str:
    """What the step says, without its position; an undone one in parentheses."""
    said = harmless(POSITION.sub("", event.step))
    said = f"{said} ({event.machine})" if event.machine else said
    return f"({said})" if event.kind in ("undoing", "undone") else said


def amount(event: Event) -> str:
    """How many bytes have gone, of how many."""
    if event.bytes is None:
        return ""
    return f"{size(event.bytes)} of {size(event.total)}" if event.total else size(event.bytes)


def going(event: Event, seconds: float) -> str:
    """How far a step is that has been under way for so long: a bar, how fast, and how long it still takes."""
    if not event.bytes or not event.total or seconds <= 0:
        return amount(event)
    rate, share = event.bytes / seconds, min(1.0, event.bytes / event.total)
    bar = ("█" * round(share * BAR)).ljust(BAR, "░")
    left = f", {span((event.total - event.bytes) / rate)} left" if share < 1 else ""
    return f"{amount(event)} {bar} {size(rate)}/s{left}"


def ended(event: Event, seconds: float | None, style: Style) -> str | None:
    """The line of a step that is over, or None for an event that ends none."""
    if event.kind not in ENDS or not (event.step or event.why):
        return None
    mark = {"undone": style.yellow("↶"), "failed": style.red("✗")}.get(event.kind, style.green("✓"))
    said = ", ".join(filter(None, [words(event), amount(event)]))
    if event.kind == "failed":
        why = harmless(event.why).strip().partition("\n")[0]
        return f"  {mark} {': '.join(filter(None, [said, why]))}"
    return f"  {mark} {timed(said, seconds, style)}"


def timed(said: str, seconds: float | None, style: Style) -> str:
    """Words with their seconds, in columns that stay in line; the words give way where the terminal is narrow."""
    if seconds is None:
        return cut(said, style.columns - 5)
    room = min(COLUMN, style.columns - 16)
    return f"{cut(said, style.columns - 16):<{room}}  {style.dim(f'{span(seconds):>8}')}"


def story(events: Iterable[Event], style: Style) -> str:
    """All lines of an operation's story."""
    steps = Steps()
    lines = (ended(event, steps.take(event), style) for event in events)
    return "\n".join(line for line in lines if line)
