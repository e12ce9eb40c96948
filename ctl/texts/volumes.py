"""Volumes, their snapshots, what is kept of them, and what was done with one."""

from collections.abc import Sequence
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
    "send": "was copied",
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
    return listed(rows, style)


def listed(rows: Sequence[VolumeRow], style: Style) -> str:
    """The table of them, and that of their copies."""
    headings = ["volume", "machine", "data", "held", "quota", "generation"]
    cells = [
        [
            f"{row.namespace}/{row.name}",
            row.machine,
            _bytes(row.bytes),
            _bytes(row.alone),
            _quota(row.quota),
            row.generation,
        ]
        for row in rows
    ]
    shown = table(headings, cells, style, right="data held quota")
    return "\n\n".join(filter(None, [shown, _copies(rows, style)]))


def _copies(rows: Sequence[VolumeRow], style: Style) -> str:
    cells = [
        [f"{row.namespace}/{row.name}", copy.machine, ago(copy.at, now()), _bytes(copy.written), copy.generation]
        for row in rows
        for copy in row.copies
    ]
    return table(["copy of", "on", "as of", "behind", "generation"], cells, style, right="behind") if cells else ""


def kept(result: dict[str, Any], style: Style) -> str:
    rows = read(result, Kept).volumes
    if not rows:
        return "Nothing is kept that no name points at."
    cells = [
        [
            f"{row.namespace}/{row.name}",
            row.machine,
            row.generation,
            ago(row.since, now()),
            row.snapshot,
            size(row.bytes),
            f"{_by(row)} (adopted)" if row.adopted else _by(row),
        ]
        for row in rows
    ]
    headings = ["volume", "machine", "generation", "since", "snapshot", "held", "needed by"]
    return table(headings, cells, style, right="held")


def snapshots(result: dict[str, Any], style: Style) -> str:
    rows = read(result, Snapshots).snapshots
    if not rows:
        return "There are no snapshots."
    cells = [
        [row.name or row.snapshot, row.machine, ago(row.at, now()), size(row.bytes), row.guid, _by(row)] for row in rows
    ]
    return table(["snapshot", "machine", "when", "held", "guid", "needed by"], cells, style, right="held")


def changed(result: dict[str, Any], style: Style) -> str:
    done = read(result, VolumeChanged)
    about = [
        ("machine", done.machine if done.did == "send" else ""),
        ("snapshot", done.snapshot or ""),
        ("generation", done.generation or ""),
        ("guid", done.guid or ""),
        ("quota", "" if done.quota is None else size(done.quota)),
        ("bytes", "" if done.bytes is None else size(done.bytes)),
        ("file", harmless(str(result.get("file", "")))),
    ]
    head = style.bold(f"{harmless(done.namespace)}/{harmless(done.name)} {DID[done.did]}")
    return f"{head}\n{pairs(about, style)}"


def _bytes(count: int | None) -> str:
    return "unknown" if count is None else size(count)


def _quota(quota: int | None) -> str:
    return "none" if quota is None else size(quota)


def _by(row: KeptRow | SnapshotRow) -> str:
    return ", ".join(row.needed) or "nobody"
