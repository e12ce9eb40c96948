"""start: a stopped service has its instances again, as its manifest says now, as a new deploy."""

from dataclasses import replace
from typing import Literal

from daemon import changing
from daemon.change import Change
from daemon.changing.feasible import feasible
from daemon.node import Node
from daemon.planning import plan_change
from daemon.planning.present import present
from daemon.primitive import By, Part, Told
from daemon.seeing import require_room, require_service, see
from daemon.wire import Deployed, Start

KIND = "deployed"
Plan = Change


def claims(ask: Start) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "change"}


async def plan(ask: Start, node: Node, by: By) -> Change:
    what = f"cannot start {ask.namespace}/{ask.service}"
    record = await node.records.namespace(ask.namespace)
    head, service = await require_service(node, ask.namespace, ask.service, what)
    await require_room(node, what)
    now = present(head, await node.records.points(ask.namespace), service.name)
    wanted = replace(now, stopped={name: ran for name, ran in now.stopped.items() if name != service.name})
    return await feasible(plan_change(record, wanted, await see(node), by), node)


def steps(plan: Change, node: Node) -> list[Part]:
    return changing.steps(plan, node)


async def verify(plan: Change, node: Node, told: Told) -> Deployed:
    return await changing.verify(plan, node, told)
