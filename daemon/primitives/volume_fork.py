"""fork-volume: one volume as it is now, under another name, in no time and sharing nothing that can be written."""

from typing import Literal

from msgspec.structs import replace

from daemon.node import Node
from daemon.primitive import By
from daemon.volumes import folder, found
from daemon.volumes.cloning import Clone, plan_clone
from daemon.volumes.cloning import steps as steps
from daemon.volumes.cloning import verify as verify
from daemon.wire import VolumeFork

KIND = "volume"
Plan = Clone


def claims(ask: VolumeFork) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "read", ask.to_namespace: "change"}


async def plan(ask: VolumeFork, node: Node, by: By) -> Clone:
    cannot = f"cannot fork {ask.namespace}/{ask.volume}"
    _, volume = await found(ask.namespace, ask.volume, cannot, node)
    source = f"{folder(ask.namespace, ask.volume, node)}/{volume.generation}@{by.operation}"
    fork = replace(volume, name=ask.to_volume, machine=node.machine, generation=by.operation, epoch=1)
    return await plan_clone(source, fork, ask.to_namespace, node, by)
