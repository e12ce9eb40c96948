"""All that ployzctl writes: progress and problems on stderr, results on stdout, or one JSON document there."""

import io
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TextIO

import msgspec

from ctl.progress import Progress, Silent
from ctl.style import Style, harmless
from ctl.tables import indent
from daemon.wire import EXIT, Error, Failure, Success

USAGE = "usage"
USAGE_EXIT = 2
WORLD = {
    "refused": "Nothing was changed.",
    "taken_back": "Taken back: everything is as it was before.",
    "stuck": "Stuck: neither done nor taken back yet. Carry on with: ployzctl op resume {operation}",
    "unfinished": "Stuck: neither done nor taken back yet.",
}


@dataclass(frozen=True)
class Answer:
    """What a command has to say: the document for programs, the text for people, and the exit code."""

    success: Success
    text: Callable[[Style], str]
    code: int = 0


def answer(success: Success, code: int = 0) -> Answer:
    """What a command answers with a result of that kind."""
    return Answer(success, lambda style: _text(success, style), code)


def _text(success: Success, style: Style) -> str:
    from ctl import texts  # programs, which ask for JSON, need not wait for them

    return texts.text(success.kind, success.result, style)


class Screen:
    """Where a command writes. `json` and `events` choose who reads: a program or a person."""

    def __init__(self, *, json: bool = False, events: bool = False) -> None:
        self.json = json or events
        self.events = events
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")

    def progress(self) -> Progress:
        """How events are to be shown; to be closed before anything else is written."""
        if self.json:
            return Silent(_write_out if self.events else None)
        from ctl import live  # programs, which ask for JSON, need not wait for it

        style = style_of(sys.stderr)
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            return live.Live(_write_error, style)
        return live.Plain(_write_error, style)

    def answer(self, answer: Answer) -> int:
        """Write a result, and return the exit code."""
        if self.json:
            _document({"ok": True, **msgspec.to_builtins(answer.success)})
            return answer.code
        style = style_of(sys.stderr)
        for warning in answer.success.warnings:
            _write_error(f"{style.yellow('warning:')} {harmless(warning)}\n")
        if text := answer.text(style_of(sys.stdout)):
            _write_out(text if text.endswith("\n") else text + "\n")
        return answer.code

    def failed(self, failure: Failure, *, changes: bool = False) -> int:
        """Write what went wrong, and return the exit code; `changes`: it was to change something."""
        if self.json:
            _document({"ok": False, **msgspec.to_builtins(failure)})
        else:
            _write_error(explain(failure, style_of(sys.stderr), changes=changes) + "\n")
        return USAGE_EXIT if failure.error.code == USAGE else EXIT[failure.error.state]

    def bug(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """To be python's `sys.excepthook`: a mistake of ours still ends in one document."""
        sys.stderr.write("".join(traceback.format_exception(kind, error, trace)))
        why = f"ployzctl has a bug ({kind.__name__}: {error})"
        self.failed(Failure(Error("bug", "error", "cannot go on", why, "report it, with the lines above")))


def explain(failure: Failure, style: Style, *, changes: bool) -> str:
    """A failure as sentences: cannot what, because why, try this; and how the world is now."""
    error = failure.error
    what, *more = harmless(f"{error.what}: because {error.why}" if error.why else error.what).strip().split("\n")
    lines = [f"{style.red(style.bold('ployzctl:'))} {what}", *(f"  {style.dim('│')} {line}" for line in more)]
    if error.hint:
        lines.append(f"  {style.cyan('try:')} {indent(harmless(error.hint), ' ' * 7).lstrip()}")
    if error.state in ("taken_back", "stuck") or (changes and error.state == "refused"):
        unfinished = error.state == "stuck" and not failure.operation
        world = WORLD["unfinished" if unfinished else error.state].format(operation=failure.operation)
        named = failure.operation and error.state != "refused"
        lines.append(f"{world} {style.dim(f'({failure.operation})')}" if named else world)
    return "\n".join(lines)


def out_style() -> Style:
    """What stdout can show."""
    return style_of(sys.stdout)


def err_style() -> Style:
    """What stderr can show."""
    return style_of(sys.stderr)


def style_of(stream: TextIO) -> Style:
    """Colours on terminals that have them, unless NO_COLOR says otherwise (no-color.org)."""
    if not stream.isatty():
        return Style(columns=100)
    colours = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    try:
        columns = os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        columns = 80
    return Style(colours, columns)


def write_bytes(data: bytes, stream: str) -> None:
    """Pass on what a command in an instance wrote, as it is."""
    target = sys.stderr if stream == "stderr" else sys.stdout
    target.flush()
    left = memoryview(data)
    while left:
        left = left[os.write(target.fileno(), left) :]


def write_line(text: str) -> None:
    """One line of a result that has no end yet, such as a log that is followed."""
    _write_out(text + "\n")


def tell(text: str) -> None:
    """A line for the person who waits; programs don't get it."""
    _write_error(text + "\n")


def json_line(line: dict[str, Any]) -> None:
    _document(line)


def _document(document: dict[str, Any]) -> None:
    _write_out(msgspec.json.encode(document).decode() + "\n")


def _write_out(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _write_error(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
