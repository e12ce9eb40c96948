"""join: this machine, which has no records of its own, becomes one of a mesh that it has an invitation of.

What its pool holds of a life before is adopted while nobody else can reach it: it is kept, and no name points at it.
"""

import asyncio
from typing import Literal

import msgspec
from msgspec import Struct, structs

from daemon import addressing, letters
from daemon.belonging import require_ports
from daemon.changing import grouped
from daemon.letters import Letter
from daemon.membership import Membership
from daemon.node import Node
from daemon.primitive import By, Commit, Part, Step, Told, confirm, require
from daemon.records import CLUSTER, Cluster, Machine
from daemon.seeing import require_room
from daemon.volumes.adopting import Brought, adopt, brought, confirm_adopted, remove
from daemon.wire import Admitted, Join, JoinedMachine, MachineAdmit, Machines, Refused, StoreMachines

KIND = "machines"
HINT = "ployzctl machine invite, on a machine of that mesh"
NOT_NOW = ("store.down", "store.closed", "claim.held")
"""The codes by which a door says that it cannot tell just now whether it lets somebody in."""
NEVER = (
    *("join.foreign", "join.used", "join.revoked", "join.expired", "join.version", "join.clock"),
    *("machine.name", "machine.exists"),
)
"""Those by which it says for good that it does not: it has looked, and whoever asks is none of its machines."""
PAUSES: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between tries at a door that says so: as long as the records take to move, more or less."""


class Plan(Struct, frozen=True):
    """What is asked at the door, again and again if it has to be; `letter` is the token, sealed for this machine.

    `instances` ran here before, and `brought` is what the pool holds.
    """

    operation: str
    network: str
    cluster: str
    letter: bytes
    ask: MachineAdmit
    instances: tuple[str, ...] = ()
    brought: tuple[Brought, ...] = ()
    warnings: tuple[str, ...] = ()


def claims(ask: Join) -> dict[str, Literal["change", "read"]]:
    return {CLUSTER: "change"}


async def plan(ask: Join, node: Node, by: By) -> Plan:
    letter = letters.read(ask.token)
    cannot = f"cannot join {letter.network}"
    now = node.mesh.membership
    why = f"this machine is {now.name} of the mesh {now.cluster.name}"
    require(not now.cluster.mesh, "join.member", cannot, why, "ployzctl mesh destroy, if it is to leave that")
    await _require_nothing(node, by, cannot)
    await _require_room(letter, node, cannot)
    root = node.datasets.root
    found = tuple(brought(root, await node.datasets.below(root), by.operation))
    if found:
        await require_room(node, cannot)
    instances = tuple(sorted(one.id for one in await node.instances.all()))
    keys = await node.mesh.keys()
    admit = MachineAdmit(
        invitation=letter.invitation,
        cluster=letter.cluster,
        name=letter.name or ask.name or now.name,
        id=now.here.id,
        key=keys.mesh,
        nkey=keys.bus,
        endpoint=ask.endpoint or await node.mesh.endpoint(letter.endpoint.rpartition(":")[0]),
        version=now.here.version,
        at=by.at,
    )
    sealed = node.vault.seal(ask.token.encode())
    await _asked(sealed, admit, node, preview=True)
    return Plan(by.operation, letter.network, letter.cluster, sealed, admit, instances, found)


async def _require_nothing(node: Node, by: By, cannot: str) -> None:
    """Whatever is recorded here would be forgotten: the mesh has records of its own."""
    own = [
        name
        for name, record in (await node.records.namespaces()).items()
        if record.head or record.secrets or record.last_deploy
    ]
    why = f"this machine has namespaces, or data, of its own: {', '.join(own)}"
    require(
        not own, "join.occupied", cannot, why, "ployzctl namespace rm NS --purge, or ployzd with an empty --data-dir"
    )
    await _require_idle(node, by.operation)


async def _require_idle(node: Node, operation: str) -> None:
    """Operations that are not over would find other records."""
    held = [claim.operation for claims in (await node.members.claims()).values() for claim in claims]
    open = sorted({*held, *await node.mesh.open_operations(operation)} - {operation})
    why = f"operations of this machine are not over: {', '.join(open)}"
    require(not open, "join.busy", "cannot leave this machine's own records", why, "ployzctl op ls")


async def _require_room(letter: Letter, node: Node, cannot: str) -> None:
    others = await node.mesh.networks()
    there = ", ".join(f"{each} ({others[each]})" for each in addressing.overlapping(letter.cidr, others))
    why = f"this machine has routes to networks in {letter.cidr}, which is the mesh's: {there}"
    require(not there, "mesh.overlap", cannot, why, "a mesh in another network (mesh init --cluster-cidr)")
    await require_ports(node.mesh, "join.ports", cannot)


def steps(plan: Plan, node: Node) -> list[Part]:
    ask = plan.ask

    async def close() -> None:
        await node.members.close(plan.operation)
        await _require_idle(node, plan.operation)

    async def be_let_in() -> None:
        await _asked(plan.letter, ask, node, preview=False)

    async def settle() -> bool:
        """Asked once more, the door lets it in, as it has already, or says for good that it does not. Whatever else it
        says leaves that open: it may be stuck itself, having let in already."""
        try:
            await be_let_in()
        except Refused as refused:
            if refused.code in NEVER:
                return False
            raise
        return True

    async def become() -> None:
        if node.mesh.membership.cluster.id != plan.cluster:
            admitted = await _as_which(plan, node)
            await node.mesh.become(_membership(admitted))

    async def come() -> None:
        def here(now: Machine) -> Machine:
            return structs.replace(now, state="active" if now.state == "joining" else now.state)

        await node.members.amend(node.mesh.membership.name, here)

    return [
        Step(
            "take this machine's own records, which are empty, out of use",
            do=close,
            undo=lambda: node.members.open(plan.operation),
        ),
        Commit(f"be let into {plan.network} as {ask.name}", do=be_let_in, settle=settle),
        *grouped([remove(instance, node) for instance in plan.instances]),
        *grouped([adopt(one, plan.operation, node) for one in plan.brought]),
        Step(f"be {ask.name} of {plan.network}", do=become),
        Step(f"tell {plan.network} that {ask.name} has come", do=come),
        Step("open what is sealed, and have the records kept where they are safest", do=node.mesh.gather),
    ]


async def _as_which(plan: Plan, node: Node) -> Admitted:
    """What it was let in as. Raises Refused; where it was removed since, with what may be done."""
    try:
        admitted = await _asked(plan.letter, plan.ask, node, preview=False)
    except Refused as refused:
        if refused.code not in NEVER:
            raise
        raise _put_out(refused) from refused
    assert admitted
    return admitted


async def _asked(letter: bytes, ask: MachineAdmit, node: Node, *, preview: bool) -> Admitted | None:
    """What the door says, once it can say anything: while the records of the mesh are on their way it cannot."""
    for pause in PAUSES:
        try:
            return await node.mesh.knock(letter, ask, preview=preview)
        except Refused as refused:
            if refused.code not in NOT_NOW:
                raise
        await asyncio.sleep(pause)
    return await node.mesh.knock(letter, ask, preview=preview)


def _put_out(refused: Refused) -> Refused:
    """Its own records are out of use, and it has no others."""
    gone = "it had been let in, and was removed since; only ployzd with an empty --data-dir goes on from here"
    return Refused(refused.code, refused.what, f"{refused.why}: {gone}", refused.hint)


def _membership(admitted: Admitted) -> Membership:
    here = msgspec.convert(admitted.machine, Machine)
    machines = {name: msgspec.convert(each, Machine) for name, each in admitted.machines.items()}
    return Membership(msgspec.convert(admitted.cluster, Cluster), here.name, machines)


async def verify(plan: Plan, node: Node, told: Told) -> Machines:
    name = node.mesh.membership.name
    now, store = (await node.members.machines()).get(name), (await node.members.cluster()).store
    confirm(now and now.state != "joining" and now.id == plan.ask.id, f"{name} is not one of the machines")
    assert now
    differs = await node.mesh.differs()
    confirm(not differs, differs)
    adopted = [await confirm_adopted(one, node) for one in plan.brought]
    joined = JoinedMachine(now.id, now.name, now.overlay_ip, now.subnet, name in store, adopted)
    return Machines([joined], StoreMachines(sorted(store), len(store)))
