"""What an instance on the host wrote, line by line, as its supervisor put it down: one file, and the one before it."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from runtime.logs import Line
from runtime.stream import PIECE, STREAMS, Stream

LOOK_AGAIN = 0.1
"""Seconds between two looks at a log that is followed."""
NAMES: dict[bytes, Stream] = {stream.encode(): stream for stream in STREAMS.values()}


async def lines(
    folder: Path, *, goes_on: Callable[[], bool] | None, since: float | None = None, tail: int | None = None
) -> AsyncGenerator[Line, None]:
    """Both streams, oldest first; then those that come, as long as the instance `goes_on`. `since` is Unix seconds."""
    reader = Reader(folder)
    past = (line for line in reader.read() if since is None or line[1] >= _written(since))
    for line in past if tail is None else deque(past, maxlen=tail):
        yield line
    while goes_on:
        more = goes_on()  # asked first: what it wrote before it ended is read all the same
        for line in reader.read():
            yield line
        if not more:
            return
        await asyncio.sleep(LOOK_AGAIN)


class Reader:
    """Reads on from where it was, over the turning of the file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.inode, self.at = folder, 0, 0
        self.open_lines: dict[Stream, tuple[str, bytes]] = {}

    def read(self) -> Iterator[Line]:
        """What was written since the last time."""
        yield from self._joined(self._rows())

    def _rows(self) -> Iterator[bytes]:
        for name in ("log.1", "log") if self._turned() else ("log",):
            try:
                with (self.folder / name).open("rb") as file:
                    inode = os.fstat(file.fileno()).st_ino
                    self.at, self.inode = self.at if inode == self.inode else 0, inode
                    file.seek(self.at)
                    for row in file:
                        if not row.endswith(b"\n"):
                            break  # it is just being written
                        self.at += len(row)
                        yield row[:-1]
            except FileNotFoundError:
                continue

    def _turned(self) -> bool:
        """Whether what was read last is the older file by now; at first both are read."""
        try:
            return (self.folder / "log").stat().st_ino != self.inode
        except FileNotFoundError:
            return True

    def _joined(self, rows: Iterable[bytes]) -> Iterator[Line]:
        """Long lines are written in parts, each with a time of its own: put them together again."""
        for row in rows:
            at, _, rest = row.partition(b" ")
            name, _, rest = rest.partition(b" ")
            kind, _, text = rest.partition(b" ")
            if name not in NAMES:
                continue  # cut by a loss of power
            began, before = self.open_lines.pop(NAMES[name], (at.decode(errors="replace"), b""))
            whole = before + text
            if kind == b"P" and len(whole) <= 16 * PIECE:
                self.open_lines[NAMES[name]] = began, whole
            else:
                yield NAMES[name], began, whole


def _written(since: float) -> str:
    return datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
