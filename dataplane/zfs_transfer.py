"""One snapshot on its way between two machines: `zfs send` and `zfs receive` hold the two ends of one connection.

A snapshot is not there before all of its stream came. Of one that breaks, OpenZFS keeps what came (`receive -s`), with
a token by which the sender goes on from there (`send -t`); zfs-fuse takes it back by itself. So whoever sends a line of
snapshots, each since the one before, loses at most one of them to a connection that breaks.
"""

import os
import socket
from dataclasses import dataclass

from dataplane.dataset import Dataset, StreamProblem, ZfsProblem
from dataplane.zfs import Zfs, require_named
from dataplane.zfs_stream import RECORD, Beginning, peek, problem, told
from runtime.command import CommandError, CommandFailed, flow, run


@dataclass(frozen=True)
class Cargo:
    """What goes: a snapshot by its full name, or what changed since the older one `base`. Where a stream of it broke,
    `left` is the token of what the target has."""

    snapshot: str
    base: str | None = None
    left: str | None = None


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


async def send(cargo: Cargo, line: socket.socket) -> None:
    """Write it to a connection: the rest of it, where the target has some, or all. Raises StreamProblem."""
    try:
        words = await _words(cargo)
        await flow("zfs", "send", *words, sink=os.dup(line.fileno()))
    except CommandError as failure:
        raise StreamProblem(str(failure)) from None


async def _words(cargo: Cargo) -> tuple[str, ...]:
    if cargo.left and await _has_the_rest(cargo.left):
        return ("-t", cargo.left)
    return ("-i", cargo.base, cargo.snapshot) if cargo.base else (cargo.snapshot,)


async def _has_the_rest(left: str) -> bool:
    """Whether what the token tells of is here still, and this ZFS understands it: what a dry run finds out."""
    try:
        await run("zfs", "send", "-n", "-t", left)
    except CommandFailed:
        return False
    return True


async def receive(zfs: Zfs, line: socket.socket, landing: Landing) -> None:
    """Have the snapshot of what comes. Raises StreamProblem where it broke, and the snapshot is not there then: what is
    there came whole, however the program ended. What is left of it otherwise, `Zfs.left` tells.

    ZFS puts an increment wherever its base is, whatever name it is told; so the base is compared before.
    """
    require_named(landing.dataset, landing.by)
    beginning = told(await peek(line, RECORD))
    await require_fits(zfs, beginning, landing)
    if not beginning.base:
        await zfs.make_parents(landing.dataset, landing.by)
    left, keeping = await zfs.left(landing.dataset), ("-s",) if zfs.abilities.resumes else ()
    try:
        await flow("zfs", "receive", *keeping, "-u", landing.snapshot, source=os.dup(line.fileno()))
    except CommandError as failure:
        if not await there(zfs, landing):
            if left and left == await zfs.left(landing.dataset):  # it may never take the rest: it begins anew
                await zfs.give_up(landing.dataset, landing.by)
            raise _brief(problem(failure)) from None
    if not await there(zfs, landing):
        raise StreamProblem(f"all of {landing.snapshot} came, and it is not there")
    made = await zfs.look(landing.dataset) if landing.onto else None
    if made and made.origin != landing.onto:
        raise ZfsProblem(f"{landing.dataset} came as a clone of {made.origin}, not of {landing.onto}")


def _brief(met: BaseException) -> BaseException:
    """Without the advice that `receive -s` gives whoever would go on by hand: the token is of no use to them."""
    return type(met)(str(met).partition("\n")[0])


async def there(zfs: Zfs, landing: Landing) -> Dataset | None:
    """What is called so already. Raises ZfsProblem if it is another one."""
    found = await zfs.look(landing.snapshot)
    if found and found.guid != landing.guid:
        raise ZfsProblem(f"{landing.snapshot} is {found.guid}, not the snapshot {landing.guid} that was to come")
    return found


async def require_fits(zfs: Zfs, beginning: Beginning, landing: Landing) -> None:
    """Raises StreamProblem if it is not what was to come, ZfsProblem if there is nothing that it could be added to.

    What is left of a stream that broke is given up where what comes is not the rest of it.
    """
    wanted = beginning.guid == landing.guid
    if not (wanted and beginning.resumes):
        await zfs.give_up(landing.dataset, landing.by)
    if not wanted:
        raise StreamProblem(f"what comes is {beginning.guid or 'no snapshot'}, and {landing.guid} was to come")
    if beginning.resumes and not await zfs.left(landing.dataset):
        raise StreamProblem(f"what comes is the rest of a stream of which nothing is left in {landing.dataset}")
    dataset = await zfs.look(landing.dataset)
    below = await zfs.below(landing.dataset) if dataset else []
    snapshots = sorted((one for one in below if "@" in one.name), key=lambda one: one.order)
    if any(one.guid == landing.guid for one in snapshots):
        # Though its program is killed, ZFS goes on with all that it has.
        raise StreamProblem(f"{landing.snapshot} came meanwhile, of a stream that broke")
    if not beginning.base:
        if snapshots:
            raise ZfsProblem(f"{landing.dataset} is there already, and what comes is whole")
        if dataset and not beginning.resumes:  # of a stream that broke, which ZFS gives up by itself some moments later
            raise StreamProblem(f"{landing.dataset} is there still, of a stream that broke")
    elif landing.onto:
        await _require_origin(zfs, beginning, landing, dataset)
    elif not snapshots or snapshots[-1].guid != str(beginning.base):
        now = snapshots[-1].name if snapshots else "not there"
        raise ZfsProblem(f"what comes changes {beginning.base}, and the newest of {landing.dataset} is {now}")


async def _require_origin(zfs: Zfs, beginning: Beginning, landing: Landing, dataset: Dataset | None) -> None:
    onto = await zfs.look(landing.onto) if landing.onto else None
    begun = dataset and beginning.resumes and dataset.origin == landing.onto
    if (dataset and not begun) or not onto or onto.guid != str(beginning.base):
        raise ZfsProblem(f"what comes changes {beginning.base}, and {landing.onto} is not that, or was cloned already")
