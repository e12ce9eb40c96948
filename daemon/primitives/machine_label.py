"""machine label: what a machine is called by, for services whose `place` asks for it. What runs stays where it is."""

from typing import Literal

from msgspec import Struct, structs

from daemon.manifest import LABEL, is_label
from daemon.node import Node
from daemon.primitive import By, Commit, Part, Told, confirm, require
from daemon.records import CLUSTER, Machine
from daemon.wire import MachineLabel, MachineLabels

KIND = "machine_labels"


class Plan(Struct, frozen=True):
    """The machine's record as it will be, written over that `revision`; `already` if it is so."""

    machine: Machine
    revision: int
    already: bool
    warnings: tuple[str, ...] = ()


def claims(ask: MachineLabel) -> dict[str, Literal["change", "read"]]:
    return {CLUSTER: "change"}


async def plan(ask: MachineLabel, node: Node, by: By) -> Plan:
    cannot = f"cannot label {ask.machine}"
    now, revision = await node.members.machine(ask.machine)
    there = now if now and now.state not in ("removed", "leaving") else None
    require(there, "machine.missing", cannot, f"there is no machine {ask.machine}", "ployzctl machine ls")
    assert there
    wrong = next((f"{name}={value}" for name, value in ask.labels.items() if not _is_sound(name, value)), "")
    require(not wrong, "machine.label", cannot, f"{wrong} is no label: each side {LABEL}", "zone=a")
    labels = {name: value for name, value in {**there.labels, **ask.labels}.items() if value}
    then = structs.replace(there, labels=labels, by=by.operation, settled=None)
    return Plan(then, revision, labels == there.labels)


def _is_sound(name: str, value: str) -> bool:
    return is_label(name) and (not value or is_label(value))


def steps(plan: Plan, node: Node) -> list[Part]:
    if plan.already:
        return []
    labels = ", ".join(f"{name}={value}" for name, value in sorted(plan.machine.labels.items())) or "none"
    return [
        Commit(
            f"commit the labels of {plan.machine.name}: {labels}",
            do=lambda: node.members.commit_machine(plan.machine, plan.revision),
            settle=lambda: node.members.settle_machine(plan.machine),
        )
    ]


async def verify(plan: Plan, node: Node, told: Told) -> MachineLabels:
    now = (await node.members.machines()).get(plan.machine.name)
    confirm(now and now.labels == plan.machine.labels, f"{plan.machine.name} has other labels")
    return MachineLabels(plan.machine.name, dict(sorted(plan.machine.labels.items())))
