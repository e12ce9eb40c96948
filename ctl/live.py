"""Progress for people while a call is under way: a calm live view on a terminal, plain lines elsewhere."""

import time

from ctl.progress import Write
from ctl.quantities import now
from ctl.steps import Steps, ended, going, timed, words
from ctl.style import Style
from daemon.wire import Event

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
QUIET = 1.0
"""Seconds without any event, after which the view says that it waits."""
MOST = 8
"""Steps under way that are shown at a time."""


class Plain:
    """For pipes and files: a line when a step begins, and one when it is over."""

    period = None

    def __init__(self, write: Write, style: Style) -> None:
        self._write, self._style, self._steps = write, style, Steps()

    def event(self, event: Event) -> None:
        known = event.step in self._steps.running
        seconds = self._steps.take(event)
        if line := ended(event, seconds, self._style):
            self._write(line + "\n")
        elif event.step in self._steps.running and not known:
            self._write(f"  … {words(event)}\n")

    def note(self, text: str) -> None:
        self._write(text + "\n")

    def tick(self) -> None:
        pass

    def close(self) -> None:
        pass


class Live:
    """For terminals: steps that are over scroll up, and the ones under way are drawn anew below them."""

    period = 0.1

    def __init__(self, write: Write, style: Style) -> None:
        self._write, self._style, self._steps = write, style, Steps()
        self._drawn = 0
        self._since = time.monotonic()
        self._heard = False

    def event(self, event: Event) -> None:
        self._heard = True
        if line := ended(event, self._steps.take(event), self._style):
            self.note(line)
        else:
            self.tick()

    def note(self, text: str) -> None:
        self._draw(text + "\n")

    def tick(self) -> None:
        self._draw("")

    def close(self) -> None:
        """Leave only what is over, and the cursor as it was."""
        if self._drawn:
            self._write(self._wipe() + "\x1b[?25h")
            self._drawn = 0

    def _draw(self, above: str) -> None:
        lines = self._under_way()
        hide = "\x1b[?25l" if lines and not self._drawn else ""
        show = "\x1b[?25h" if self._drawn and not lines else ""
        text = self._wipe() + above + hide + "".join(line + "\n" for line in lines) + show
        self._drawn = len(lines)
        if text:
            self._write(text)

    def _wipe(self) -> str:
        return f"\x1b[{self._drawn}A\r\x1b[J" if self._drawn else ""

    def _under_way(self) -> list[str]:
        spent = time.monotonic() - self._since
        mark = self._style.cyan(SPINNER[int(spent * 10) % len(SPINNER)])
        if not self._heard:
            waits = timed("waiting for the daemon", spent, self._style)
            return [f"  {mark} {waits}"] if spent > QUIET else []
        running = list(self._steps.running.values())
        lines = [f"  {mark} {self._line(event)}" for event in running[:MOST]]
        more = [f"    and {len(running) - MOST} more"] if len(running) > MOST else []
        return lines + more

    def _line(self, event: Event) -> str:
        elapsed = self._steps.elapsed(event, now())
        said = ", ".join(filter(None, [words(event), going(event, elapsed)]))
        return timed(said, elapsed, self._style)
