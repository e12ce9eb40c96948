"""A copy of all records, in memory and on disk, kept current by a watch: reading it needs no store, decides nothing.

What is in memory never waits for the disk: whoever asks right after a change is told of it.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import TypeVar

from daemon.bucket import Kv, decoded
from daemon.records import Cluster, DeployPoint, Invitation, Machine, Namespace, Operation, Past, Registry, Sealed
from dataplane.entry import Entry, Sight, key, parts

LONGEST = 200
"""Letters of a key in its file's name; what is longer is cut, and a hash of all of it added."""

T = TypeVar("T")


class Mirror:
    """The records as they were last told. `folder` holds a file for each, written only when the record changes."""

    def __init__(self, folder: Path, kv: Kv) -> None:
        self._folder, self._kv = folder, kv
        self._entries: dict[str, Entry] = {}
        self._unwritten: dict[str, Entry] = {}
        self._news, self._writing = asyncio.Event(), Lock()
        self._stale_since: str | None = _rfc3339(datetime.now(UTC))
        self._current, self._lost = asyncio.Event(), False
        self._back: list[Callable[[], None]] = []
        self._heard = datetime.now(UTC)
        self._listeners: list[Callable[[str], None]] = []

    def listen(self, tell: Callable[[str], None]) -> None:
        """Tell this one the key of each record that changes, once the change can be read here."""
        self._listeners.append(tell)

    @property
    def stale_since(self) -> str | None:
        """Since when changes may be missing (RFC 3339); None while the store tells each one as it happens."""
        return self._stale_since

    async def current(self) -> None:
        """Wait until nothing is missing."""
        await self._current.wait()

    def when_back(self, hear: Callable[[], None]) -> None:
        """Have it called each time that the store was out of sight, and is in sight again."""
        self._back.append(hear)

    def load(self, cluster: str) -> None:
        """Read what is on disk; until `follow` is current, it counts as stale from the newest change in it on.

        What is there of another than this `cluster` (its id), which the machine was a member of before, goes.
        """
        newest = 0.0
        for file in self._folder.glob("*.record"):
            try:
                where, entry = _read(file)
            except ValueError:
                continue  # spoilt by a stranger; the store tells it again
            self._entries[where] = entry
            newest = max(newest, file.stat().st_mtime)
        if (known := self.cluster()) and known.id != cluster:
            self._forget()
        elif newest:
            self._stale_since = _rfc3339(datetime.fromtimestamp(newest, UTC))

    def _forget(self) -> None:
        self._entries.clear()
        for file in self._folder.glob("*.record"):
            file.unlink()

    async def follow(self) -> None:
        """Keep the copy current, for ever. A record that the store no longer tells of is kept: none is ever deleted."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._write_down())
                await self._hear()
        finally:
            await asyncio.to_thread(self._write_all)

    async def _hear(self) -> None:
        async with aclosing(self._kv.watch()) as told:
            async for change in told:
                if change is not Sight.LOST:
                    self._heard = datetime.now(UTC)
                if isinstance(change, Sight):
                    self._see(change)
                elif self._entries.get(change[0]) != change[1]:
                    self._change(*change)

    def _change(self, where: str, entry: Entry) -> None:
        self._entries[where] = self._unwritten[where] = entry
        self._news.set()
        for tell in self._listeners:
            tell(where)

    async def _write_down(self) -> None:
        """Have on disk what is in memory; of a record that changed again in the meantime, only the newest."""
        while True:
            await self._news.wait()
            self._news.clear()
            await asyncio.to_thread(self._write_all)

    def _write_all(self) -> None:
        with self._writing:
            while self._unwritten:
                where, entry = self._unwritten.popitem()
                # On a full disk the file stays as it was: after a restart it counts as stale anyway.
                with suppress(OSError):
                    _write(self._folder, where, entry)

    def cluster(self) -> Cluster | None:
        return self._below(Cluster, "cluster").get(("cluster",))

    def machines(self) -> dict[str, Machine]:
        """Those that are there, by name."""
        return {name: machine for name, machine in self._machines().items() if machine.state != "removed"}

    def lost(self, machine: str) -> str:
        """Why nobody is to ask a machine; empty if that may be done."""
        now = self._machines().get(machine)
        return "it is gone for good, as somebody has said" if now and now.state == "lost" else ""

    def removed(self) -> set[str]:
        """The names that machines had once, and that none has now."""
        return {name for name, machine in self._machines().items() if machine.state == "removed"}

    def _machines(self) -> dict[str, Machine]:
        found = self._below(Machine, "machines")
        return {path[-1]: machine for path, machine in sorted(found.items())}

    def invitations(self) -> dict[str, Invitation]:
        return {path[-1]: invitation for path, invitation in self._below(Invitation, "invitations").items()}

    def namespaces(self) -> dict[str, Namespace]:
        return {path[-1]: namespace for path, namespace in self._below(Namespace, "namespaces").items()}

    def points(self, namespace: str) -> list[DeployPoint]:
        """The namespace's replaced deploy points that are kept, oldest first."""
        points = [past.point for past in self._below(Past, "deploys", namespace).values() if past.point]
        return sorted(points, key=lambda point: point.head.deploy)

    def secrets(self, namespace: str) -> dict[tuple[str, int], Sealed]:
        """The secrets of a namespace, sealed, by name and version; a forgotten one is a tombstone."""
        found = self._below(Sealed, "secrets", namespace)
        return {(path[-2], int(path[-1])): sealed for path, sealed in found.items()}

    def registries(self) -> dict[str, Registry]:
        """Who the cluster is at which registry; nobody, where `user` is empty."""
        return {path[-1]: registry for path, registry in self._below(Registry, "registries").items()}

    def operations(self) -> list[Operation]:
        """All operations that left a record, oldest first."""
        return sorted(self._below(Operation, "operations").values(), key=lambda one: (one.began_at, one.id))

    def _below(self, shape: type[T], *path: str) -> dict[tuple[str, ...], T]:
        prefix = key(*path)
        return {
            parts(where): decoded(where, entry.value, shape)
            for where, entry in self._entries.items()
            if where == prefix or where.startswith(prefix + ".")
        }

    def _see(self, sight: Sight) -> None:
        if sight is Sight.CURRENT:
            self._stale_since = None
            self._current.set()
            if self._lost:
                self._lost = False
                for hear in self._back:
                    hear()
        elif not self._stale_since:
            self._stale_since = _rfc3339(self._heard)
            self._current.clear()
            self._lost = True


def _read(file: Path) -> tuple[str, Entry]:
    about, _, value = file.read_bytes().partition(b"\n")
    where, _, revision = about.decode().partition(" ")
    return where, Entry(value, int(revision))


def _write(folder: Path, where: str, entry: Entry) -> None:
    """Replace the record's file at once: a kill or a loss of power leaves the old one or the new one."""
    file = folder / f"{_file_name(where)}.record"
    fresh = file.with_suffix(".new")
    with fresh.open("wb") as out:
        out.write(f"{where} {entry.revision}\n".encode() + entry.value)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


def _file_name(where: str) -> str:
    if len(where) <= LONGEST:
        return where
    return f"{where[:LONGEST]}~{hashlib.sha256(where.encode()).hexdigest()[:16]}"


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
