"""Nobody begins anything: for what goes on only while nothing else does, because all else relies on what it changes.

And somebody begins again, where the store takes nothing any more although nobody wants that.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress

from daemon.node import Node
from daemon.primitive import require
from daemon.records import Machine
from daemon.wire import Refused
from dataplane.entry import StoreDown
from runtime.command import CommandError

AGAIN = "the same again once they are over"


async def answering(machines: Mapping[str, Machine], node: Node) -> set[str]:
    """Those that answer just now; who asks does."""
    others = [name for name in machines if name != node.machine]
    told = await asyncio.gather(*(node.mesh.answers(name) for name in others))
    return {node.machine, *(name for name, answers in zip(others, told, strict=True) if answers)}


async def stuck(node: Node, there: Collection[str], operation: str, cannot: str) -> tuple[str, ...]:
    """The operations that hold claims and do not run on a machine that is `there`: they are left as they are.

    Raises Refused `store.busy` while one runs.
    """
    held = (await node.members.claims()).values()
    open = {claim.operation: claim for claims in held for claim in claims if claim.operation != operation}
    at_work = {name: await node.at(name).mesh.at_work() for name in {c.machine for c in open.values()} & set(there)}
    busy = [one for one, claim in open.items() if one in at_work.get(claim.machine, ())]
    require(not busy, "store.busy", cannot, f"operations are under way: {', '.join(sorted(busy))}", AGAIN)
    return tuple(sorted(open))


async def close(node: Node, operation: str, stuck: Collection[str], cannot: str) -> None:
    """Nobody claims anything from now on, and whoever has since the plan is found. Raises Refused `store.busy`."""
    await node.members.close(operation)
    held = {claim.operation for claims in (await node.members.claims()).values() for claim in claims}
    busy = held - {operation, *stuck}
    require(not busy, "store.busy", cannot, f"operations are under way: {', '.join(sorted(busy))}", AGAIN)


async def reopened(node: Node) -> bool:
    """Have a store written to again that was sealed for a move which is over; whether that was so.

    A seal may come late, after others have taken its move back, and whoever sent it be lost before they look. It is the
    record that says whether a move is under way, and as long as the store is sealed no other move can write there that
    it begins: so it is read once it is known that the store is sealed, not before.
    """
    with suppress(Refused, StoreDown, CommandError):
        if await node.moves.sealed() and not (await node.members.cluster()).closed:
            await node.moves.unseal()
            return True
    return False
