"""What happens when an operation meets another's claim: wait for it, resolve it first, or be refused."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from daemon import problems
from daemon.records import Claim, Token
from daemon.store import Store
from daemon.wire import Refused

LOOK_AGAIN = 0.1
"""Seconds between looks at a claim that is waited for."""


class Holders(Protocol):
    """Who knows what has become of the operations of this machine."""

    def is_running(self, id: str) -> bool: ...

    async def resolve(self, id: str) -> bool:
        """Bring an operation that does not run to its end; False if it is stuck. One that is over is fine."""


@dataclass(frozen=True)
class Contention:
    """Claims are taken in the order of their names, so that two operations never wait for each other."""

    store: Store
    holders: Holders
    machine: str

    async def take(
        self, wanted: Mapping[str, Literal["change", "read"]], claim: Claim, wait: float
    ) -> dict[str, Token]:
        """All the claims, or Refused `claim.held` once `wait` seconds are over. The caller frees what was taken."""
        until = asyncio.get_running_loop().time() + wait
        return {name: await self._one(name, msgspec.structs.replace(claim, kind=kind), until)
                for name, kind in sorted(wanted.items())}  # fmt: skip

    async def _one(self, namespace: str, claim: Claim, until: float) -> Token:
        while isinstance(answer := await self.store.claim(namespace, claim), Claim):
            if answer.machine == self.machine and not self.holders.is_running(answer.operation):
                await self._settle(namespace, answer)
            elif asyncio.get_running_loop().time() >= until:
                raise _held(namespace, claim, answer)
            else:
                await asyncio.sleep(LOOK_AGAIN)
        return answer

    async def _settle(self, namespace: str, holder: Claim) -> None:
        """Its operation does not run any more: resolve it, then its claim is free."""
        if not await self.holders.resolve(holder.operation):
            raise Refused(
                "claim.stuck",
                f"cannot change {namespace}",
                f"the operation {holder.operation} ({holder.primitive} by {holder.who}) is stuck in it",
                f"ployzctl op resume {holder.operation}",
            )
        await self.store.free(namespace, holder.operation)


def _held(namespace: str, claim: Claim, holder: Claim) -> Refused:
    doing = "being changed" if holder.kind == "change" else "being read"
    return Refused(
        "claim.held",
        problems.cannot(claim.primitive, [namespace]),
        f"it is {doing} by {holder.who} since {holder.since} ({holder.primitive}, operation {holder.operation})",
        f"--wait SECONDS, or ployzctl op show {holder.operation} -f",
    )
