"""What happens when an operation meets another's claim: wait for it, resolve it first, or be refused."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from daemon import problems
from daemon.claims import excluding
from daemon.peers.others import Fate
from daemon.records import CLUSTER, Access, Claim, Token
from daemon.store import Store
from daemon.wire import How, Refused

LOOK_AGAIN = 0.1
"""Seconds between looks at a claim that is waited for."""
SHORT = 20.0
"""Seconds that a claim on the cluster is waited for by whoever did not say: what needs one takes a moment."""


class Holders(Protocol):
    """Who knows what has become of the operations that hold claims."""

    async def fate(self, claim: Claim) -> Fate:
        """What its machine says. One that does not run is brought to its end first.

        Raises Refused `machine.unreachable` where that machine does not answer.
        """

    async def take_over(self, claim: Claim) -> Fate:
        """What came of bringing it to its end from here, because its machine does not answer. Raises Refused where it
        cannot be taken over."""


@dataclass(frozen=True)
class Contention:
    """Claims are taken in the order of their names, so that two operations never wait for each other.

    `reopened` has a store take changes again that takes none although nobody moves it, and tells whether it did.
    """

    store: Store
    holders: Holders
    reopened: Callable[[], Awaitable[bool]]

    async def take(self, wanted: Mapping[str, Access], claim: Claim, how: How) -> dict[str, Token]:
        """All the claims, or Refused `claim.held` once `how.wait` seconds are over, `claim.stuck`, `claim.unreachable`.

        The caller frees what was taken.
        """
        until = asyncio.get_running_loop().time() + (max(how.wait, SHORT) if CLUSTER in wanted else how.wait)
        taken = {}
        for name, kind in sorted(wanted.items()):
            ours = msgspec.structs.replace(claim, kind=kind)
            taken[name] = await self._one(name, ours, until, take_over=how.take_over)
        return taken

    async def held(self, wanted: Mapping[str, Access]) -> list[str]:
        """What whoever took these claims now would meet, in words."""
        claims = await self.store.claims()
        met = ((name, excluding(claims.get(name, ()), kind)) for name, kind in sorted(wanted.items()))
        return [f"{name}: {_doing(holder)}" for name, holder in met if holder]

    async def _one(self, namespace: str, claim: Claim, until: float, *, take_over: bool) -> Token:
        while isinstance(answer := await self._claimed(namespace, claim, until), Claim):
            match await self._fate(namespace, claim, answer, take_over=take_over):
                case "over":
                    await self.store.free(namespace, answer.operation)
                case "stuck":
                    raise _stuck(namespace, answer)
                case "running" if asyncio.get_running_loop().time() >= until:
                    raise _held(namespace, claim, answer)
                case "running":
                    await asyncio.sleep(LOOK_AGAIN)
        return answer

    async def _claimed(self, namespace: str, claim: Claim, until: float) -> Token | Claim:
        """A store that moves is waited for too; on its way it is out of sight for a moment."""
        moves = False
        while True:
            try:
                return await self.store.claim(namespace, claim)
            except Refused as refused:
                if refused.code == "store.closed" and await self.reopened():
                    continue
                moves = moves or refused.code == "store.closed"
                waits = moves and refused.code in ("store.closed", "store.down")
                if not waits or asyncio.get_running_loop().time() >= until:
                    raise
            await asyncio.sleep(LOOK_AGAIN)

    async def _fate(self, namespace: str, claim: Claim, holder: Claim, *, take_over: bool) -> Fate:
        try:
            return await self.holders.fate(holder)
        except Refused as refused:
            if refused.code != "machine.unreachable":
                raise
            if not take_over:
                raise _unreachable(namespace, claim, holder, refused) from refused
        return await self.holders.take_over(holder)


def _stuck(namespace: str, holder: Claim) -> Refused:
    return Refused(
        "claim.stuck",
        f"cannot change {namespace}",
        f"the operation {holder.operation} ({holder.primitive} by {holder.who}) is stuck in it",
        f"ployzctl op resume {holder.operation}",
    )


def _unreachable(namespace: str, claim: Claim, holder: Claim, refused: Refused) -> Refused:
    return Refused(
        "claim.unreachable",
        problems.cannot(claim.primitive, [namespace]),
        f"{_doing(holder)}, on {holder.machine}, which does not answer: {refused.why}",
        "--take-over, if that machine is gone for longer",
    )


def _held(namespace: str, claim: Claim, holder: Claim) -> Refused:
    return Refused(
        "claim.held",
        problems.cannot(claim.primitive, [namespace]),
        _doing(holder),
        f"--wait SECONDS, or ployzctl op show {holder.operation} -f",
    )


def _doing(holder: Claim) -> str:
    doing = "being changed" if holder.kind == "change" else "being read"
    return f"it is {doing} by {holder.who} since {holder.since} ({holder.primitive}, operation {holder.operation})"
