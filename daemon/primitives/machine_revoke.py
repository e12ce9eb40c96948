"""machine revoke: an invitation that nobody came by lets nobody in any more."""

from typing import Literal

from msgspec import Struct

from daemon.node import Node
from daemon.primitive import By, Commit, Part, Step, Told, confirm, require
from daemon.records import CLUSTER
from daemon.wire import MachineRevoke, Revoked

KIND = "revoked"


class Plan(Struct, frozen=True):
    operation: str
    invitation: str
    subnet: str
    warnings: tuple[str, ...] = ()


def claims(ask: MachineRevoke) -> dict[str, Literal["change", "read"]]:
    return {CLUSTER: "change"}


async def plan(ask: MachineRevoke, node: Node, by: By) -> Plan:
    cannot = f"cannot revoke {ask.invitation}"
    found = (await node.members.invitations()).get(ask.invitation)
    require(
        found and not found.revoked, "invite.missing", cannot, "there is no such invitation", "ployzctl op ls --all"
    )
    assert found
    used = [name for name, machine in (await node.members.machines()).items() if machine.invitation == found.id]
    why, hint = f"{', '.join(used)} came by it", f"ployzctl machine rm {', '.join(used)}"
    require(not used, "invite.used", cannot, why, hint)
    return Plan(by.operation, found.id, found.subnet)


def steps(plan: Plan, node: Node) -> list[Part]:
    """While the cluster is claimed nobody is let in, so this may be done again by whoever settles it."""

    async def revoke() -> None:
        await node.members.revoke(plan.invitation, plan.operation)

    async def settle() -> bool:
        await revoke()
        return True

    return [
        Commit(f"commit that {plan.invitation} lets nobody in", do=revoke, settle=settle),
        Step(
            f"let go of {plan.subnet}",
            do=lambda: node.records.let_go("subnet", plan.subnet, plan.invitation, plan.operation, CLUSTER),
        ),
    ]


async def verify(plan: Plan, node: Node, told: Told) -> Revoked:
    found = (await node.members.invitations()).get(plan.invitation)
    confirm(found and found.revoked, "the invitation is open")
    return Revoked(plan.invitation)
