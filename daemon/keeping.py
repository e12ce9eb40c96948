"""Keeps the data plane's processes running: waits for the end of each, costs nothing meanwhile, and starts it again."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dataplane.entry import StoreDown
from runtime.command import CommandError

PAUSES = (0.0, 0.5, 2.0, 8.0, 30.0)
"""Seconds before each start after another; the last one for as long as it keeps ending."""
STEADY = 60.0
"""Seconds that it has to last until its end counts as the first again."""

log = logging.getLogger("ployzd")


@dataclass(frozen=True)
class Kept:
    """A process: `pid` finds the one that runs, `ensure` adopts or starts it."""

    name: str
    pid: Callable[[], Awaitable[int | None]]
    ensure: Callable[[], Awaitable[object]]


async def keep(kept: Kept) -> None:
    """Go on for ever."""
    ends = 0
    while True:
        since = asyncio.get_running_loop().time()
        if pid := await kept.pid():
            await ended(pid)
            if (other := await kept.pid()) and other != pid:
                continue  # another one has taken its place on purpose
        lasted = asyncio.get_running_loop().time() - since
        ends = 0 if lasted > STEADY else ends
        pause = PAUSES[min(ends, len(PAUSES) - 1)]
        log.warning("%s is not running; it is started again in %g seconds", kept.name, pause)
        await asyncio.sleep(pause)
        ends += 1
        try:
            await kept.ensure()
        except (CommandError, StoreDown) as failure:
            log.error("cannot start %s again: %s", kept.name, failure)


async def ended(pid: int) -> None:
    """Wait until a process, a child of ours or not, is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
