"""Where an export is written to, and where an import is read from: a file, stdin or stdout, or a folder."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress

import click

from ctl.carrying import Carry, deliver, fetch
from ctl.listen import Failed
from ctl.show import tell
from daemon.wire import Error, Failure, Refused


class Target:
    """A file that is there under its name once it is whole; `-` is stdout, which must not be a terminal."""

    def __init__(self, name: str) -> None:
        self.name, self.stdout = name, name == "-"
        self._part = f"{name}.part"
        if self.stdout and sys.stdout.isatty():
            raise click.UsageError("stdout is a terminal: -o FILE, or pipe it", click.get_current_context())
        self._file = sys.stdout.fileno() if self.stdout else self._open()

    def _open(self) -> int:
        try:
            return os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            why = error.strerror or str(error)
            refused = Refused("export.unwritable", f"cannot export to {self.name}", why, "-o with another path")
            raise Failed(Failure(refused.error), changes=True) from None

    @property
    def carry(self) -> Carry:
        return lambda connection, moved: fetch(connection, lambda block: os.write(self._file, block), moved)

    def keep(self) -> None:
        """It is whole: give it its name, durably. Raises OSError."""
        if not self.stdout:
            os.fsync(self._file)
            os.close(self._file)
            os.rename(self._part, self.name)

    def drop(self) -> None:
        if not self.stdout:
            with suppress(OSError):
                os.unlink(self._part)


def source(name: str) -> tuple[Carry, int | None]:
    """How what is there is sent, and how many bytes that are, where it is known. Raises Failed `import.unreadable`."""
    if name == "-":
        if sys.stdin.isatty():
            tell("Reading from the terminal; Ctrl-D ends it.")
        return _reading(open(sys.stdin.fileno(), "rb", buffering=0, closefd=False).readinto), None
    try:
        if os.path.isdir(name):
            from ctl.packing import pack  # needs a module that takes long to import, and is seldom wanted

            os.listdir(name)
            return lambda connection, moved: pack(name, connection, moved), None
        file = open(name, "rb", buffering=0)  # noqa: SIM115
        return _reading(file.readinto), os.fstat(file.fileno()).st_size or None
    except OSError as error:
        why = error.strerror or str(error)
        refused = Refused("import.unreadable", f"cannot import {name}", why, "the path of a file or a folder, or -")
        raise Failed(Failure(refused.error), changes=True) from None


def _reading(read: Callable[[memoryview], int | None]) -> Carry:
    return lambda connection, moved: deliver(connection, lambda block: read(block) or 0, moved)


def unwritten(name: str, why: str, operation: str | None) -> Failed:
    """The failure of an export whose bytes could not be kept here."""
    what = f"cannot export to {'stdout' if name == '-' else name}"
    return Failed(Failure(Error("export.unwritten", "error", what, why, "-o with another path"), operation))
