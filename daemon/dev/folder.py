"""What a host keeps about its local clusters: a folder for each, with one file that says what it is.

A cluster exists from the moment its folder has its name until its file is gone; whatever else belongs to it is
made after the first and removed before the second.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec
from msgspec import Struct

from daemon.wire import Refused

FILE = "cluster.json"


class MachineRecord(Struct, frozen=True):
    """A machine, and the port of 127.0.0.1 that leads to its gateway."""

    name: str
    port: int


class ClusterRecord(Struct, frozen=True):
    """The content of `cluster.json`."""

    name: str
    driver: Literal["namespace"]
    machines: tuple[MachineRecord, ...]


@dataclass(frozen=True)
class Folder:
    """One cluster's folder; `path` is absolute and real."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def read(self) -> ClusterRecord | None:
        """What it says, or None where there is no cluster. Raises Refused `dev.foreign` if it is not ours."""
        try:
            return msgspec.json.decode((self.path / FILE).read_bytes(), type=ClusterRecord)
        except (FileNotFoundError, NotADirectoryError):
            if self.path.is_symlink() or (self.path.exists() and not self._is_empty()):
                raise self._foreign("there is no cluster.json in it") from None
            return None
        except msgspec.MsgspecError as error:
            raise self._foreign(f"its cluster.json cannot be read: {error}") from error

    def write(self, record: ClusterRecord) -> None:
        """Say what it is, at once and whole; the first time this is what makes the folder."""
        new = self.path.with_name(f".{self.name}.new")
        if self.path.is_dir() and not self._is_empty():
            target, written = self.path / FILE, self.path / f".{FILE}.new"
            _put(written, record)
            written.rename(target)
            return
        new.mkdir(exist_ok=True)
        _put(new / FILE, record)
        new.rename(self.path)

    def remove_below(self, parts: list[str]) -> None:
        """Remove the folders of these names in it, of machines or of the underlay."""
        for path in (self.path / name for name in parts):
            if path.exists():
                shutil.rmtree(path, onerror=_whole)

    def remove(self, parts: list[str]) -> list[str]:
        """Remove those folders, the file and then itself; what others put there stays, and its names are returned."""
        _remove_unfinished(self.path.with_name(f".{self.name}.new"))
        self.remove_below(parts)
        for name in (f".{FILE}.new", FILE):
            (self.path / name).unlink(missing_ok=True)
        strangers = sorted(os.listdir(self.path)) if self.path.exists() else []
        if not strangers and self.path.exists():
            self.path.rmdir()
        return strangers

    def _is_empty(self) -> bool:
        return self.path.is_dir() and not any(self.path.iterdir())

    def _foreign(self, why: str) -> Refused:
        return Refused("dev.foreign", f"cannot use {self.path}", why, "choose another name with --name, or look at it")


def _whole(_: Callable[..., object], path: str, raised: tuple[type, BaseException, TracebackType]) -> None:
    """What is in the way is told with its whole path: rmtree's own failures name only its last part."""
    failure = raised[1]
    raise OSError(failure.errno, failure.strerror, path) if isinstance(failure, OSError) else failure


def folders(root: Path) -> list[Folder]:
    """The clusters below `root`, by name. What is not a cluster is passed over."""
    try:
        return [Folder(file.parent) for file in sorted(root.glob(f"[!.]*/{FILE}"))]
    except FileNotFoundError:
        return []


@asynccontextmanager
async def locked(root: Path, within: float) -> AsyncIterator[None]:
    """Nobody else makes or removes clusters below `root` meanwhile. The kernel frees it when its holder dies."""
    try:
        async with asyncio.timeout(within):
            handle = await _lock(root)
    except TimeoutError:
        raise Refused("dev.busy", f"cannot change the clusters in {root}", "another command does", "wait") from None
    try:
        yield
    finally:
        os.close(handle)


async def _lock(root: Path) -> int:
    while True:
        root.mkdir(parents=True, exist_ok=True)
        handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), root.stat()):  # else it was removed while we waited
                return handle
        os.close(handle)
        await asyncio.sleep(0.1)


def _put(path: Path, record: ClusterRecord) -> None:
    with path.open("wb") as file:
        file.write(msgspec.json.encode(record) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _remove_unfinished(path: Path) -> None:
    if path.is_dir():
        (path / FILE).unlink(missing_ok=True)
        path.rmdir()
