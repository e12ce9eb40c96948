"""machine rm: a machine without state leaves the mesh; its keys are good for nothing any more.

What one that is lost ran without data is lost with it: nobody is led there, and the next deploy has it elsewhere.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct, structs

from daemon.closing import answering, close, stuck
from daemon.node import Node
from daemon.primitive import By, Commit, Part, Step, Told, confirm, require
from daemon.records import CLUSTER, Head, Machine
from daemon.volumes import copies
from daemon.volumes.losses import losses
from daemon.wire import Loss, MachineRemoved, MachineRm

KIND = "machine_removed"


class Plan(Struct, frozen=True):
    """That it leaves, written over the `revision` of its record. `told` says whether it is there to hear of it; with
    `lost` what it ran without data goes with it. `stuck` operations stay so."""

    operation: str
    machine: Machine
    revision: int
    told: bool
    lost: bool = False
    stuck: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def claims(ask: MachineRm) -> dict[str, Literal["change", "read"]]:
    return {CLUSTER: "change"}


async def plan(ask: MachineRm, node: Node, by: By) -> Plan:
    name, cannot = ask.machine, f"cannot remove {ask.machine}"
    cluster, machines = await node.members.cluster(), await node.members.machines()
    require(name in machines, "machine.missing", cannot, f"there is no machine {name}", "ployzctl machine ls")
    there = await answering(machines, node)
    lost = ask.force and name not in there
    why, hint = f"{name} does not answer", "the same with --force, once it is off for good"
    require(name in there or ask.force, "machine.unreachable", cannot, why, hint)
    services = await _require_unoccupied(name, node, lost=lost)
    require_accepted(await losses(name, node, there), ask, cannot)
    why, hint = f"{name} keeps the cluster's records", "the same again: they are moved off it first"
    require(name not in cluster.store, "machine.store", cannot, why, hint)
    require(name != node.machine, "machine.here", cannot, f"{name} is who was asked", "the same, asked of another one")
    _, revision = await node.members.machine(name)
    leaving = structs.replace(machines[name], state="leaving", by=by.operation, settled=None)
    left = await stuck(node, there, by.operation, cannot)
    off = tuple(await _copies(node.at(name))) if name in there else tuple(_lost(name, services))
    off += tuple(f"{one} is stuck, and stays so: ployzctl op resume {one}" for one in left)
    return Plan(by.operation, leaving, revision, name in there, lost, left, off)


async def _require_unoccupied(name: str, node: Node, *, lost: bool) -> list[str]:
    """Raises Refused `machine.occupied`, of a `lost` one only where it has data. Returns what else it has."""
    heads = [record.head for _, record in sorted((await node.records.namespaces()).items()) if record.head]
    volumes = [each for head in heads for each in _volumes(head, name)]
    services = [each for head in heads for each in _services(head, name)]
    holding = list(dict.fromkeys([*volumes, *([] if lost else services)]))
    why = f"it has instances or volumes of {', '.join(holding)}"
    hint = "namespace rm for them, or a deploy that places them elsewhere"
    require(not holding, "machine.occupied", f"cannot remove {name}", why, hint)
    return services


async def _copies(there: Node) -> Iterator[str]:
    """Copies are not moved: whoever wants one has one made elsewhere."""
    below = await there.datasets.below(there.datasets.root)
    return (f"the copy of {one.volume} on {one.machine} goes with it" for one in copies.copies({there.machine: below}))


def require_accepted(found: Sequence[Loss], ask: MachineRm, cannot: str) -> None:
    """Raises Refused `machine.data` where something would be lost that nobody has said may be."""
    left = [one for one in found if f"{one.namespace}/{one.name}" not in ask.accept_loss]
    names = " ".join(f"{one.namespace}/{one.name}" for one in left)
    why = f"{ask.machine} alone has {'; '.join(map(str, left))}"
    require(not left, "machine.data", cannot, why, f"--accept-loss {names}, if nobody needs it any more")


def _volumes(head: Head, machine: str) -> Iterator[str]:
    yield from (f"{head.namespace}/{volume.name}" for volume in head.volumes.values() if volume.machine == machine)


def _services(head: Head, machine: str) -> Iterator[str]:
    for service in head.services.values():
        if any(instance.machine == machine for instance in service.instances):
            yield f"{head.namespace}/{service.name}"


def _lost(name: str, services: Sequence[str]) -> Iterator[str]:
    yield f"{name} was not asked: it has to be off, or what runs there goes on (fenced: false)"
    if services:
        lost = ", ".join(services)
        yield f"instances of {lost} were on {name}, and nobody is led to them: deploy those namespaces to have new ones"


def steps(plan: Plan, node: Node) -> list[Part]:
    """Who leaves is told while its keys are still good; one that has gone meanwhile finds them refused."""
    name, subnet = plan.machine.name, plan.machine.subnet

    def gone(now: Machine) -> Machine:
        return structs.replace(now, state="removed") if now.by == plan.operation else now

    async def alone() -> None:
        """Whatever was placed there since the plan is found now, and nothing is placed there any more."""
        await close(node, plan.operation, plan.stuck, f"cannot remove {name}")
        await _require_unoccupied(name, node, lost=plan.lost)

    tell = Step(f"tell {name} that it is a cluster of its own", do=lambda: node.mesh.dismiss(name))
    return [
        Step("let nobody begin anything", do=alone, undo=lambda: node.members.open(plan.operation)),
        Commit(
            f"commit that {name} leaves the mesh",
            do=lambda: node.members.commit_machine(plan.machine, plan.revision),
            settle=lambda: node.members.settle_machine(plan.machine),
        ),
        Step("let everybody begin again", do=lambda: node.members.open(plan.operation)),
        Step(
            f"revoke the invitation that {name} came by",
            do=lambda: node.members.revoke(plan.machine.invitation, plan.operation),
        ),
        *([tell] if plan.told else []),
        Step(f"write down that {name} is no machine of the mesh", do=lambda: node.members.amend(name, gone)),
        Step(f"let nobody in with the keys of {name}", do=node.mesh.apply),
        Step(
            f"let go of {subnet}",
            do=lambda: node.records.let_go("subnet", subnet, plan.machine.invitation, plan.operation, CLUSTER),
        ),
    ]


async def verify(plan: Plan, node: Node, told: Told) -> MachineRemoved:
    now = (await node.members.machines()).get(plan.machine.name)
    confirm(now is None or now.id != plan.machine.id, f"{plan.machine.name} is still one of the machines")
    differs = await node.mesh.differs()
    confirm(not differs, differs)
    return MachineRemoved(plan.machine.id, plan.machine.name, fenced=plan.told)
