"""The cluster in one screen: what `status` tells, of all machines that answer."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Literal

from daemon import rows
from daemon.finding import Mirror, heads
from daemon.records import Cluster, Machine
from daemon.sites import Answers, Site, Sites, Told, warnings
from daemon.wire import ClusterStatus, InstanceRow, MachineStatus, OperationRow, PoolStatus, Refused
from runtime.instance import Condition, EngineProblem

LAST = 3
"""Lines of its log that tell why an instance ended."""


async def status(sites: Sites, mirror: Mirror, now: datetime) -> tuple[ClusterStatus, list[str]]:
    """How things are, and what somebody should look at. A machine is reachable if its daemon answered just now."""
    conditions, spaces, told = await asyncio.gather(sites.conditions(), sites.spaces(), sites.told())
    all_heads = heads(mirror).values()
    seen = rows.instances(all_heads, conditions.there)
    pools = [PoolStatus(machine, space.used, space.size) for machine, space in sorted(spaces.there.items())]
    cluster = mirror.cluster()
    held = cluster.store if cluster else ()
    shown = ClusterStatus(
        machines=[_machine(one, held, told) for _, one in sorted(mirror.machines().items())],
        store=_store(cluster, told, mirror.stale_since),
        namespaces=[rows.namespace(head, seen) for head in all_heads],
        pools=pools,
        operations=_operations(told),
        stale_since=mirror.stale_since,
    )
    wrong = await troubles(sites, seen, conditions, told, now)
    return shown, [*warnings(conditions, spaces, told), *wrong, *rows.filling_up(pools)]


async def troubles(
    sites: Sites,
    seen: Sequence[InstanceRow],
    conditions: Answers[dict[str, Condition]],
    told: Answers[Told],
    now: datetime,
) -> list[str]:
    """What is wrong with instances, each with the end of its log."""
    there, found = sites.all(), list(rows.troubles(seen, _unstarted(told), now))
    said = await asyncio.gather(*(_said(there, row) for row, _ in found))
    ended = [says + words for (_, says), words in zip(found, said, strict=True)]
    return [*ended, *rows.exhausted(seen, conditions.there)]


def _unstarted(told: Answers[Told]) -> dict[str, str]:
    """Why instances were not started after a boot, by id, of all machines."""
    return {id: why for each in told.there.values() for id, why in each.unstarted.items()}


def _machine(machine: Machine, held: Sequence[str], told: Answers[Told]) -> MachineStatus:
    state: Literal["active", "draining"] = "draining" if machine.state in ("draining", "lost", "leaving") else "active"
    there, name = told.there.get(machine.name), machine.name
    stale = there.stale_since if there else None
    return MachineStatus(name, there is not None, name in held, machine.version, state, stale)


def _store(cluster: Cluster | None, told: Answers[Told], stale_since: str | None) -> dict[str, Any]:
    """`answering` are those of its machines whose daemons answer."""
    if not cluster:
        return {"reachable": False}
    machines = list(cluster.store)
    return {
        "cluster": cluster.name,
        "incarnation": cluster.incarnation,
        "machines": machines,
        "replicas": len(machines),
        "answering": [machine for machine in machines if machine in told.there],
        "reachable": stale_since is None,
    }


def _operations(told: Answers[Told]) -> list[OperationRow]:
    found = [operation for each in told.there.values() for operation in each.operations]
    return sorted(found, key=lambda one: (one.began_at, one.id), reverse=True)


async def _said(sites: Mapping[str, Site], row: InstanceRow) -> str:
    if row.state == "missing":
        return ""
    try:
        async with aclosing(sites[row.machine].engine.logs(row.id, tail=LAST)) as lines:
            words = [line.decode(errors="replace") async for _, _, line in lines]
    except (EngineProblem, Refused):
        return ""
    said = "\n".join(words).strip()
    return f"; the end of its log:\n{said}" if said else ""
