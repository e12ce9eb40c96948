"""deploy: a namespace becomes what its manifest says, code and data together, or stays what it was."""

from typing import Literal

from daemon import changing
from daemon.change import Change
from daemon.manifest import Manifest, joined, parse
from daemon.node import Node
from daemon.planning import Wanted, plan_change
from daemon.primitive import By, Part, Told
from daemon.seeing import require_room, see
from daemon.wire import Deploy, Deployed

KIND = "deployed"
Plan = Change


def claims(ask: Deploy) -> dict[str, Literal["change", "read"]]:
    return {parse(joined(ask.manifest, ask.files)).namespace: "change"}


async def plan(ask: Deploy, node: Node, by: By) -> Change:
    text = joined(ask.manifest, ask.files)
    manifest = parse(text)
    record = await node.records.namespace(manifest.namespace)
    await require_room(node, f"cannot deploy {manifest.namespace}")
    digests = await _digests(manifest, node)
    return plan_change(record, Wanted(manifest, text, digests, manifest.volumes), await see(node), by)


async def _digests(manifest: Manifest, node: Node) -> dict[str, str]:
    """What each image's name means now: a tag that moved is a change."""
    names = {(service.image, service.pull) for service in manifest.services.values()}
    found = {image: await node.instances.resolve(image, pull=pull) for image, pull in sorted(names)}
    return {name: found[service.image] for name, service in manifest.services.items()}


def steps(plan: Change, node: Node) -> list[Part]:
    return changing.steps(plan, node)


async def verify(plan: Change, node: Node, told: Told) -> Deployed:
    return await changing.verify(plan, node, told)
