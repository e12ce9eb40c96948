"""deploy: a namespace becomes what its manifest says, code and data together, or stays what it was."""

import dataclasses
from collections.abc import Collection, Iterator
from typing import Literal

from msgspec.structs import replace

from daemon import changing
from daemon.change import Change
from daemon.changing.feasible import feasible
from daemon.manifest import Manifest, joined, parse
from daemon.manifest_data import without_data
from daemon.node import Node
from daemon.planning import Wanted, plan_change
from daemon.planning.identity import HOST
from daemon.planning.present import stopped
from daemon.primitive import By, Part, Told, require
from daemon.records import DeployPoint, Head, Namespace
from daemon.seeing import digests_of, require_room, resolve, see, snapshots_of, volumes_of
from daemon.wire import Deploy, Deployed, Refused

KIND = "deployed"
Plan = Change


def claims(ask: Deploy) -> dict[str, Literal["change", "read"]]:
    return {parse(joined(ask.manifest, ask.files)).namespace: "change"}


async def plan(ask: Deploy, node: Node, by: By) -> Change:
    text = joined(ask.manifest, ask.files)
    asked = parse(text)
    manifest = replace(asked, data=None)
    record = await node.records.namespace(manifest.namespace)
    points = await node.records.points(manifest.namespace)
    await require_room(node, f"cannot deploy {manifest.namespace}")
    point = None if asked.data is None else _point(asked, manifest, record.head, points)
    pinned = await _pinned(point, manifest, node)
    wanted = Wanted(
        manifest=manifest,
        text=without_data(text),
        digests=pinned | await _digests(manifest, manifest.services.keys() - pinned.keys(), node),
        volumes=manifest.volumes,
        hooks=manifest.hooks,
        restored=asked.data,
        past=tuple(point.head.deploy for point in points),
        keep=manifest.keep,
        prune_volumes=ask.prune_volumes,
        stopped=stopped(record.head),
        warnings=tuple(_warnings(asked, point, record, points)),
    )
    change = plan_change(record, await _with_data(wanted, point, node), await see(node), by)
    return await feasible(change, node)


def _point(asked: Manifest, manifest: Manifest, head: Head | None, points: list[DeployPoint]) -> DeployPoint | None:
    """The point whose data is asked for; None where the present began from it, and nothing else was asked since.

    The same file may be deployed again, by a pipeline for example. That must never throw away what was written since.
    """
    what, number = f"cannot deploy {manifest.namespace} with the data of deploy {asked.data}", asked.data
    require(not head or head.deploy != number, "deploy.current", what, "that is what runs now", "leave `data` out")
    if head and head.restored == number and parse(head.manifest) == manifest:
        return None
    since = [one.deploy for one in (*(point.head for point in points), *([head] if head else ()))
             if one.restored == number]  # fmt: skip
    if since:
        why = f"deploy {since[-1]} began from it: what was written since would be lost"
        hint = f"leave `data` out, or ployzctl rollback {manifest.namespace} --to {number}"
        raise Refused("deploy.restored", what, why, hint)
    found = next((point for point in points if point.head.deploy == number), None)
    if not found:
        hint = f"ployzctl history {manifest.namespace}"
        raise Refused("deploy.missing", what, "there is no such deploy point, or it is not kept any more", hint)
    return found


async def _pinned(point: DeployPoint | None, manifest: Manifest, node: Node) -> dict[str, str]:
    """The digests of the point, where the manifest still names its images: it is to be as it was."""
    olds = point.head.services if point else {}
    same = [name for name, one in manifest.services.items() if name in olds and olds[name].image == one.image]
    return await digests_of(point, same, node) if point else {}


async def _digests(manifest: Manifest, services: Collection[str], node: Node) -> dict[str, str]:
    """What each image's name means now: a tag that moved is a change."""
    wanted = {name: manifest.services[name] for name in services}
    names = {(service.image, service.pull) for service in wanted.values() if service.runtime == "docker"}
    found = {image: await resolve(image, node, pull=pull) for image, pull in sorted(names)}
    return {name: found.get(service.image, HOST) for name, service in wanted.items()}


async def _with_data(wanted: Wanted, point: DeployPoint | None, node: Node) -> Wanted:
    """As a rollback: hooks run only where the code is other than the code that the data knows."""
    if not point:
        return wanted
    data = await snapshots_of(point, node, f"cannot deploy {wanted.manifest.namespace} with the data of")
    volumes = volumes_of(point.head) | wanted.manifest.volumes
    if wanted.prune_volumes:
        volumes = dict(wanted.manifest.volumes)
    olds = point.head.services
    changed = {
        name
        for name, service in wanted.manifest.services.items()
        if name not in olds or (olds[name].specification, olds[name].digest) != (service, wanted.digests[name])
    }
    return dataclasses.replace(
        wanted,
        volumes=volumes,
        data={name: snapshot for name, snapshot in data.items() if name in volumes},
        hooked=frozenset(changed),
    )


def _warnings(
    asked: Manifest, point: DeployPoint | None, record: Namespace, points: list[DeployPoint]
) -> Iterator[str]:
    if asked.data is not None and not point:
        yield f"it has the data of deploy {asked.data} already, and what was written since: that stays"
    if not record.head and points and not point:
        last = points[-1].head.deploy
        yield (
            f"{asked.namespace} was removed, and begins empty now; its data of before is kept: "
            f"ployzctl rollback {asked.namespace} --to {last} brings it back"
        )


def steps(plan: Change, node: Node) -> list[Part]:
    return changing.steps(plan, node)


async def verify(plan: Change, node: Node, told: Told) -> Deployed:
    return await changing.verify(plan, node, told)
