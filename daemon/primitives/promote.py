"""promote: what one namespace runs becomes what another runs, with its data where that is asked."""

from typing import Literal

from msgspec.structs import replace

from daemon import branching, changing
from daemon.change import Change
from daemon.changing.feasible import feasible
from daemon.manifest import NAMESPACE, Manifest, Service, parse, parse_for, show
from daemon.node import Node
from daemon.planning import Wanted, plan_change
from daemon.planning.present import stopped
from daemon.primitive import By, Part, Told, require
from daemon.records import Head
from daemon.seeing import require_head, require_room, see
from daemon.wire import Deployed, Promote

KIND = "deployed"
Plan = Change


def claims(ask: Promote) -> dict[str, Literal["change", "read"]]:
    return {ask.source: "read", ask.target: "change"}


async def plan(ask: Promote, node: Node, by: By) -> Change:
    cannot = f"cannot promote {ask.source}"
    require(ask.source != ask.target, "promote.itself", cannot, "it is what it would become", "another target")
    source = await require_head(node, ask.source, cannot)
    target = await require_head(node, ask.target, cannot)
    record = await node.records.namespace(ask.target)
    manifest = promoted(parse(source.manifest), parse(target.manifest))
    _require_volumes(manifest, target, cannot)
    parse_for(cannot, show(manifest))  # a service may lack the ports that the target's routes lead to
    await require_room(node, cannot)
    points, digests = await node.records.points(ask.target), await branching.digests(manifest, source, node)
    seen = await see(node)
    copied, data = branching.copied(source, _moving(ask, source, target), seen, by.operation)
    wanted = Wanted(
        manifest=manifest,
        text=show(manifest),
        digests=digests,
        volumes=manifest.volumes,
        data=data,
        copied=copied,
        past=tuple(point.head.deploy for point in points),
        keep=manifest.keep,
        stopped=stopped(target),
        hooks={} if ask.with_data else manifest.hooks,
        withheld=target.withheld,
    )
    return await feasible(plan_change(record, wanted, seen, by), node)


def promoted(source: Manifest, target: Manifest) -> Manifest:
    """The target's manifest with the source's services. Volumes, routes that name a host and published ports stay."""
    services = {name: _placed(service, target.services.get(name)) for name, service in source.services.items()}
    return replace(target, services=services, files=source.files)


def _placed(service: Service, there: Service | None) -> Service:
    if there is None:
        return service
    own = tuple(route for route in service.routes if NAMESPACE in route)
    routes = own + tuple(route for route in there.routes if NAMESPACE not in route)
    return replace(service, routes=routes, publish=there.publish)


def _require_volumes(manifest: Manifest, target: Head, cannot: str) -> None:
    for name, service in manifest.services.items():
        for volume in service.volumes:
            require(
                volume in manifest.volumes,
                "promote.volumes",
                cannot,
                f"its service {name} has the volume {volume}, which {target.namespace} does not have",
                f"deploy {target.namespace} with that volume first",
            )


def _moving(ask: Promote, source: Head, target: Head) -> list[str]:
    """The volumes whose data moves over: the target's."""
    if not ask.with_data:
        return []
    missing = sorted(target.volumes.keys() - source.volumes.keys())
    require(
        not missing,
        "promote.volumes",
        f"cannot promote {ask.source} with its data",
        f"it does not have the volumes {', '.join(missing)} of {ask.target}",
        "promote without --with-data",
    )
    return list(target.volumes)


def steps(plan: Change, node: Node) -> list[Part]:
    return changing.steps(plan, node)


async def verify(plan: Change, node: Node, told: Told) -> Deployed:
    return await changing.verify(plan, node, told)
