"""image distribute: machines that lack an image get it from one that has it, or from its registry."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from daemon.change import Image
from daemon.changing.instances import fetch
from daemon.node import Node
from daemon.planning import Seen
from daemon.primitive import By, Part, Together, Told, require, unrecorded
from daemon.seeing import resolve, see
from daemon.wire import Distributed, ImageDistribute

KIND = "distributed"


class Plan(Struct, frozen=True):
    """`brings` are for the machines that lack it; `there` are those that have it."""

    image: str
    digest: str
    brings: tuple[Image, ...]
    there: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def claims(_: ImageDistribute) -> dict[str, Literal["change", "read"]]:
    return {}


async def plan(ask: ImageDistribute, node: Node, by: By) -> Plan:
    digest, seen = await resolve(ask.image, node, pull="never"), await see(node)
    away = {name: there.away for name, there in seen.machines.items() if there.away}
    _require_there(ask, seen, away)
    wanted = sorted(set(ask.to or seen.machines.keys() - away.keys()))
    there = tuple(name for name in wanted if digest in seen.machines[name].images)
    lacking = [name for name in wanted if name not in there]
    return Plan(
        ask.image,
        digest,
        tuple(Image(name, ask.image, digest, seen.giver(digest, name)) for name in lacking),
        there,
        () if ask.to else tuple(f"{name} does not answer, and gets nothing: {why}" for name, why in away.items()),
    )


def _require_there(ask: ImageDistribute, seen: Seen, away: dict[str, str]) -> None:
    """Refuse what goes to a machine that was named, and is not there or does not answer."""
    for name in ask.to:
        cannot = f"cannot distribute {ask.image} to {name}"
        known = f"there is no machine of that name; there is {', '.join(sorted(seen.machines))}"
        require(name in seen.machines, "machine.missing", cannot, known, "ployzctl machine ls")
        require(name not in away, "machine.unreachable", cannot, away.get(name, ""), "ployzctl machine ls")


def steps(plan: Plan, node: Node) -> Sequence[Part]:
    """None, where all have it. What was brought before another one failed stays: it does no harm."""
    if not plan.brings:
        return []
    return [Together(tuple(fetch(image, node) for image in plan.brings)), unrecorded("all have it")]


async def verify(plan: Plan, node: Node, told: Told) -> Distributed:
    brought = [image.machine for image in plan.brings]
    for name in (*brought, *plan.there):
        await node.at(name).instances.resolve(plan.digest, pull="never")
    return Distributed(plan.image, plan.digest, brought, list(plan.there))
