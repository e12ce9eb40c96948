"""Who the cluster is at a registry of images: the plan, steps and check of becoming somebody there, and nobody."""

from msgspec import Struct

from daemon.node import Node
from daemon.primitive import Commit, Part, confirm
from daemon.records import Registry
from daemon.wire import Registry as Result


class Plan(Struct, frozen=True):
    """What is written over the record's `revision`. That stands for a claim: of two at a time one gets through."""

    operation: str
    host: str
    registry: Registry
    revision: int
    warnings: tuple[str, ...] = ()


def steps(plan: Plan, node: Node) -> list[Part]:
    return [
        Commit(
            f"commit that the cluster is {plan.registry.user or 'nobody'} at {plan.host}",
            do=lambda: node.records.commit_registry(plan.host, plan.registry, plan.revision),
            settle=lambda: node.records.settle_registry(plan.host, plan.operation),
        )
    ]


async def verify(plan: Plan, node: Node) -> Result:
    """Somebody else who came right after may have changed it again: nothing keeps them from it."""
    registry, revision = await node.records.registry(plan.host)
    as_planned = registry.by != plan.operation or registry.user == plan.registry.user
    confirm(revision > plan.revision and as_planned, f"at {plan.host} the cluster is {registry.user or 'nobody'}")
    return Result(plan.host, plan.registry.user or None)
