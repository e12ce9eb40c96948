"""Namespaces: those that are, one of them, and what became of one that was removed."""

from typing import Any

from msgspec import Struct

from ctl.lines import read
from ctl.quantities import ago, both, now, size
from ctl.style import Style, harmless
from ctl.tables import pairs, table
from ctl.texts.history import deploys_table
from daemon.wire import NamespaceRemoved, NamespaceRow, NamespaceSeen, RemovedRow


class Namespaces(Struct):
    namespaces: list[NamespaceRow]
    removed: list[RemovedRow] = []


def namespaces(result: dict[str, Any], style: Style) -> str:
    told = read(result, Namespaces)
    if not told.namespaces and not told.removed:
        return "There are no namespaces."
    rows = [_row(row) for row in told.namespaces]
    rows += [[harmless(row.name), str(row.deploy), "removed", "", "", "", _bytes(row.bytes)] for row in told.removed]
    return table(
        ["namespace", "deploy", "when", "services", "volumes", "routes", "held"], rows, style, right="deploy held"
    )


def namespace(result: dict[str, Any], style: Style) -> str:
    one = read(result, NamespaceSeen)
    about = [
        ("deploy", f"{one.deploy}, {both(one.deployed_at, now())}"),
        ("by", f"{harmless(one.who)}  {one.operation}"),
        ("data as of", f"deploy {one.restored}" if one.restored else ""),
        ("keeps", f"{one.keep} deploy points beside the current one"),
    ]
    head = style.bold(harmless(one.name)) + (style.yellow("  removed, its data is kept") if one.removed else "")
    parts = [head, pairs(about, style), _services(one, style), _volumes(one, style), _kept(one, style)]
    return "\n\n".join(filter(None, [*parts, deploys_table(one.deploys, style)]))


def removed(result: dict[str, Any], style: Style) -> str:
    done = read(result, NamespaceRemoved)
    rows = [[harmless(row.name), row.data, size(row.bytes)] for row in done.volumes]
    kept = any(row.data == "kept" for row in done.volumes)
    back = f"ployzctl rollback {harmless(done.namespace)} brings it back as of deploy {done.deploy}." if kept else ""
    head = style.bold(f"{harmless(done.namespace)} is removed")
    volumes = table(["volume", "data", "held"], rows, style, right="held") if rows else ""
    return "\n\n".join(filter(None, [head, volumes, back]))


def _row(row: NamespaceRow) -> list[str]:
    names = [", ".join(map(harmless, listed)) for listed in (row.services, row.volumes, row.routes)]
    return [harmless(row.name), str(row.deploy), ago(row.deployed_at, now()), *names, _bytes(row.bytes)]


def _services(one: NamespaceSeen, style: Style) -> str:
    rows = [
        [
            harmless(s.name),
            harmless(s.image),
            s.address or "",
            str(len(s.instances)),
            "  ".join(map(harmless, s.routes)),
        ]
        for s in one.services
    ]
    return table(["service", "image", "address", "instances", "routes"], rows, style, right="instances") if rows else ""


def _volumes(one: NamespaceSeen, style: Style) -> str:
    rows = [
        [
            harmless(v.name),
            v.machine,
            v.generation,
            size(v.quota) if v.quota else "",
            _bytes(v.bytes),
            _bytes(v.snapshots),
        ]
        for v in one.volumes
    ]
    headings = ["volume", "machine", "generation", "quota", "held", "snapshots"]
    return table(headings, rows, style, right="quota held snapshots") if rows else ""


def _kept(one: NamespaceSeen, style: Style) -> str:
    rows = [[harmless(kept.volume), kept.generation, size(kept.bytes)] for kept in one.kept]
    return table(["kept of", "generation", "held"], rows, style, right="held") if rows else ""


def _bytes(held: int | None) -> str:
    return "unknown" if held is None else size(held)
