"""Machines and their mesh as text."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from ctl.lines import read
from ctl.quantities import ago, now, size, span
from ctl.style import Style, harmless
from ctl.tables import pairs, table
from daemon.wire import (
    Drained,
    Forgone,
    ForgoneVolume,
    Invited,
    JoinedMachine,
    MachineLabels,
    MachineMarked,
    MachineRemoved,
    MachineRow,
    Mesh,
    PeerRow,
    Revoked,
    RttRow,
)

MARKED = {
    "active": "may have something placed on it again",
    "draining": "takes nothing new",
    "lost": "is lost, and nobody waits for it any more",
}


class _Machines(Struct):
    machines: list[MachineRow]


class _Joined(Struct):
    machines: list[JoinedMachine]


class _Peers(Struct):
    peers: list[PeerRow]


class _Rtts(Struct):
    pairs: list[RttRow]


def mesh(result: dict[str, Any], _: Style) -> str:
    done = read(result, Mesh)
    if not done.network:
        return f"{harmless(done.machine)} is in no mesh."
    return f"{harmless(done.machine)} ({done.overlay_ip}) is the first machine of {harmless(done.network)}."


def invitation(result: dict[str, Any], style: Style) -> str:
    done = read(result, Invited)
    name = f" {harmless(done.name)}" if done.name else ""
    says = f"One machine may join{name}, until {done.expires_at}. On that machine:"
    undo = style.dim(f"ployzctl machine revoke {done.id} takes the invitation back.")
    return f"{says}\n\nployzctl join {harmless(done.token)}\n\n{undo}"


def removed(result: dict[str, Any], _: Style) -> str:
    done = read(result, MachineRemoved)
    off = "" if done.fenced else " It did not answer, and has to be off."
    return f"{harmless(done.name)} is no machine of this mesh any more.{off}"


def marked(result: dict[str, Any], _: Style) -> str:
    done = read(result, MachineMarked)
    return f"{harmless(done.machine)} {MARKED[done.state]}."


def labelled(result: dict[str, Any], _: Style) -> str:
    done = read(result, MachineLabels)
    return f"{harmless(done.machine)} has {_labels(done.labels) or 'no labels'}."


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(f"{harmless(name)}={harmless(value)}" for name, value in labels.items())


def drained(result: dict[str, Any], style: Style) -> str:
    done = read(result, Drained)
    head = style.bold(f"Nothing is on {harmless(done.machine)} any more, and nothing new comes there.")
    rows = [
        [
            f"{harmless(one.namespace)}/{harmless(one.service or ', '.join(one.volumes))}",
            harmless(one.to),
            size(one.bytes) if one.volumes else "",
            span(one.downtime_s) if one.downtime_s else "",
            one.operation,
        ]
        for one in done.moved
    ]
    shown = table(["moved", "to", "bytes", "down for", "operation"], rows, style, right="bytes") if rows else ""
    return "\n\n".join(filter(None, [head, shown]))


def forgone(result: dict[str, Any], _: Style) -> str:
    done = read(result, Forgone)
    return "\n".join(_goes_on(harmless(done.namespace), one) for one in done.volumes)


def _goes_on(namespace: str, one: ForgoneVolume) -> str:
    of = f"{namespace}/{harmless(one.name)}"
    if not one.instead:
        return f"{of} is lost, and no volume any more."
    return f"{of} goes on from what {harmless(one.instead.machine)} had of {one.instead.at}."


def revoked(result: dict[str, Any], _: Style) -> str:
    return f"Nobody gets in by {harmless(read(result, Revoked).id)} any more."


def machines(result: dict[str, Any], style: Style) -> str:
    """A list, or what joined: the latter says less of each."""
    if "store" in result:
        return "\n".join(line for one in read(result, _Joined).machines for line in _joined(one, style))
    rows = [_row(row, style) for row in read(result, _Machines).machines]
    return table(["machine", "state", "address", "subnet", "store", "version", "since"], rows, style)


def _joined(machine: JoinedMachine, style: Style) -> Iterator[str]:
    yield f"{harmless(machine.name)} ({machine.overlay_ip}) has joined."
    if machine.adopted:
        rows = [
            [f"{one.namespace}/{one.name}", one.generation, one.snapshot, size(one.bytes)] for one in machine.adopted
        ]
        yield "\nIts pool holds data of before, which was adopted: ployzctl volume ls --kept\n"
        yield table(["volume", "generation", "snapshot", "bytes"], rows, style, right="bytes")


def _row(row: MachineRow, style: Style) -> list[str]:
    state = style.green(f"● {row.state}") if row.reachable else style.red(f"○ {row.state}, does not answer")
    store = "yes" if row.store else ""
    since = ago(row.created_at, now())
    return [harmless(row.name), state, row.overlay_ip, row.subnet, store, harmless(row.version), since]


def machine(result: dict[str, Any], style: Style) -> str:
    row = read(result, MachineRow)
    cells = _row(row, style)
    names = ["machine", "state", "address", "subnet", "store", "version", "since"]
    more = [("labels", _labels(row.labels))] if row.labels else []
    return pairs([*zip(names, cells, strict=True), *more, ("id", harmless(row.id))], style)


def peers(result: dict[str, Any], style: Style) -> str:
    rows = read(result, _Peers).peers
    if not rows:
        return "There is no other machine."
    return table(["machine", "endpoint", "heard", "rtt", "mtu"], [_peer(row) for row in rows], style, right="rtt mtu")


def _peer(row: PeerRow) -> list[str]:
    heard = f"{row.handshake_age_s} s ago" if row.handshake_age_s is not None else "never"
    passes = "no answer" if row.mtu is None else str(row.mtu)
    return [harmless(row.machine), harmless(row.endpoint or ""), heard, _milliseconds(row.rtt_ms), passes]


def rtts(result: dict[str, Any], style: Style) -> str:
    rows = read(result, _Rtts).pairs
    if not rows:
        return "There is no other machine."
    shown = [
        [harmless(row.source), harmless(row.to), _milliseconds(row.median_ms), _milliseconds(row.stddev_ms)]
        for row in rows
    ]
    return table(["from", "to", "median", "deviation"], shown, style, right="median deviation")


def _milliseconds(value: float | None) -> str:
    return "no answer" if value is None else f"{value:.1f} ms"
