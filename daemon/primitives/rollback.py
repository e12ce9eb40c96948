"""rollback: code and data as of a deploy point, as a new deploy; the present is kept, so it can be undone."""

from typing import Literal

from daemon import changing
from daemon.change import Change
from daemon.changing.feasible import feasible
from daemon.manifest import parse
from daemon.node import Node
from daemon.planning import Wanted, plan_change, secrets
from daemon.planning.present import stopped
from daemon.primitive import By, Part, Told, require
from daemon.records import DeployPoint, Head
from daemon.seeing import digests_of, missing, require_room, see, snapshots_of, volumes_of
from daemon.wire import Deployed, Rollback

KIND = "deployed"
Plan = Change


def claims(ask: Rollback) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "change"}


async def plan(ask: Rollback, node: Node, by: By) -> Change:
    record, cannot = await node.records.namespace(ask.namespace), f"cannot roll {ask.namespace} back"
    points = await node.records.points(ask.namespace)
    if not record.head and not points:
        raise await missing(node, ask.namespace, cannot)
    point = _point(ask, record.head, points, cannot)
    await require_room(node, cannot)
    manifest = parse(point.head.manifest)
    wanted = Wanted(
        manifest=manifest,
        text=point.head.manifest,
        digests=await digests_of(point, manifest.services, node),
        volumes=volumes_of(point.head),
        data={} if ask.code_only else await snapshots_of(point, node, cannot),
        restored=None if ask.code_only else point.head.deploy,
        past=tuple(point.head.deploy for point in points),
        keep=max(manifest.keep, parse(record.head.manifest).keep if record.head else 0),
        stopped=stopped(point.head),
        secrets=None if ask.code_only else await _secrets(point, node),
        withheld=point.head.withheld,
        stays=frozenset(manifest.services),
    )
    return await feasible(plan_change(record, wanted, await see(node), by), node)


def _point(ask: Rollback, head: Head | None, points: list[DeployPoint], what: str) -> DeployPoint:
    """The one that was asked for; also of a namespace that was removed, which has only points."""
    hint = f"ployzctl history {ask.namespace}"
    numbers = [point.head.deploy for point in points]
    require(numbers, "deploy.missing", what, "there is no deploy point before this one", hint)
    number = max(numbers) if ask.to is None else ask.to
    require(not head or number != head.deploy, "deploy.current", what, f"deploy {number} is what runs now", hint)
    require(number in numbers, "deploy.missing", what, f"there is no deploy {number} of it", hint)
    return points[numbers.index(number)]


async def _secrets(point: DeployPoint, node: Node) -> dict[str, int]:
    """The point's own versions, because its data knows them; refused if one is here no more."""
    namespace, named = point.head.namespace, secrets.of(point.head)
    for name, version in named.items():
        require(
            version in await node.records.versions(namespace, name),
            "secret.missing",
            f"cannot roll {namespace} back to deploy {point.head.deploy}",
            f"version {version} of the secret {name} is gone",
            "roll back with --code-only, or to another deploy",
        )
    return named


def steps(plan: Change, node: Node) -> list[Part]:
    return changing.steps(plan, node)


async def verify(plan: Change, node: Node, told: Told) -> Deployed:
    return await changing.verify(plan, node, told)
