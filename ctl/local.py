"""What needs no daemon, done by `ployzd dev` and `ployzd doctor`, which are started here."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from ctl.client import AT_ONCE, Lost
from ctl.lines import Line, decode
from ctl.listen import Failed, Source, listen
from ctl.progress import Progress
from ctl.show import Screen
from daemon.wire import DevRequest, Doctor, Error, Failure, Output, Success, encode

LAST = 10
"""Lines of what the program wrote to stderr that are shown when it ended early."""


class Program:
    """`ployzd WORD`, running: it got one request, and its lines are read as they come."""

    def __init__(self, request: DevRequest | Doctor) -> None:
        self.word = "doctor" if isinstance(request, Doctor) else "dev"
        self.pending = b""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the program runs)
        self._rest = b""
        # A group of its own: Ctrl-C on the terminal must reach it once, through us, and not twice.
        self.process = subprocess.Popen(
            [*_ployzd(), self.word],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            process_group=0,
        )
        assert self.process.stdin
        assert self.process.stdout
        self._out = self.process.stdout
        try:
            with self.process.stdin as stdin:
                stdin.write(encode(request))
        except BrokenPipeError:
            return  # it has ended; what it said comes with reading

    def fileno(self) -> int:
        return self._out.fileno()

    def write(self) -> None:
        """All was written at the start."""

    def read(self) -> list[Line]:
        """The lines that arrived; raise Lost if no more will come."""
        data = os.read(self._out.fileno(), AT_ONCE)
        if not data:
            raise Lost
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [decode(line) for line in lines if line.strip()]

    def said(self) -> str:
        """The last lines that it wrote to stderr."""
        self._said.seek(0)
        return "\n".join(self._said.read().decode(errors="replace").splitlines()[-LAST:])

    def close(self) -> None:
        self._out.close()
        self._said.close()


class Stop:
    """The first Ctrl-C asks the program to take back what it did; the second ends it."""

    also: Source | None = None

    def __init__(self, program: Program) -> None:
        self._program, self._asked = program, False

    def pressed(self, progress: Progress) -> None:
        if self._asked:
            self._program.process.kill()
            return
        self._asked = True
        self._program.process.send_signal(signal.SIGINT)
        progress.note("Taking it back. Ctrl-C again leaves it as it is.")

    def heard(self, line: Line, progress: Progress) -> None:
        """Nothing answers but the program itself."""


def ask(request: DevRequest | Doctor, screen: Screen) -> Success:
    """Have it done; raise Failed for every ending but *done*."""
    program = Program(request)
    try:
        ending = listen(program, screen.progress(), _unexpected, Stop(program))
    except Lost:
        raise Failed(_died(program)) from None
    finally:
        program.close()
    program.process.wait()
    if isinstance(ending, Failure):
        raise Failed(ending, changes=True)
    return ending


def _died(program: Program) -> Failure:
    code = program.process.wait()
    why = f"`ployzd {program.word}` ended with {code} before it had answered\n{program.said()}".strip()
    if program.word == "doctor":
        return Failure(Error("doctor.lost", "error", "cannot tell how this host is", why, "dev/install, then again"))
    hint = "ployzctl dev ls shows what is there; ployzctl dev down removes it"
    return Failure(Error("dev.lost", "error", "cannot tell what became of the local cluster", why, hint))


def _ployzd() -> list[str]:
    """The daemon's program that was installed along with us."""
    beside = Path(sys.executable).parent / "ployzd"
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "daemon"]


def _unexpected(_: Output) -> None:
    """It has none."""
