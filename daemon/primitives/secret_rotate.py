"""secret rotate: all that is sealed is sealed anew, for exactly the machines that there are; no value changes."""

from functools import partial
from typing import Literal

from msgspec import Struct

from daemon.changing import resealing
from daemon.node import Node
from daemon.planning.secrets import recipients
from daemon.primitive import By, Part, Step, Together, Told, unrecorded
from daemon.wire import Resealed, Rotated, SecretRotate

KIND = "rotated"


class Plan(Struct, frozen=True):
    """What is sealed for others than the machines that there are: versions of secrets, and passwords at registries."""

    operation: str
    secrets: tuple[Resealed, ...]
    registries: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def claims(_: SecretRotate) -> dict[str, Literal["change", "read"]]:
    return {}


async def plan(ask: SecretRotate, node: Node, by: By) -> Plan:
    """A machine that has not told its key yet is about to come, and has it done then."""
    wanted = recipients(await node.members.machines())
    found = []
    for namespace, record in sorted((await node.records.namespaces()).items()):
        for name in sorted(record.secrets):
            there = await node.records.versions(namespace, name)
            others = [version for version, sealed in there.items() if sealed.recipients != wanted]
            found += [Resealed(namespace, name, others)] if others else []
    registries = await node.records.registries()
    hosts = tuple(host for host, registry in registries.items() if registry.recipients != wanted)
    return Plan(by.operation, tuple(found), hosts)


def steps(plan: Plan, node: Node) -> list[Part]:
    """There is no way back, and need not be one: whatever is done of it is well."""
    parts = [_seal(one, node) for one in plan.secrets]
    parts += [
        Step(f"seal the password at {host} anew", partial(resealing.registry, host, node)) for host in plan.registries
    ]
    return [unrecorded("begin to seal for all machines"), Together(tuple(parts))] if parts else []


def _seal(one: Resealed, node: Node) -> Step:
    numbers = ", ".join(map(str, one.versions))
    words = f"seal version {numbers} of {one.namespace}/{one.name} anew"
    return Step(words, partial(resealing.secret, one.namespace, one.name, one.versions, node))


async def verify(plan: Plan, node: Node, told: Told) -> Rotated:
    """What nobody opens any more is as it was, and is named; so is what a machine that just came has to have anew."""
    machines = await node.members.machines()
    wanted, closed = recipients(machines), []
    for one in plan.secrets:
        there = await node.records.versions(one.namespace, one.name)
        left = [number for number in one.versions if number in there and there[number].recipients != wanted]
        closed += [f"version {number} of {one.namespace}/{one.name}" for number in left]
    registries = await node.records.registries()
    hosts = [host for host in plan.registries if host in registries and registries[host].recipients != wanted]
    closed += [f"the password at {host}" for host in hosts]
    names = sorted(name for name, machine in machines.items() if machine.recipient in wanted)
    return Rotated(list(plan.secrets), list(plan.registries), names, closed)
