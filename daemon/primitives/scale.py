"""scale: another number of instances of a service, in its manifest too, as a new deploy."""

from typing import Literal

from daemon import changing
from daemon.change import Change
from daemon.changing.feasible import feasible
from daemon.manifest import parse_for, with_replicas
from daemon.node import Node
from daemon.planning import plan_change
from daemon.planning.present import present
from daemon.primitive import By, Part, Told
from daemon.seeing import require_room, require_service, see
from daemon.wire import Deployed, Scale

KIND = "deployed"
Plan = Change


def claims(ask: Scale) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "change"}


async def plan(ask: Scale, node: Node, by: By) -> Change:
    what = f"cannot scale {ask.namespace}/{ask.service}"
    record = await node.records.namespace(ask.namespace)
    head, service = await require_service(node, ask.namespace, ask.service, what)
    await require_room(node, what)
    points, text = await node.records.points(ask.namespace), with_replicas(head.manifest, service.name, ask.replicas)
    parse_for(what, text)
    wanted = present(head, points, service.name, text)
    return await feasible(plan_change(record, wanted, await see(node), by), node)


def steps(plan: Change, node: Node) -> list[Part]:
    return changing.steps(plan, node)


async def verify(plan: Change, node: Node, told: Told) -> Deployed:
    return await changing.verify(plan, node, told)
