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
    """A file that is there under its name once it is whole; `-` is stdout, which must not be a terminal.

    What is there already and is no file, such as a pipe, is written to as it is.
    """

    def __init__(self, name: str) -> None:
        self.name, self.stdout = name, name == "-"
        self._place = os.path.realpath(name)
        self._part = f"{self._place}.part"
        self._renamed = not self.stdout and (os.path.isfile(name) or not os.path.exists(name))
        if self.stdout and sys.stdout.isatty():
            raise click.UsageError("stdout is a terminal: -o FILE, or pipe it", click.get_current_context())
        self._file = sys.stdout.fileno() if self.stdout else self._open()

    def _open(self) -> int:
        try:
            if self._renamed:
                return os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            return os.open(self.name, os.O_WRONLY)
        except OSError as error:
            why = error.strerror or str(error)
            refused = Refused("export.unwritable", f"cannot export to {self.name}", why, "-o with another path")
            raise Failed(Failure(refused.error), changes=True) from None

    @property
    def carry(self) -> Carry:
        return lambda connection, moved: fetch(connection, self._write, moved)

    def _write(self, block: memoryview) -> int:
        """Raises OSError; never one of those that tell of the other end of the connection."""
        try:
            return os.write(self._file, block)
        except BrokenPipeError:
            raise OSError("nobody reads what it is written to any more") from None

    def keep(self) -> None:
        """It is whole: give it its name, durably. Raises OSError."""
        if self._renamed:
            os.fsync(self._file)
            os.close(self._file)
            os.rename(self._part, self._place)
            folder = os.open(os.path.dirname(self._place), os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)

    def drop(self) -> None:
        if self._renamed:
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
