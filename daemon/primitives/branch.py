"""branch: a running copy of a namespace, with its data as of one instant, that shares nothing which can be written."""

from collections import Counter
from collections.abc import Collection
from typing import Literal

from msgspec.structs import replace

from daemon import branching, changing
from daemon.change import Change
from daemon.changing.feasible import feasible
from daemon.manifest import parse, show
from daemon.manifest_sets import with_sets
from daemon.node import Node
from daemon.planning import Wanted, plan_change, secrets
from daemon.primitive import By, Part, Told, require
from daemon.records import Newest, Source, Volume
from daemon.seeing import require_head, require_room, require_takes, see, volumes_of
from daemon.wire import Branch, Branched

KIND = "branched"
Plan = Change


def claims(ask: Branch) -> dict[str, Literal["change", "read"]]:
    return {ask.source: "read", ask.target: "change"}


async def plan(ask: Branch, node: Node, by: By) -> Change:
    cannot = f"cannot branch {ask.source}"
    require(ask.source != ask.target, "branch.itself", cannot, "a branch needs a name of its own", "another name")
    source = await require_head(node, ask.source, cannot)
    record = await node.records.namespace(ask.target)
    require(
        record.head is None,
        "namespace.exists",
        cannot,
        f"there is a namespace {ask.target} already",
        f"another name, or ployzctl namespace rm {ask.target}",
    )
    modes = branching.modes(ask, source, cannot)
    there = parse(source.manifest)
    manifest = with_sets(replace(branching.unpublished(there), namespace=ask.target), ask.sets, cannot)
    volumes = {name: volume for name, volume in source.volumes.items() if modes.volumes[name] == "branch"}
    await _require_room(volumes.values(), cannot, node)
    digests, seen = await branching.digests(manifest, source, node), await see(node)
    copied, data = branching.copied(source, volumes, seen, by.operation)
    carries = secrets.carried(source, there, record, manifest, cannot)
    wanted = Wanted(
        manifest=manifest,
        text=show(manifest),
        digests=digests,
        volumes=volumes_of(source),
        data=data,
        copied=copied,
        hooks=branching.hooks(manifest, modes),
        first=branching.cleaners(manifest, modes),
        source=Source(source.namespace, source.deploy, by.at),
        withheld=branching.literal(manifest),
        secrets=secrets.newest(record) | {carried.name: carried.version for carried in carries},
        stays=frozenset(name for name, one in manifest.services.items() if one.place == there.services[name].place),
    )
    change = plan_change(record, wanted, seen, by)
    pauses = branching.pauses(source, volumes, seen) if ask.freeze else ()
    warnings = (*change.warnings, *branching.warnings(there))
    change = replace(
        change,
        pauses=pauses,
        warnings=warnings,
        carries=carries,
        secrets={carried.name: Newest(carried.version, carried=True) for carried in carries},
        tidies=tuple(carried.name for carried in carries),
    )
    return await feasible(change, node)


async def _require_room(copied: Collection[Volume], cannot: str, node: Node) -> None:
    """As much as may be written to the copies, each on the machine that has the volume, which takes something new.

    Raises Refused `pool.full`, `machine.draining`.
    """
    needed = Counter({node.machine: 0})
    for volume in copied:
        needed[volume.machine] += volume.quota or 0
    for machine in sorted(needed):
        await require_room(node.at(machine), cannot, needed[machine])
    machines = await node.members.machines()
    for machine in sorted({volume.machine for volume in copied}):
        require_takes(machines[machine], cannot)


def steps(plan: Change, node: Node) -> list[Part]:
    return changing.steps(plan, node)


async def verify(plan: Change, node: Node, told: Told) -> Branched:
    done, source = await changing.verify(plan, node, told), plan.after.source
    assert source
    pause = 1000 * told.seconds(changing.PAUSE, changing.GO_ON) if plan.pauses else 0.0
    return Branched(
        source.namespace,
        done.namespace,
        done.deploy,
        _consistency(plan),
        pause,
        done.services,
        done.volumes,
        done.routes,
    )


def _consistency(plan: Change) -> Literal["instant", "per-machine", "cluster"]:
    if len(plan.copied) <= 1:
        return "instant"
    return "cluster" if plan.pauses else "per-machine"
