"""machine drain, and undrain: nothing new is placed on a machine from now on, or something may be again; and that a
machine is lost: nobody waits for it any more, and it is about to be removed.

What is there stays there: `daemon.draining` has it moved, by operations of their own.
"""

from typing import Literal

from msgspec import Struct, structs

from daemon.closing import answering
from daemon.node import Node
from daemon.primitive import By, Commit, Part, Told, confirm, require
from daemon.records import CLUSTER, Machine
from daemon.wire import MachineDrain, MachineLost, MachineMarked, MachineUndrain

KIND = "machine_state"
Ask = MachineDrain | MachineUndrain | MachineLost


class Plan(Struct, frozen=True):
    """The machine's record as it will be, written over that `revision`; `already` if it says so."""

    machine: Machine
    revision: int
    already: bool
    warnings: tuple[str, ...] = ()


def claims(ask: Ask) -> dict[str, Literal["change", "read"]]:
    return {CLUSTER: "change"}


def _wanted(ask: Ask) -> Literal["active", "draining", "lost"]:
    match ask:
        case MachineDrain():
            return "draining"
        case MachineUndrain():
            return "active"
        case MachineLost():
            return "lost"


async def plan(ask: Ask, node: Node, by: By) -> Plan:
    wanted = _wanted(ask)
    cannot, hint = f"cannot have {ask.machine} {wanted}", "ployzctl machine ls"
    now, revision = await node.members.machine(ask.machine)
    there = now if now and now.state != "removed" else None
    require(there, "machine.missing", cannot, f"there is no machine {ask.machine}", hint)
    assert there
    before = ("joining", "active", "draining", "lost") if wanted == "lost" else ("active", "draining")
    require(there.state in before, "machine.state", cannot, f"it is {there.state}", hint)
    if wanted == "lost":
        answers = ask.machine in await answering({ask.machine: there}, node)
        require(not answers, "machine.answers", cannot, f"{ask.machine} answers", f"ployzctl machine rm {ask.machine}")
    then = structs.replace(there, state=wanted, by=by.operation, settled=None)
    return Plan(then, revision, there.state == wanted)


def steps(plan: Plan, node: Node) -> list[Part]:
    if plan.already:
        return []
    return [
        Commit(
            f"commit that {plan.machine.name} is {plan.machine.state}",
            do=lambda: node.members.commit_machine(plan.machine, plan.revision),
            settle=lambda: node.members.settle_machine(plan.machine),
        )
    ]


async def verify(plan: Plan, node: Node, told: Told) -> MachineMarked:
    state = plan.machine.state
    now = (await node.members.machines()).get(plan.machine.name)
    confirm(now and now.state == state, f"{plan.machine.name} is {now.state if now else 'gone'}, not {state}")
    assert state in ("active", "draining", "lost")
    return MachineMarked(plan.machine.name, state)
