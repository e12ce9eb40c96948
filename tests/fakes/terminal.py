"""A person at a terminal, for tests: the program `ployzctl` as a real process, in a pipe or on a pseudo-terminal."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOUSE = Path(__file__).parents[2]
PATIENCE = 20.0
"""Seconds after which what was expected is not coming."""


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    error: str


def environment(**more: str) -> dict[str, str]:
    """That of a person without any configuration."""
    known = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", "TERM": "xterm"}
    kept = {name: os.environ[name] for name in ("PYTHONDONTWRITEBYTECODE",) if name in os.environ}
    return {**known, **kept, **more}


def ployzctl(*words: str, input: bytes = b"", env: Mapping[str, str] | None = None) -> Finished:
    """Run it in pipes until it ends."""
    code, out, error = ployzctl_bytes(*words, input=input, env=env)
    return Finished(code, out.decode(), error.decode())


def ployzctl_bytes(*words: str, input: bytes = b"", env: Mapping[str, str] | None = None) -> tuple[int, bytes, bytes]:
    """Run it in pipes until it ends; its exit code, and what it wrote, as it is."""
    done = subprocess.run(
        [sys.executable, "-m", "ctl", *words],
        cwd=HOUSE,
        input=input,
        capture_output=True,
        env=environment(**(env or {})),
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def start(*words: str, out: int) -> "subprocess.Popen[bytes]":
    """Start it with a stdout that the test holds the other end of."""
    argv = [sys.executable, "-m", "ctl", *words]
    return subprocess.Popen(argv, cwd=HOUSE, stdout=out, stderr=subprocess.PIPE, env=environment())


class Terminal:
    """What a person sees and does: `until` waits for words on the screen, `types` presses keys."""

    def __init__(self, words: tuple[str, ...], env: Mapping[str, str], rows: int, columns: int) -> None:
        self._ours, theirs = pty.openpty()
        self.seen = ""
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ctl", *words],
            cwd=HOUSE,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(**env),
            start_new_session=True,
        )
        self.theirs = theirs

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def types(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def until(self, pattern: str) -> str:
        """Return what is seen once it matches; fail after a while."""
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.seen, re.DOTALL):
            left = end - time.monotonic()
            assert left > 0, f"{pattern!r} is not in {self.seen!r}"
            if select.select([self._ours], [], [], left)[0]:
                self.seen += os.read(self._ours, 65536).decode(errors="replace")
        return self.seen

    def raw(self) -> bool:
        """Whether keys are passed on as they are typed."""
        return not termios.tcgetattr(self.theirs)[3] & termios.ICANON

    def screen(self) -> list[str]:
        """The lines as they stand: what was drawn over is gone, colours are not looked at."""
        lines = [""]
        for piece in re.findall("\x1b\\[[0-9;?]*[A-Za-z]|[^\x1b]", self.seen):
            if piece == "\n":
                lines.append("")
            elif up := re.fullmatch("\x1b\\[([0-9]+)A", piece):
                lines = lines[: -int(up[1])]
            elif piece == "\x1b[J":
                lines[-1] = ""
            elif piece.isprintable():
                lines[-1] += piece
        return lines[:-1]

    def ends(self) -> int:
        """Its exit code, once all that it wrote is in `seen`."""
        code = self.process.wait(PATIENCE)
        while select.select([self._ours], [], [], 0)[0]:
            self.seen += os.read(self._ours, 65536).decode(errors="replace")
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self.theirs)


@contextmanager
def terminal(
    *words: str, env: Mapping[str, str] | None = None, rows: int = 30, columns: int = 90
) -> Iterator[Terminal]:
    """`ployzctl` on a terminal of that size."""
    one = Terminal(words, env or {}, rows, columns)
    try:
        yield one
    finally:
        one.close()
