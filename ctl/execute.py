"""A command in an instance: its input, its output and its terminal, joined to ours while it runs."""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ctl.ask import lost
from ctl.client import AT_ONCE, Connection, Lost
from ctl.contexts import Place
from ctl.lines import Ending
from ctl.listen import INTERRUPTED, Failed
from ctl.signals import Signals
from daemon.wire import Call, Exec, Failure, Input, Output, Run, Success

NOTHING = Input(end=True)


def execute(request: Exec | Run, place: Place, output: Callable[[Output], None]) -> Success:
    """Run it until it ends; `result["code"]` is its exit code. Raise Failed where it could not run."""
    raw = request.tty and request.interactive
    with Connection(place) as connection, Signals(*_heeded(raw=raw)) as signals:
        connection.open(Call(request))
        if not request.interactive:
            connection.follow(NOTHING)
        try:
            with _raw_terminal(raw=raw):
                ending = _join(connection, signals, output, reading=request.interactive)
        except Lost:
            raise Failed(lost(None)) from None
    if isinstance(ending, Failure):
        raise Failed(ending)
    return ending


def size_of_terminal() -> tuple[int, int]:
    """Rows and columns of the terminal that we write to, or that we read from."""
    for stream in (sys.stdout, sys.stdin):
        try:
            size = os.get_terminal_size(stream.fileno())
        except OSError:
            continue
        return size.lines, size.columns
    return 24, 80


def _heeded(*, raw: bool) -> list[signal.Signals]:
    """On a raw terminal Ctrl-C is a byte like any other, for the command to read."""
    return [signal.SIGWINCH] if raw else [signal.SIGWINCH, signal.SIGINT]


def _join(connection: Connection, signals: Signals, output: Callable[[Output], None], *, reading: bool) -> Ending:
    while True:
        # Input is read only once the last of it is sent: whoever does not read us must not make us grow.
        inputs = [sys.stdin] if reading and not connection.pending else []
        writing = [connection] if connection.pending else []
        readable, writable, _ = select.select([connection, signals, *inputs], writing, [])
        if writable:
            connection.write()
        _heed(signals.read(), connection, reading=reading)
        if sys.stdin in readable:
            reading = _pass_on(connection)
        for line in connection.read():
            if isinstance(line, Output):
                output(line)
            elif isinstance(line, Success | Failure):
                return line


def _pass_on(connection: Connection) -> bool:
    """Send what there is to read; return whether there may be more."""
    data = os.read(sys.stdin.fileno(), AT_ONCE)
    connection.follow(Input(data=data) if data else NOTHING)
    return bool(data)


def _heed(numbers: list[int], connection: Connection, *, reading: bool) -> None:
    if signal.SIGINT in numbers:
        raise Failed(INTERRUPTED)
    if signal.SIGWINCH in numbers and reading:
        rows, columns = size_of_terminal()
        connection.follow(Input(rows=rows, columns=columns))


@contextmanager
def _raw_terminal(*, raw: bool) -> Iterator[None]:
    """Pass every key on as it is typed, and give the terminal back as it was."""
    if not raw:
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, before)
