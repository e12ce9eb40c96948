"""The cluster in one screen."""

from collections.abc import Sequence
from typing import Any

from ctl.lines import read
from ctl.quantities import ago, both, now
from ctl.style import Style, harmless
from ctl.tables import filling, indent, pairs, plural, table
from ctl.texts.operations import listed
from daemon.wire import ClusterStatus, MachineStatus, NamespaceStatus, PoolStatus, ServiceStatus


def status(result: dict[str, Any], style: Style) -> str:
    now_is = read(result, ClusterStatus)
    parts = [
        _stale(now_is, style),
        _part("machines", _machines(now_is, style), style),
        _store(now_is.store, style),
        *_namespaces(now_is.namespaces, style),
        _part("operations", listed(now_is.operations, style) if now_is.operations else "", style),
    ]
    return "\n\n".join(filter(None, parts))


def _part(title: str, body: str, style: Style) -> str:
    return f"{style.bold(title)}\n{indent(body)}" if body else ""


def _stale(now_is: ClusterStatus, style: Style) -> str:
    if not now_is.stale_since:
        return ""
    said = f"The store cannot be reached. What follows was so {both(now_is.stale_since, now())}."
    return style.yellow(said)


def _machines(now_is: ClusterStatus, style: Style) -> str:
    pools = {pool.machine: pool for pool in now_is.pools}
    rows = [_machine(machine, pools.get(machine.name), style) for machine in now_is.machines]
    return table(["name", "state", "version", "pool"], rows, style)


def _machine(machine: MachineStatus, pool: PoolStatus | None, style: Style) -> list[str]:
    state = style.green("● reachable") if machine.reachable else style.red("○ unreachable")
    state += style.yellow(" · draining") if machine.state == "draining" else ""
    state += style.yellow(f" · as of {ago(machine.stale_since, now())}") if machine.stale_since else ""
    role = style.dim(" · store") if machine.store else ""
    return [machine.name, state + role, machine.version, _pool(pool, style) if pool else style.dim("unknown")]


def _pool(pool: PoolStatus, style: Style) -> str:
    return filling(pool.used, pool.size, style)


def _store(store: dict[str, Any], style: Style) -> str:
    """Who keeps the records, and how many of those answer; red where nothing can be changed."""
    machines = store.get("machines", [])
    answering = store.get("answering", machines)
    parts = [
        harmless(str(store.get("cluster", ""))),
        f"on {', '.join(harmless(str(one)) for one in machines)}" if machines else "",
        "" if len(answering) == len(machines) else style.yellow(f"{len(answering)} of {len(machines)} answer"),
        "" if store.get("reachable", True) else style.red("cannot be reached"),
    ]
    said = " · ".join(filter(None, parts))
    return f"{style.bold('store')}  {said}" if said else ""


def _namespaces(namespaces: Sequence[NamespaceStatus], style: Style) -> list[str]:
    if not namespaces:
        return [_part("namespaces", "none yet: ployzctl deploy -f FILE makes one", style)]
    return [_namespace(one, style) for one in namespaces]


def _namespace(one: NamespaceStatus, style: Style) -> str:
    services = [_service(service, style) for service in one.services]
    wanting = sum(service.ready < service.wanted for service in one.services)
    problem = style.yellow(f"  {plural(wanting, 'service')} not ready") if wanting else ""
    head = f"{style.bold(harmless(one.name))}  deploy {one.deploy}, {ago(one.deployed_at, now())}{problem}"
    body = table(["service", "ready"], services, style) if services else style.dim("no services")
    routes = "\n".join(harmless(route) for route in one.routes)
    return "\n".join([head, indent(body), *([indent(pairs([("at", routes)], style))] if routes else [])])


def _service(service: ServiceStatus, style: Style) -> list[str]:
    if not service.wanted:
        return [harmless(service.name), style.dim("○ stopped")]
    paint = style.green if service.ready >= service.wanted else style.yellow if service.ready else style.red
    mark = "●" if service.ready >= service.wanted else "◐" if service.ready else "○"
    return [harmless(service.name), paint(f"{mark} {service.ready}/{service.wanted}")]
