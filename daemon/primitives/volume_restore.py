"""volume restore: a snapshot of a volume becomes a volume of its own, also where its namespace was removed."""

from typing import Literal

from daemon.node import Node
from daemon.primitive import By
from daemon.records import Volume
from daemon.volumes import folder, named, search
from daemon.volumes.cloning import Clone, plan_clone
from daemon.volumes.cloning import steps as steps
from daemon.volumes.cloning import verify as verify
from daemon.wire import Refused, VolumeRestore

KIND = "volume"
Plan = Clone


def claims(ask: VolumeRestore) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "read", ask.to_namespace: "change"}


async def plan(ask: VolumeRestore, node: Node, by: By) -> Clone:
    there, source = await _snapshot(ask, node)
    head = (await node.records.namespace(ask.namespace)).head
    like = head.volumes.get(ask.volume) if head else None
    layout = (like.quota, like.owner, like.mode) if like else (None, None, None)
    volume = Volume(ask.to_volume, there.machine, by.operation, 1, *layout)
    return await plan_clone(source, volume, ask.to_namespace, there, by)


async def _snapshot(ask: VolumeRestore, node: Node) -> tuple[Node, str]:
    """By the name that somebody gave it, or the one that `volume snapshots` shows; with the machine that has it."""

    async def look(there: Node) -> str | None:
        if one := await named(ask.snapshot, ask.namespace, ask.volume, there):
            return one.name
        below = await there.datasets.below(folder(ask.namespace, ask.volume, there))
        return next((one.name for one in below if one.name.endswith(f"@{ask.snapshot}")), None)

    if found := await search(ask.namespace, ask.volume, node, look):
        return found
    cannot, hint = f"cannot restore {ask.namespace}/{ask.volume}@{ask.snapshot}", "ployzctl volume snapshots"
    raise Refused("snapshot.missing", cannot, "there is no such snapshot", f"{hint} {ask.namespace}/{ask.volume}")
