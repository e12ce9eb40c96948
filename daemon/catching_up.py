"""What other machines commit is served here too: also by a machine that was away when its flip was made."""

import asyncio
import logging
from typing import Protocol

from daemon import projection
from daemon.mirror import Mirror
from daemon.node import ServingProblem
from daemon.projection import Heads
from daemon.wire import Refused

AGAIN = 1.0
"""Seconds until what is not served after all is tried once more."""

log = logging.getLogger("ployzd")


class Plane(Protocol):
    """daemon.serving, as seen from here."""

    def applied(self) -> Heads | None:
        """The committed heads that are served; None if none could be yet."""

    async def apply(self) -> None: ...


class CatchingUp:
    """Follows the heads as the mirror tells them. A flip that is made here needs nothing of it."""

    def __init__(self, mirror: Mirror, plane: Plane) -> None:
        self._mirror, self._plane, self._news = mirror, plane, asyncio.Event()
        mirror.listen(self._hear)

    def _hear(self, key: str) -> None:
        if key.startswith("namespaces."):
            self._news.set()

    async def follow(self) -> None:
        """Go on for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._behind():
                await self._apply()
                if self._behind():
                    await asyncio.sleep(AGAIN)

    def _behind(self) -> bool:
        return projection.heads_of(self._mirror.namespaces()) != self._plane.applied()

    async def _apply(self) -> None:
        """While the store is away, what was applied before is: then this machine is still behind."""
        try:
            await self._plane.apply()
        except (ServingProblem, Refused) as failure:
            log.warning("what was committed is not served here yet: %s", failure)
