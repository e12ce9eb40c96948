"""registry logout: the cluster is nobody at a registry any more; what it pulled there stays."""

from typing import Literal

from daemon.changing import registry
from daemon.changing.registry import Plan
from daemon.node import Node
from daemon.primitive import By, Part, Told, require
from daemon.records import Registry
from daemon.wire import Registry as Result
from daemon.wire import RegistryLogout

KIND = "registry"
__all__ = ["KIND", "Plan", "claims", "plan", "steps", "verify"]


def claims(ask: RegistryLogout) -> dict[str, Literal["change", "read"]]:
    return {}


async def plan(ask: RegistryLogout, node: Node, by: By) -> Plan:
    found, revision = await node.records.registry(ask.host)
    cannot, why = f"cannot log out of {ask.host}", f"the cluster is nobody at {ask.host}"
    require(found.user, "registry.missing", cannot, why, "ployzctl registry ls")
    return Plan(by.operation, ask.host, Registry(by=by.operation, at=by.at, who=by.who), revision)


def steps(plan: Plan, node: Node) -> list[Part]:
    return registry.steps(plan, node)


async def verify(plan: Plan, node: Node, told: Told) -> Result:
    return await registry.verify(plan, node)
