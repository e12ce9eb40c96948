"""Where the store is, as machines tell each other without it: whoever was away while it moved finds it so.

Each machine answers, on the mesh and to machines alone, what it goes by. Only what was committed is gone by, and each
incarnation comes after the one before: so the newest that anybody tells of is right, and can be gone by at once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
import msgspec
from aiohttp import web
from msgspec import Struct

from daemon.belonging import Members
from daemon.membership import Membership
from daemon.mirror import Mirror
from daemon.records import Cluster, Machine
from daemon.wire import Problem, Refused
from dataplane.entry import StoreDown
from runtime.command import CommandError

WHERE = 51824
"""Of TCP: where a machine tells others what it goes by."""
PATH = "/v1/where"
ANSWERS = 1.0
"""Seconds until a machine that does not answer is passed over."""
PAUSE = 1.0
"""Seconds between looks, while the store is out of sight or closed."""
LINGERS = 10
"""How many looks a server stays that this machine does not go by: others may still be on their way over it."""

log = logging.getLogger("ployzd")


class Where(Struct, frozen=True):
    """What a machine goes by."""

    cluster: Cluster
    machines: dict[str, Machine]


class Member(Protocol):
    """daemon.meshing, as seen from here."""

    membership: Membership

    async def turn(self, cluster: Cluster, machines: dict[str, Machine]) -> None: ...


@dataclass
class Whereabouts:
    """`others` tells of which stores this machine has a server besides that which it goes by; `tidy` removes those."""

    mesh: Member
    mirror: Mirror
    members: Members
    others: Callable[[], list[str]]
    tidy: Callable[[], Awaitable[None]]
    _runner: web.AppRunner | None = field(default=None, init=False)

    async def answer(self) -> None:
        """Tell others from now on. Raises OSError if somebody else listens there."""
        application = web.Application()
        application.router.add_get(PATH, self._told)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.mesh.membership.here.overlay_ip, WHERE).start()

    async def close(self) -> None:
        """Tell nobody any more."""
        if self._runner:
            await self._runner.cleanup()

    async def _told(self, _: web.Request) -> web.Response:
        now = self.mesh.membership
        return web.Response(body=msgspec.json.encode(Where(now.cluster, now.machines)))

    async def missing(self) -> list[str]:
        """Those who keep the records and do not answer just now, be it without a store."""
        now = self.mesh.membership
        keepers = [now.machines[name] for name in now.cluster.store if name in now.machines and name != now.name]
        told = await asyncio.gather(*map(_asked, keepers))
        return [machine.name for machine, where in zip(keepers, told, strict=True) if not where]

    async def explained(self, failure: Problem) -> Problem:
        """The failure; one of the store names who of its machines is missing."""
        if failure.code != "store.down" or not (missing := await self.missing()):
            return failure
        keepers = ", ".join(self.mesh.membership.cluster.store)
        why = f"{failure.why}; of {keepers}, which keep the records, no answer comes from {', '.join(missing)}"
        named = type(failure)(failure.code, failure.what, why, failure.hint)
        named.operation = failure.operation
        return named

    async def follow(self) -> None:
        """Look for a newer store whenever this machine's is out of sight or closed, for ever.

        And remove what a move left here that nobody could say so any more.
        """
        left, since = list[str](), 0
        while True:
            await asyncio.sleep(PAUSE)
            known = self.mirror.cluster()
            if self.mirror.stale_since or (known and known.closed):
                await self.look()
            since = since + 1 if (others := self.others()) and others == left else 0
            left = others
            if since >= LINGERS:
                await self._tidy()

    async def _tidy(self) -> None:
        """No move is under way: the store itself says that it is not closed."""
        try:
            if not (await self.members.cluster()).closed:
                await self.tidy()
        except (CommandError, StoreDown, Refused) as failure:
            log.warning("what is left of other stores stays for now: %s", failure)

    async def look(self) -> None:
        """Ask everybody once, and go by the newest store that anybody goes by."""
        now = self.mesh.membership
        others = [machine for name, machine in now.machines.items() if name != now.name]
        told = [where for where in await asyncio.gather(*map(_asked, others)) if where]
        newest = max(told, key=lambda where: where.cluster.incarnation, default=None)
        if newest and newest.cluster.incarnation > now.cluster.incarnation:
            log.warning("the store has moved to %s, and is gone by from now on", ", ".join(newest.cluster.store))
            try:
                await self.mesh.turn(newest.cluster, newest.machines)
                await self.tidy()
            except (CommandError, StoreDown) as failure:
                log.error("cannot go by it yet, and try again: %s", failure)


async def _asked(machine: Machine) -> Where | None:
    limit = aiohttp.ClientTimeout(ANSWERS)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.get(f"http://{machine.overlay_ip}:{WHERE}{PATH}") as response,
        ):
            return msgspec.json.decode(await response.read(), type=Where)
    except (aiohttp.ClientError, OSError, msgspec.MsgspecError):  # a time-out is an OSError
        return None
