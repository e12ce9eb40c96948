"""Machines and their mesh as text."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from ctl.lines import read
from ctl.quantities import ago, both, now, size, span
from ctl.style import Style, harmless
from ctl.tables import filling, pairs, plural, table
from ctl.texts import instances, volumes
from daemon.wire import (
    Drained,
    Forgone,
    ForgoneVolume,
    Invited,
    JoinedMachine,
    MachineCapacity,
    MachineLabels,
    MachineMarked,
    MachinePool,
    MachineRemoved,
    MachineRow,
    MachineRuntime,
    MachineSeen,
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
    store = "yes" if row.store else ""
    since = ago(row.created_at, now())
    return [harmless(row.name), _state(row, style), row.overlay_ip, row.subnet, store, harmless(row.version), since]


def _state(row: MachineRow, style: Style) -> str:
    """Green is one that answers, and takes whatever is placed on it."""
    paint = style.green if row.state == "active" else style.yellow
    state = paint(f"● {row.state}") if row.reachable else style.red(f"○ {row.state}, does not answer")
    return state + (style.yellow(f" · as of {ago(row.stale_since, now())}") if row.stale_since else "")


def machine(result: dict[str, Any], style: Style) -> str:
    one = read(result, MachineSeen)
    heard = style.yellow(f" · last heard {both(one.heard_at, now())}") if one.heard_at else ""
    about = [
        ("machine", style.bold(harmless(one.name))),
        ("state", _state(one, style) + heard),
        ("address", f"{one.overlay_ip} in {one.subnet}"),
        ("store", "yes" if one.store else "no"),
        ("version", harmless(one.version)),
        ("since", both(one.created_at, now())),
        ("labels", _labels(one.labels)),
        ("capacity", _capacity(one.capacity) if one.capacity else style.dim("unknown")),
        ("pool", _pool(one.pool, style)),
        ("runtime", _runtime(one.runtime, style) if one.runtime else style.dim("unknown")),
        ("id", harmless(one.id)),
    ]
    here = instances.listed(one.instances, style) if one.instances else style.dim("no instances")
    held = volumes.listed(one.volumes, style) if one.volumes else style.dim("no volumes")
    return "\n\n".join((pairs(about, style), here, held))


def _capacity(has: MachineCapacity) -> str:
    return f"{plural(has.processors, 'processor')}, {size(has.free)} of {size(has.memory)} memory free"


def _pool(pool: MachinePool, style: Style) -> str:
    root = style.dim(harmless(pool.root))
    if pool.used is None or pool.size is None:
        return f"{style.dim('unknown')}  {root}"
    return f"{filling(pool.used, pool.size, style)}  {root}"


def _runtime(runs: MachineRuntime, style: Style) -> str:
    lacks = style.yellow(f" · cannot limit {', '.join(runs.lacks)}") if runs.lacks else ""
    return harmless(f"{runs.engine} {runs.version}, images by {runs.driver}") + lacks


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
