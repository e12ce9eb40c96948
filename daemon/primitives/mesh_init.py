"""mesh init: this machine, a cluster of one so far, becomes the first of a mesh that others can be invited to."""

import re
from typing import Literal

from msgspec import Struct, structs

from daemon import addressing
from daemon.belonging import require_ports
from daemon.membership import Membership
from daemon.node import Node
from daemon.primitive import By, Commit, Part, Step, Told, confirm, require
from daemon.records import CLUSTER, Cluster, Machine, Token
from daemon.wire import NAME, Mesh, MeshInit

KIND = "mesh"


class Plan(Struct, frozen=True):
    """Both records as they will be."""

    operation: str
    cluster: Cluster
    machine: Machine
    token: Token
    warnings: tuple[str, ...] = ()


def claims(ask: MeshInit) -> dict[str, Literal["change", "read"]]:
    cannot = f"cannot found the mesh {ask.network}"
    require(re.fullmatch(NAME, ask.network), "mesh.name", cannot, f"a name looks like {NAME}", "prod")
    usable = ask.cidr is None or addressing.is_usable(ask.cidr)
    why = "a mesh lives in a private network of IPv4 with a prefix of 12 to 20 bits"
    require(usable, "mesh.cidr", cannot, why, f"--cluster-cidr {addressing.DEFAULT}")
    return {CLUSTER: "change"}


async def plan(ask: MeshInit, node: Node, by: By) -> Plan:
    cannot = f"cannot found the mesh {ask.network}"
    now, here = await node.members.cluster(), (await node.members.machines())[node.machine]
    require(
        not now.mesh, "mesh.exists", cannot, f"this machine is in the mesh {now.name} already", "ployzctl machine ls"
    )
    cidr = ask.cidr or now.cidr
    await _require_room(cidr, now.cidr, node, cannot)
    keys, endpoint = await node.mesh.keys(), ask.endpoint or await node.mesh.endpoint()
    why = "it has no address that others could reach it at"
    require(endpoint, "mesh.endpoint", cannot, why, "--endpoint HOST:PORT")
    subnet = here.subnet if cidr == now.cidr else addressing.subnets(cidr)[0]
    cluster = structs.replace(
        now, name=ask.network, cidr=cidr, mesh=True, store=(node.machine,), claims=(), settled=None
    )
    machine = structs.replace(
        here,
        subnet=subnet,
        overlay_ip=addressing.address(subnet),
        key=keys.mesh,
        nkey=keys.bus,
        endpoint=endpoint,
    )
    return Plan(by.operation, cluster, machine, by.tokens[CLUSTER])


async def _require_room(cidr: str, before: str, node: Node, cannot: str) -> None:
    """Instances keep their addresses, so whoever has some keeps the network too; and nobody else may be in it, or have
    a port of it."""
    others = await node.mesh.networks()
    there = ", ".join(f"{each} ({others[each]})" for each in addressing.overlapping(cidr, others))
    why = f"this machine has routes to networks in it: {there}"
    require(not there, "mesh.overlap", cannot, why, "another --cluster-cidr")
    await require_ports(node.mesh, "mesh.ports", cannot)
    if cidr != before:
        names = ", ".join(name for name, record in (await node.records.namespaces()).items() if record.head)
        why = f"it has instances with addresses in {before}, of {names}"
        require(not names, "mesh.occupied", cannot, why, "the same without --cluster-cidr, or ployzctl namespace rm")


def steps(plan: Plan, node: Node) -> list[Part]:
    machine = plan.machine

    def complete(now: Machine) -> Machine:
        return structs.replace(
            now,
            subnet=machine.subnet,
            overlay_ip=machine.overlay_ip,
            key=machine.key,
            nkey=machine.nkey,
            endpoint=machine.endpoint,
        )

    return [
        Commit(
            f"commit that {machine.name} is the first machine of {plan.cluster.name}",
            do=lambda: node.members.commit_cluster(plan.cluster, plan.operation, plan.token),
            settle=lambda: node.members.settle_cluster(plan.operation),
        ),
        Step(
            f"write down that {machine.name} is reached at {machine.endpoint}",
            do=lambda: node.members.amend(machine.name, complete),
        ),
        Step(
            f"be {machine.name} ({machine.overlay_ip}) of {plan.cluster.name}",
            do=lambda: node.mesh.become(Membership(plan.cluster, machine.name, {machine.name: machine})),
        ),
    ]


async def verify(plan: Plan, node: Node, told: Told) -> Mesh:
    confirm((await node.members.cluster()).mesh, "the cluster's record does not say that it is a mesh")
    differs = await node.mesh.differs()
    confirm(not differs, differs)
    return Mesh(plan.cluster.name, plan.machine.name, plan.machine.overlay_ip, plan.machine.subnet)
