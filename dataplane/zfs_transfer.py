"""One snapshot on its way between two machines: `zfs send` and `zfs receive` hold the two ends of one connection.

A stream is nothing before all of it came: what is received of one that breaks, ZFS takes back by itself. So whoever
sends a line of snapshots, each since the one before, loses at most one of them to a connection that breaks.
"""

import os
import socket
from dataclasses import dataclass

from dataplane.dataset import Dataset, StreamProblem, ZfsProblem
from dataplane.zfs import Zfs, require_named
from dataplane.zfs_stream import RECORD, Beginning, peek, problem, told
from runtime.command import CommandError, flow


@dataclass(frozen=True)
class Landing:
    """What is to come: a snapshot by its full name, of that guid, for the operation `by`; the first one of a clone of
    the snapshot `onto`, if so."""

    snapshot: str
    guid: str
    by: str
    onto: str | None = None

    @property
    def dataset(self) -> str:
        return self.snapshot.partition("@")[0]


async def send(snapshot: str, base: str | None, line: socket.socket) -> None:
    """Write a snapshot, or what changed since the older one `base`, to a connection. Raises StreamProblem."""
    since = ("-i", base) if base else ()
    try:
        await flow("zfs", "send", *since, snapshot, sink=os.dup(line.fileno()))
    except CommandError as failure:
        raise StreamProblem(str(failure)) from None


async def receive(zfs: Zfs, line: socket.socket, landing: Landing) -> None:
    """Have the snapshot of what comes. Raises StreamProblem where it broke, and nothing of it is there then: what is
    there came whole, however the program ended.

    ZFS puts an increment wherever its base is, whatever name it is told; so the base is compared before.
    """
    require_named(landing.dataset, landing.by)
    beginning = told(await peek(line, RECORD))
    await require_fits(zfs, beginning, landing)
    if not beginning.base:
        await zfs.make_parents(landing.dataset, landing.by)
    try:
        await flow("zfs", "receive", "-u", landing.snapshot, source=os.dup(line.fileno()))
    except CommandError as failure:
        if not await there(zfs, landing):
            raise problem(failure) from None
    if not await there(zfs, landing):
        raise StreamProblem(f"all of {landing.snapshot} came, and it is not there")
    made = await zfs.look(landing.dataset) if landing.onto else None
    if made and made.origin != landing.onto:
        raise ZfsProblem(f"{landing.dataset} came as a clone of {made.origin}, not of {landing.onto}")


async def there(zfs: Zfs, landing: Landing) -> Dataset | None:
    """What is called so already. Raises ZfsProblem if it is another one."""
    found = await zfs.look(landing.snapshot)
    if found and found.guid != landing.guid:
        raise ZfsProblem(f"{landing.snapshot} is {found.guid}, not the snapshot {landing.guid} that was to come")
    return found


async def require_fits(zfs: Zfs, beginning: Beginning, landing: Landing) -> None:
    """Raises StreamProblem if it is not what was to come, ZfsProblem if there is nothing that it could be added to."""
    if beginning.is_tar or beginning.guid != landing.guid:
        raise StreamProblem(f"what comes is {beginning.guid or 'no snapshot'}, and {landing.guid} was to come")
    dataset = await zfs.look(landing.dataset)
    if not beginning.base:
        if dataset and any("@" in one.name for one in await zfs.below(landing.dataset)):
            raise ZfsProblem(f"{landing.dataset} is there already, and what comes is whole")
        if dataset:  # of a stream that broke; it holds nothing, and ZFS gives it up some moments later
            raise StreamProblem(f"{landing.dataset} is there still, of a stream that broke")
        return
    if landing.onto:
        await _require_origin(zfs, beginning, landing, dataset)
        return
    below = await zfs.below(landing.dataset) if dataset else []
    newest = max((one for one in below if "@" in one.name), key=lambda one: one.order, default=None)
    if not newest or newest.guid != str(beginning.base):
        now = newest.name if newest else "not there"
        raise ZfsProblem(f"what comes changes {beginning.base}, and the newest of {landing.dataset} is {now}")


async def _require_origin(zfs: Zfs, beginning: Beginning, landing: Landing, dataset: Dataset | None) -> None:
    onto = await zfs.look(landing.onto) if landing.onto else None
    if dataset or not onto or onto.guid != str(beginning.base):
        raise ZfsProblem(f"what comes changes {beginning.base}, and {landing.onto} is not that, or was cloned already")
