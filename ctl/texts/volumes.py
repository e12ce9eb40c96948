"""Volumes, their snapshots, what is kept of them, and what was done with one."""

from typing import Any

from msgspec import Struct

from ctl.lines import read
from ctl.quantities import ago, now, size
from ctl.style import Style, harmless
from ctl.tables import pairs, table
from daemon.wire import KeptRow, SnapshotRow, VolumeChanged, VolumeRow

DID = {
    "snapshot": "was snapshotted",
    "resize": "was resized",
    "purge": "was purged",
    "export": "was exported",
    "import": "was imported",
    "clone": "was made",
}


class Volumes(Struct):
    volumes: list[VolumeRow]


class Kept(Struct):
    volumes: list[KeptRow]


class Snapshots(Struct):
    snapshots: list[SnapshotRow]


def volumes(result: dict[str, Any], style: Style) -> str:
    rows = read(result, Volumes).volumes
    if not rows:
        return "There are no volumes."
    headings = ["volume", "machine", "data", "with snapshots", "quota", "generation"]
    cells = [
        [
            f"{row.namespace}/{row.name}",
            row.machine,
            size(row.bytes),
            size(row.alone),
            _quota(row.quota),
            row.generation,
        ]
        for row in rows
    ]
    return table(headings, cells, style)


def kept(result: dict[str, Any], style: Style) -> str:
    rows = read(result, Kept).volumes
    if not rows:
        return "Nothing is kept that no name points at."
    cells = [
        [f"{row.namespace}/{row.name}", row.generation, ago(row.since, now()), row.operation, size(row.bytes), _by(row)]
        for row in rows
    ]
    return table(["volume", "generation", "since", "by", "bytes", "needed by"], cells, style)


def snapshots(result: dict[str, Any], style: Style) -> str:
    rows = read(result, Snapshots).snapshots
    if not rows:
        return "There are no snapshots."
    cells = [[row.name or row.snapshot, ago(row.at, now()), size(row.bytes), row.guid, _by(row)] for row in rows]
    return table(["snapshot", "when", "bytes", "guid", "needed by"], cells, style)


def changed(result: dict[str, Any], style: Style) -> str:
    done = read(result, VolumeChanged)
    about = [
        ("snapshot", done.snapshot or ""),
        ("generation", done.generation or ""),
        ("guid", done.guid or ""),
        ("quota", "" if done.quota is None else size(done.quota)),
        ("bytes", "" if done.bytes is None else size(done.bytes)),
        ("file", harmless(str(result.get("file", "")))),
    ]
    head = style.bold(f"{harmless(done.namespace)}/{harmless(done.name)} {DID[done.did]}")
    return f"{head}\n{pairs(about, style)}"


def _quota(quota: int | None) -> str:
    return "none" if quota is None else size(quota)


def _by(row: KeptRow | SnapshotRow) -> str:
    return ", ".join(row.needed) or "nobody"
