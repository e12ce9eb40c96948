"""fork-volume: one volume as it is now, under another name, in no time and sharing nothing that can be written."""

from typing import Literal

from msgspec.structs import replace

from daemon.node import Node
from daemon.primitive import By
from daemon.volumes import found
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
    head, volume, there = await found(ask.namespace, ask.volume, cannot, node)
    source = f"{head.dataset(ask.volume, there.datasets.root)}@{by.operation}"
    return await plan_clone(source, replace(volume, name=ask.to_volume), ask.to_namespace, there, by)
