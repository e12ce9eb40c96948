"""A start whose parts are all there: what takes the store goes on once that is in sight, what does not at once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from msgspec import structs

from daemon import parts
from daemon.machine import Up, going_on
from daemon.members import Members
from daemon.undertaking import VERSION
from daemon.wire import Refused

LOOK_AGAIN = 0.1
"""Seconds between looks for a store that does not answer."""
PATIENCE = 5.0
"""Seconds that a start waits for the store before it goes on with what is remembered."""
RESOLVES = 60.0
"""Seconds that a start waits, before it answers, until what was left open is ended."""

log = logging.getLogger("ployzd")


@dataclass
class ComingUp:
    """`resolve` brings operations to their ends; `start` starts what has to run, once the store says what that is.

    The store was `seen` once it is known what the machine was to run.
    """

    up: Up
    resolve: Callable[[], Awaitable[None]]
    start: Callable[[], Awaitable[None]]
    seen: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _resolved: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def begin(self) -> asyncio.Task[None]:
        """Wait until what was left open is ended or carried on, but no longer than some moments where the store is out
        of sight: what is remembered is served then.

        What is returned goes on until everything that is to run does. Raises what it ended with.
        """
        task = going_on("coming up", self._whole())
        await _first(task, self.seen, PATIENCE)
        if self.seen.is_set():
            await _first(task, self._resolved, RESOLVES)
        else:
            await self._serve_remembered()
        return task

    async def _whole(self) -> None:
        """Again from the beginning where the store goes away meanwhile."""
        while True:
            await _reached(self.up.among.members)
            try:
                await self._with_the_store()
                break
            except Refused as refused:
                if refused.code != "store.down":
                    raise
                log.warning("the store is out of sight again: %s", refused.why)
        await self.start()

    async def _with_the_store(self) -> None:
        up, here, store = self.up, self.up.node.machine, self.up.among.store
        await tell(up.among.members, here, up.datasets.root, up.vault.recipient)
        await parts.have_files(store, up.engines.docker, here)
        await parts.have_secrets(store, up.vault, here)
        await up.watching.begin(await up.boot.begin())
        self.seen.set()
        await self.resolve()
        self._resolved.set()
        if not (await up.among.members.cluster()).closed:
            await up.among.moving.tidy()

    async def _serve_remembered(self) -> None:
        try:
            await self.up.watching.begin(frozenset())
        except Refused as refused:
            if refused.code != "store.down":
                raise
            log.warning("nothing is served before the store is in sight: nothing is remembered")


async def _first(task: asyncio.Task[None], event: asyncio.Event, within: float) -> None:
    """Wait for the event, or until the task ends, or for so many seconds. Raises what the task does."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({task, waiting}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()


async def _reached(members: Members) -> None:
    """Wait until the store answers: a machine without it is linked to it some moments after its server is up."""
    told = False
    while True:
        try:
            await members.cluster()
            return
        except Refused as refused:
            if refused.code != "store.down":
                raise
            if not told:
                log.warning("waiting for the store: %s", refused.why)
            told = True
        await asyncio.sleep(LOOK_AGAIN)


async def tell(members: Members, machine: str, root: str, recipient: str) -> None:
    """Have the machine's record say where its data lies, what it runs, and for which key secrets are sealed for it."""
    await members.amend(machine, lambda now: structs.replace(now, root=root, version=VERSION, recipient=recipient))
