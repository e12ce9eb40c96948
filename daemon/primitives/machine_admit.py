"""machine admit: a machine that knocked at the door with an invitation becomes one of the mesh."""

import re
from typing import Literal

import msgspec
from msgspec import Struct

from daemon import addressing
from daemon.moments import apart
from daemon.node import Node
from daemon.primitive import By, Commit, Part, Step, Told, confirm, require
from daemon.records import CLUSTER, Cluster, Invitation, Machine
from daemon.wire import NAME, Admitted, MachineAdmit

KIND = "admitted"
CLOCKS = 60.0
"""Seconds that two clocks of a mesh may differ."""


class Plan(Struct, frozen=True):
    """What is written over the `revision` of the machine's record; nothing, if it `is_in` already."""

    operation: str
    machine: Machine
    revision: int
    is_in: bool = False
    warnings: tuple[str, ...] = ()


def claims(ask: MachineAdmit) -> dict[str, Literal["change", "read"]]:
    return {CLUSTER: "change"}


async def plan(ask: MachineAdmit, node: Node, by: By) -> Plan:
    cluster, machines = await node.members.cluster(), await node.members.machines()
    cannot = f"cannot join {cluster.name}"
    invitation = (await node.members.invitations()).get(ask.invitation)
    why = f"{cluster.name} has no such invitation"
    require(invitation and ask.cluster == cluster.id, "join.foreign", cannot, why, "a token of this mesh")
    assert invitation
    if came := next((each for each in machines.values() if each.invitation == invitation.id), None):
        why = f"{came.name} came by this invitation"
        require((came.key, came.nkey) == (ask.key, ask.nkey), "join.used", cannot, why, "ployzctl machine invite")
        return Plan(by.operation, came, 0, is_in=True)
    _require_alike(ask, machines[node.machine], by.at, cannot)
    _require_open(invitation, by.at, cannot)
    name = invitation.name or ask.name
    require(re.fullmatch(NAME, name), "machine.name", cannot, f"a machine's name looks like {NAME}", "--name m2")
    require(name not in machines, "machine.exists", cannot, f"{cluster.name} has a machine {name}", "--name another")
    _, revision = await node.members.machine(name)
    return Plan(by.operation, _machine(ask, name, invitation, by), revision)


def _require_alike(ask: MachineAdmit, here: Machine, at: str, cannot: str) -> None:
    """What differs too much to live together."""
    why, major = f"{ask.name} runs ployz {ask.version}, and {here.name} {here.version}", here.version.partition(".")[0]
    hint = f"install ployz {here.version} on {ask.name}"
    require(ask.version.partition(".")[0] == major, "join.version", cannot, why, hint)
    off = apart(ask.at, at)
    why = f"{ask.name} says that it is {ask.at}, and {here.name} that it is {at}: {off:.0f} seconds apart"
    require(off <= CLOCKS, "join.clock", cannot, why, f"set the clock that is wrong: {CLOCKS:.0f} seconds are let be")


def _require_open(invitation: Invitation, at: str, cannot: str) -> None:
    why, hint = f"the invitation {invitation.id} was revoked", "ployzctl machine invite"
    require(not invitation.revoked, "join.revoked", cannot, why, hint)
    why = f"the invitation {invitation.id} was open until {invitation.expires_at}"
    require(at <= invitation.expires_at, "join.expired", cannot, why, hint)


def _machine(ask: MachineAdmit, name: str, invitation: Invitation, by: By) -> Machine:
    return Machine(
        id=ask.id,
        name=name,
        subnet=invitation.subnet,
        overlay_ip=addressing.address(invitation.subnet),
        created_at=by.at,
        version=ask.version,
        state="joining",
        key=ask.key,
        nkey=ask.nkey,
        endpoint=ask.endpoint,
        invitation=invitation.id,
        by=by.operation,
    )


def steps(plan: Plan, node: Node) -> list[Part]:
    if plan.is_in:
        return []
    return [
        Commit(
            f"commit that {plan.machine.name} is one of the machines",
            do=lambda: node.members.commit_machine(plan.machine, plan.revision),
            settle=lambda: node.members.settle_machine(plan.machine),
        ),
        Step(f"let {plan.machine.name} ({plan.machine.overlay_ip}) be reached", do=node.mesh.apply),
    ]


async def verify(plan: Plan, node: Node, told: Told) -> Admitted:
    cluster, machines = await node.members.cluster(), await node.members.machines()
    now = machines.get(plan.machine.name)
    confirm(now and now.id == plan.machine.id, f"{plan.machine.name} is not in the records")
    assert now
    differs = await node.mesh.differs()
    confirm(not differs, differs)
    return Admitted(_told(cluster), _told(now), {name: _told(machine) for name, machine in machines.items()})


def _told(record: Cluster | Machine) -> dict[str, object]:
    told: dict[str, object] = msgspec.to_builtins(record)
    return told
