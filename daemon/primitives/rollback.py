"""rollback: code and data as of a deploy point, as a new deploy; the present is kept, so it can be undone."""

from typing import Literal

from daemon import changing
from daemon.change import Change
from daemon.manifest import Manifest, Volume, parse
from daemon.node import Node
from daemon.planning import Wanted, plan_change, secrets
from daemon.primitive import By, Part, Told, require
from daemon.records import DeployPoint, Head
from daemon.seeing import require_room, see
from daemon.wire import Deployed, Refused, Rollback

KIND = "deployed"
Plan = Change


def claims(ask: Rollback) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "change"}


async def plan(ask: Rollback, node: Node, by: By) -> Change:
    record = await node.records.namespace(ask.namespace)
    head = _deployed(record.head, ask)
    point = await _point(ask, head, node)
    await require_room(node, f"cannot roll {ask.namespace} back")
    manifest = parse(point.head.manifest)
    wanted = Wanted(
        manifest=manifest,
        text=point.head.manifest,
        digests=await _digests(manifest, point, node),
        volumes=_volumes(point),
        data={} if ask.code_only else await _snapshots(ask, point, node),
        hooks=False,
        restored=point.head.deploy,
        secrets=None if ask.code_only else await _secrets(point, node),
    )
    return plan_change(record, wanted, await see(node), by)


def _deployed(head: Head | None, ask: Rollback) -> Head:
    if head is None:
        what = f"cannot roll {ask.namespace} back"
        raise Refused("namespace.missing", what, f"there is no namespace {ask.namespace}", "ployzctl status")
    return head


async def _point(ask: Rollback, head: Head, node: Node) -> DeployPoint:
    numbers = [point.head.deploy for point in await node.records.points(ask.namespace)]
    earlier = [number for number in numbers if number < head.deploy]
    what, hint = f"cannot roll {ask.namespace} back", f"ployzctl history {ask.namespace}"
    require(earlier, "deploy.missing", what, "it has only ever been deployed once", hint)
    number = max(earlier) if ask.to is None else ask.to
    require(number != head.deploy, "deploy.current", what, f"deploy {number} is what runs now", hint)
    point = await node.records.point(ask.namespace, number)
    if point is None:
        raise Refused("deploy.missing", what, f"there is no deploy {number} of it", hint)
    return point


async def _digests(manifest: Manifest, point: DeployPoint, node: Node) -> dict[str, str]:
    """The point's own digests, wherever their tags may have moved; refused if an image is here no more."""
    digests = {name: point.head.services[name].digest for name in manifest.services}
    for digest in sorted(set(digests.values())):
        await node.instances.resolve(digest, pull="never")
    return digests


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


def _volumes(point: DeployPoint) -> dict[str, Volume]:
    return {name: Volume(v.quota, v.owner, v.mode) for name, v in point.head.volumes.items()}


async def _snapshots(ask: Rollback, point: DeployPoint, node: Node) -> dict[str, str]:
    """Where the point's snapshots are now: promotions move them between datasets, so guids are looked up."""
    below = await node.datasets.below(f"{node.datasets.root}/{ask.namespace}")
    by_guid = {dataset.guid: dataset.name for dataset in below if "@" in dataset.name}
    for held in point.data:
        require(
            held.guid in by_guid,
            "deploy.data_missing",
            f"cannot roll {ask.namespace} back to deploy {point.head.deploy}",
            f"its snapshot of the volume {held.volume} is gone",
            "roll back with --code-only, or to another deploy",
        )
    return {held.volume: by_guid[held.guid] for held in point.data}


def steps(plan: Change, node: Node) -> list[Part]:
    return changing.steps(plan, node)


async def verify(plan: Change, node: Node, told: Told) -> Deployed:
    return await changing.verify(plan, node, told)
