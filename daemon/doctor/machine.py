"""All assumptions of a machine that is up, in the order in which one relies on another."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from daemon.doctor import host, network, running, secrets, serving, storage, store
from daemon.doctor.assumption import Assumption, Finding, examine, told
from daemon.machine import Up
from daemon.meshing import MTU
from daemon.wire import OperationRow, Success

STARTED_AGAIN = "the daemon starts it again by itself; if it does not come, look at its log in the data directory"


async def checked(up: Up, folder: Path, operations: Callable[[], Awaitable[list[OperationRow]]]) -> Success:
    """kind `doctor`: what the daemon of this machine finds."""
    return told(await examine([*host.assumptions(folder), *assumptions(up, operations)], up.node.machine))


def assumptions(up: Up, operations: Callable[[], Awaitable[list[OperationRow]]]) -> list[Assumption]:
    """Those that only a daemon can ask about."""

    async def mirror() -> Finding:
        return store.judge_mirror(up.among.mirror.stale_since)

    def others() -> dict[str, str]:
        now = up.among.mesh.membership
        machines = now.machines.values() if now.cluster.mesh else ()
        return {each.name: each.overlay_ip for each in machines if each.name != now.name}

    instances = partial(running.instances, up.among.mirror, up.node.machine, up.engines)
    return [
        Assumption("pool", partial(storage.pool, up.datasets), "zpool status on the machine"),
        Assumption("snapshots", partial(storage.zfs, up.datasets.abilities), "zpool status on the machine"),
        Assumption("engine", partial(running.engine, up.engines.docker), STARTED_AGAIN),
        Assumption("limits", partial(running.limits, up.engines.docker), STARTED_AGAIN),
        Assumption("forwarding", network.forwarding, "mount /proc"),
        Assumption("mtu", partial(network.mtu, MTU), "ip link shows the machine's interfaces"),
        Assumption("packets", partial(network.packets, others, MTU), "run ployzd as root: it sends ICMP's echoes"),
        *(Assumption(f"port {door.port}", partial(network.door, door), STARTED_AGAIN) for door in up.doors()),
        Assumption("store", partial(store.decides, up.among.kv), store.HINT),
        Assumption("mirror", mirror, store.HINT),
        Assumption("clock", partial(store.clock, up.among.kv), store.HINT),
        *(Assumption(part, partial(serving.holds, part, up.plane.differs), serving.HINT) for part in serving.HOLDS),
        Assumption("secrets", partial(secrets.readable, up.among.mirror, up.vault), secrets.ANEW),
        Assumption("instances", instances, STARTED_AGAIN),
        Assumption("operations", partial(running.operations, operations), "ployzctl op ls --all"),
    ]
