"""machine invite: a subnet is set aside for a machine to come, and a door opened for it."""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from daemon import addressing
from daemon.moments import later
from daemon.node import Node
from daemon.primitive import By, Commit, Part, Step, Told, confirm, require
from daemon.records import CLUSTER, Invitation, Machine
from daemon.wire import NAME, Invited, MachineInvite

KIND = "invitation"
LONGEST = 7 * 24 * 3600
"""Seconds that an invitation may be open."""


class Plan(Struct, frozen=True):
    """`left` is who has the subnet's reservation although nobody came, or the one that had is gone."""

    operation: str
    invitation: Invitation
    endpoint: str
    fingerprint: str
    left: str = ""
    warnings: tuple[str, ...] = ()


def claims(ask: MachineInvite) -> dict[str, Literal["change", "read"]]:
    cannot = "cannot invite a machine"
    fits = ask.name is None or re.fullmatch(NAME, ask.name)
    require(fits, "machine.name", cannot, f"a machine's name looks like {NAME}", "--name m2")
    why = f"an invitation is open for 1 to {LONGEST} seconds"
    require(1 <= ask.ttl <= LONGEST, "invite.ttl", cannot, why, "--ttl 600")
    return {CLUSTER: "change"}


async def plan(ask: MachineInvite, node: Node, by: By) -> Plan:
    cannot = "cannot invite a machine"
    cluster, machines = await node.members.cluster(), await node.members.machines()
    require(cluster.mesh, "mesh.missing", cannot, "this machine is in no mesh", "ployzctl mesh init NETWORK")
    here = machines[node.machine]
    why = f"{node.machine} is behind a NAT, and nobody could knock at its door"
    require(here.endpoint, "invite.endpoint", cannot, why, "the same, asked of a machine with an endpoint")
    require(ask.name not in machines, "machine.exists", cannot, f"there is a machine {ask.name}", "another --name")
    invited = (await node.members.invitations()).values()
    coming = _coming(invited, machines, by.at)
    taken = {each.subnet for each in coming} | {each.subnet for each in machines.values()}
    subnet = addressing.free(cluster.cidr, taken)
    why = f"{cluster.cidr} has no room for another machine"
    require(subnet, "mesh.full", cannot, why, "ployzctl machine ls, and a machine rm for what is gone")
    assert subnet
    held = (await node.records.reservations("subnet")).get(subnet)
    invitation = Invitation(
        id=by.operation,
        inviter=node.machine,
        subnet=subnet,
        guest=_guest(cluster.cidr, invited, coming),
        key=await node.mesh.guest(by.operation),
        name=ask.name,
        created_at=by.at,
        expires_at=later(by.at, ask.ttl),
        who=by.who,
        by=by.operation,
    )
    return Plan(by.operation, invitation, here.endpoint or "", here.key, held.namespace if held else "")


def _coming(invited: Iterable[Invitation], machines: Mapping[str, Machine], at: str) -> list[Invitation]:
    """Those by which a machine may still come."""
    used = {machine.invitation for machine in machines.values()}
    return [each for each in invited if each.id not in used and not each.revoked and each.expires_at > at]


def _guest(cidr: str, invited: Iterable[Invitation], coming: Iterable[Invitation]) -> str:
    given = {each.guest: each.created_at for each in sorted(invited, key=lambda each: each.created_at)}
    return addressing.guest(cidr, {each.guest for each in coming}, given)


def steps(plan: Plan, node: Node) -> list[Part]:
    """The holder of a reservation is the invitation; nobody else reserves subnets while the cluster is claimed."""
    subnet, id = plan.invitation.subnet, plan.invitation.id
    left = Step(
        f"let go of {subnet}, which nobody came for",
        do=lambda: node.records.let_go("subnet", subnet, plan.left, plan.operation, CLUSTER),
    )
    return [
        *([left] if plan.left not in ("", id) else []),
        Step(
            f"reserve {subnet} for {plan.invitation.name or 'a machine to come'}",
            do=lambda: node.records.reserve("subnet", subnet, plan.operation, id),
            undo=lambda: node.records.release("subnet", subnet, id, plan.operation),
        ),
        Commit(
            f"commit the invitation {id}, open until {plan.invitation.expires_at}",
            do=lambda: node.members.commit_invitation(plan.invitation),
            settle=lambda: node.members.settle_invitation(plan.invitation),
        ),
        Step("open the door for it", do=node.mesh.apply),
    ]


async def verify(plan: Plan, node: Node, told: Told) -> Invited:
    """The token is not here: it holds the guest's key, and what is verified is written down."""
    invitation = plan.invitation
    confirm(invitation.id in await node.members.invitations(), "the invitation is not in the records")
    differs = await node.mesh.differs()
    confirm(not differs, differs)
    return Invited(
        invitation.id,
        invitation.name,
        invitation.subnet,
        invitation.guest,
        plan.endpoint,
        plan.fingerprint,
        invitation.expires_at,
    )
