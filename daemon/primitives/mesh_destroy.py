"""mesh destroy: the last machine of a mesh is a cluster of its own again, with all that it has."""

from typing import Literal

from msgspec import Struct, structs

from daemon.membership import Membership
from daemon.node import Node
from daemon.primitive import By, Commit, Part, Step, Told, confirm, require
from daemon.records import CLUSTER, Cluster, Machine, Token
from daemon.wire import Mesh, MeshDestroy

KIND = "mesh"


class Plan(Struct, frozen=True):
    """Both records as they will be."""

    operation: str
    cluster: Cluster
    machine: Machine
    token: Token
    warnings: tuple[str, ...] = ()


def claims(ask: MeshDestroy) -> dict[str, Literal["change", "read"]]:
    return {CLUSTER: "change"}


async def plan(ask: MeshDestroy, node: Node, by: By) -> Plan:
    now, machines = await node.members.cluster(), await node.members.machines()
    cannot = f"cannot destroy the mesh {now.name}"
    require(now.mesh, "mesh.missing", "cannot destroy a mesh", "this machine is in none", "ployzctl mesh init NETWORK")
    others = ", ".join(name for name in machines if name != node.machine)
    why, hint = f"{others} would be left without it", "ployzctl machine rm for each of them, or --force on a lost one"
    require(not others, "mesh.others", cannot, why, hint)
    cluster = structs.replace(now, name=node.machine, mesh=False, claims=(), settled=None)
    machine = structs.replace(machines[node.machine], key="", nkey="", endpoint=None)
    return Plan(by.operation, cluster, machine, by.tokens[CLUSTER])


def steps(plan: Plan, node: Node) -> list[Part]:
    machine = plan.machine

    def alone(now: Machine) -> Machine:
        return structs.replace(now, key="", nkey="", endpoint=None)

    return [
        Commit(
            f"commit that {machine.name} is in no mesh",
            do=lambda: node.members.commit_cluster(plan.cluster, plan.operation, plan.token),
            settle=lambda: node.members.settle_cluster(plan.operation),
        ),
        Step(f"forget the keys of {machine.name}", do=lambda: node.members.amend(machine.name, alone)),
        Step(
            f"be {machine.name} alone",
            do=lambda: node.mesh.become(Membership(plan.cluster, machine.name, {machine.name: machine})),
        ),
    ]


async def verify(plan: Plan, node: Node, told: Told) -> Mesh:
    confirm(not (await node.members.cluster()).mesh, "the cluster's record says that it is a mesh")
    return Mesh("", plan.machine.name, plan.machine.overlay_ip, plan.machine.subnet)
