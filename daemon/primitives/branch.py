"""branch: a running copy of a namespace, with its data as of one instant, that shares nothing which can be written."""

from typing import Literal

from msgspec.structs import replace

from daemon import branching, changing
from daemon.change import Change
from daemon.manifest import parse, show
from daemon.manifest_sets import with_sets
from daemon.node import Node
from daemon.planning import Wanted, plan_change
from daemon.primitive import By, Part, Told, require
from daemon.records import Source
from daemon.seeing import require_head, require_room, see, volumes_of
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
    manifest = with_sets(replace(branching.unpublished(there), namespace=ask.target), ask.sets)
    volumes = {name: volume for name, volume in source.volumes.items() if modes.volumes[name] == "branch"}
    await require_room(node, cannot, sum(volume.quota or 0 for volume in volumes.values()))
    datasets = {name: branching.dataset(node, source, name) for name in volumes}
    wanted = Wanted(
        manifest=manifest,
        text=show(manifest),
        digests=await branching.digests(manifest, source, node),
        volumes=volumes_of(source),
        data={name: f"{dataset}@{by.operation}" for name, dataset in datasets.items()},
        copied=tuple(sorted(datasets.values())),
        hooks=branching.hooks(manifest, modes),
        source=Source(source.namespace, source.deploy, by.at),
        withheld=branching.literal(manifest),
    )
    seen = await see(node)
    change = plan_change(record, wanted, seen, by)
    pauses = branching.writers(source, volumes) & seen.up if ask.freeze else ()
    warnings = (*change.warnings, *branching.warnings(there))
    return replace(change, pauses=tuple(sorted(pauses)), warnings=warnings)


def steps(plan: Change, node: Node) -> list[Part]:
    return changing.steps(plan, node)


async def verify(plan: Change, node: Node, told: Told) -> Branched:
    done, source = await changing.verify(plan, node, told), plan.after.source
    assert source
    pause = 1000 * told.seconds(changing.PAUSE, changing.GO_ON) if plan.pauses else 0.0
    return Branched(
        source.namespace, done.namespace, done.deploy, "instant", pause, done.services, done.volumes, done.routes
    )
