"""What a plan needs to know of the world: which instances run, which names are taken, how full the pool is."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from daemon import problems
from daemon.engine import together
from daemon.finding import no_namespace, service_of
from daemon.manifest import Volume
from daemon.node import Node
from daemon.planning import Origin, Seen, SeenMachine
from daemon.planning.identity import HOST
from daemon.primitive import require
from daemon.records import DeployPoint, Head, Machine, Service
from daemon.units import rounded
from daemon.wire import Refused
from runtime.instance import EngineUnavailable, ImageMissing

KINDS = ("address", "service", "hostname", "port")
"""Of what is reserved."""
FULL = 0.95
"""A pool fuller than this is refused: copy-on-write needs room even to delete."""
AWAY = ("machine.unreachable", "engine.down")
"""Why another machine can have no part in a plan, which only holds up plans that need it."""


async def see(node: Node) -> Seen:
    """Look around, on every machine that answers, everywhere at once.

    Whoever chooses addresses by it does so, and notes them (`node.choices`), before anything else is awaited.
    """
    records = await node.members.machines()
    looks = [_machine(record, node) for _, record in sorted(records.items())]
    machines, taken = await asyncio.gather(together(looks), _reserved(node))
    strangers = {address for machine in machines for address in machine.addresses}
    chosen = {"address": node.choices.of("address") | strangers, "service": node.choices.of("service")}
    taken |= {kind: dict.fromkeys(names, "") | taken[kind] for kind, names in chosen.items()}
    return Seen(node.machine, {machine.record.name: machine for machine in machines}, node.services, taken)


async def _machine(record: Machine, node: Node) -> SeenMachine:
    """What can be seen of a machine; of this one everything, of another one perhaps why it does not answer."""
    there = node.at(record.name)
    try:
        statuses, addresses, listening, memory, images = await asyncio.gather(
            there.instances.statuses(),
            there.instances.addresses(),
            there.serving.listening(),
            there.host.memory(),
            there.instances.images(),
        )
    except (Refused, EngineUnavailable) as failure:
        if there is node or problems.code(failure) not in AWAY:
            raise
        return SeenMachine(record, away=problems.refused(failure, "").why)
    return SeenMachine(
        record=record,
        root=there.datasets.root,
        up=frozenset(id for id, status in statuses.items() if status == "running"),
        addresses=frozenset(addresses),
        listening=frozenset(listening),
        memory=memory,
        images=frozenset(known for image in images for known in (image.id, image.digest)),
    )


async def _reserved(node: Node) -> dict[str, dict[str, str]]:
    """What is taken of each kind, with the namespace that has it."""
    told = await asyncio.gather(*map(node.records.reservations, KINDS))
    return {kind: {what: one.namespace for what, one in held.items()} for kind, held in zip(KINDS, told, strict=True)}


async def require_room(node: Node, what: str, needed: int = 0) -> None:
    """Refuse while the pool is too full to change anything safely, or would be with the `needed` bytes."""
    space = await node.datasets.space()
    more = f", and has no room for {rounded(needed)} more" if needed else ""
    require(
        space.used + needed <= FULL * space.size,
        "pool.full",
        what,
        f"the pool of {node.machine} is {100 * space.used // space.size} % full "
        f"({rounded(space.used)} of {rounded(space.size)}){more}: above {100 * FULL:.0f} % nothing is changed",
        f"{problems.TRY['pool.full']}; or make the pool larger",
    )


def require_takes(machine: Machine, cannot: str) -> None:
    """Refuse what would be new on a machine that is to be emptied. Raises Refused `machine.draining`."""
    why = f"{machine.name} is {machine.state}: nothing new is placed there"
    require(machine.state == "active", "machine.draining", cannot, why, "ployzctl machine ls")


async def digests_of(point: DeployPoint, services: Iterable[str], node: Node) -> dict[str, str]:
    """The point's own digests, wherever their tags may have moved; refused if an image is here no more."""
    digests = {name: point.head.services[name].digest for name in services}
    for digest in sorted(set(digests.values()) - {HOST}):
        await resolve(digest, node, pull="never")
    return digests


async def points_of_all(node: Node) -> list[DeployPoint]:
    """The replaced deploy points of all namespaces. Promotions move their snapshots from one into another."""
    return [point for name in await node.records.namespaces() for point in await node.records.points(name)]


async def resolve(image: str, node: Node, *, pull: str) -> str:
    """The digest that an image means, at this machine, or else at one that has it. Raises ImageMissing."""
    try:
        return await node.instances.resolve(image, pull=pull)
    except ImageMissing:
        for other in sorted((await node.members.machines()).keys() - {node.machine}):
            with suppress(ImageMissing, Refused):
                return await node.at(other).instances.resolve(image, pull="never")
        raise


async def snapshots_of(point: DeployPoint, node: Node, cannot: str) -> dict[str, Origin]:
    """Where the point's snapshots are now, by volume: promotions move them between datasets, so guids are looked up.

    Each is looked for where its volume is, or was last; then where it was at that point, for it may not have moved
    along; then everywhere. Of who does not answer only what nobody else has is missed. Raises Refused
    `machine.unreachable`, `deploy.data_missing`.
    """
    namespace, known = point.head.namespace, await node.members.machines()
    present, points = (await node.records.namespace(namespace)).head, await node.records.points(namespace)
    last = present or max((one.head for one in points), key=lambda head: head.deploy, default=None)
    pools, origins = dict[str, dict[str, str] | Refused](), dict[str, Origin]()
    for held in point.data:
        heads = [head for head in (last, point.head) if head and held.volume in head.volumes]
        before = [machine for head in heads if (machine := head.volumes[held.volume].machine) in known]
        for machine in dict.fromkeys([*before, *sorted(known)]):
            if machine not in pools:
                pools[machine] = await _snapshots(node.at(machine))
            if not isinstance(pool := pools[machine], Refused) and held.guid in pool:
                origins[held.volume] = Origin(machine, pool[held.guid])
                break
        else:
            if silent := next((pool for pool in pools.values() if isinstance(pool, Refused)), None):
                raise silent
            why = f"its snapshot of the volume {held.volume} is gone"
            hint = "roll back with --code-only, or to another deploy"
            raise Refused("deploy.data_missing", f"{cannot} to deploy {point.head.deploy}", why, hint)
    return origins


async def _snapshots(node: Node) -> dict[str, str] | Refused:
    """All snapshots on a machine, by guid: promotions move them between namespaces too. Or that it does not answer."""
    try:
        below = await node.datasets.below(node.datasets.root)
    except Refused as refused:
        if refused.code != "machine.unreachable":
            raise
        return refused
    return {dataset.guid: dataset.name for dataset in below if "@" in dataset.name}


def volumes_of(head: Head) -> dict[str, Volume]:
    """All volumes of a head as a manifest says them, also those that its own no longer names."""
    return {name: Volume(v.quota, v.owner, v.mode) for name, v in head.volumes.items()}


async def bytes_by_volume(node: Node, namespace: str) -> dict[str, int]:
    """What the datasets of each volume of the namespace alone hold: those that are, and those of before."""
    within, held = f"{node.datasets.root}/{namespace}", dict[str, int]()
    for dataset in await node.datasets.below(within):
        volume = dataset.name.removeprefix(f"{within}/").partition("/")[0]
        held[volume] = held.get(volume, 0) + dataset.alone
    return {volume: alone for volume, alone in held.items() if "@" not in volume}


async def require_head(node: Node, namespace: str, what: str) -> Head:
    """The head of a namespace, as the store tells it now. Raises Refused `namespace.missing`."""
    head = (await node.records.namespace(namespace)).head
    if head is None:
        raise await missing(node, namespace, what)
    return head


async def require_service(node: Node, namespace: str, service: str, what: str) -> tuple[Head, Service]:
    """Likewise, and a service of it. Raises Refused `service.missing` too."""
    head = await require_head(node, namespace, what)
    return head, service_of(head, service, what)


async def missing(node: Node, namespace: str, what: str) -> Refused:
    """Refused `namespace.missing`, with the namespace that was meant."""
    known = [name for name, record in (await node.records.namespaces()).items() if record.head]
    return no_namespace(namespace, known, what, removed=bool(await node.records.points(namespace)))
