"""store move: the records go to other machines; all that was acknowledged is there, and nobody writes elsewhere."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from msgspec import Struct, structs

from daemon.closing import answering, close, stuck
from daemon.moves import Move
from daemon.node import Node
from daemon.planning.holders import holders
from daemon.primitive import By, Commit, Part, Step, Together, Told, confirm, require
from daemon.records import CLUSTER
from daemon.wire import Refused, StoreMachines, StoreMove

KIND = "store"
CANNOT = "cannot move the cluster's records"
LOOKS = 50
"""How often it is looked whether a machine has gone over, every tenth of a second."""


class Plan(Struct, frozen=True):
    """`over` are the machines that go over, the one that carries it out last; `stuck` operations are carried along.

    Without a `move` the store is where it belongs.
    """

    operation: str
    machine: str
    before: tuple[str, ...]
    move: Move | None = None
    over: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def claims(ask: StoreMove) -> dict[str, Literal["change", "read"]]:
    return {CLUSTER: "change"}


async def plan(ask: StoreMove, node: Node, by: By) -> Plan:
    cluster, machines = await node.members.cluster(), await node.members.machines()
    there = await answering(machines, node)
    wanted = holders(cluster.store, machines, there, ask.without)
    if set(wanted) == set(cluster.store):
        return Plan(by.operation, node.machine, cluster.store)
    why = f"no machine that answers is left to keep them: {', '.join(sorted(machines))} are there"
    require(wanted, "store.nowhere", CANNOT, why, "ployzctl machine ls")
    left = await stuck(node, there, by.operation, CANNOT)
    moved = structs.replace(
        cluster, store=wanted, incarnation=cluster.incarnation + 1, moved=by.operation, claims=(), settled=None
    )
    away = tuple(
        f"{name} does not answer, and looks for the records when it is back" for name in machines.keys() - there
    )
    # The calls of all others go over those who keep the old store, and this machine's are the last.
    others = sorted(there - {node.machine}, key=lambda name: (name in cluster.store, name))
    over = (*others, node.machine)
    return Plan(by.operation, node.machine, cluster.store, Move(moved, machines), over, left, away)


def steps(plan: Plan, node: Node) -> list[Part]:
    if plan.move is None:
        return []
    return _Way(plan, plan.move, node).parts()


class _Way:
    """The way of the records from one store to another."""

    def __init__(self, plan: Plan, move: Move, node: Node) -> None:
        self.plan, self.move, self.node = plan, move, node

    def parts(self) -> list[Part]:
        plan, move, node = self.plan, self.move, self.node
        moves, new = node.moves, ", ".join(move.cluster.store)
        return [
            Step("let nobody begin anything", do=self.close, undo=self.open),
            Together(tuple(self._prepared(name) for name in plan.over)),
            Step(f"form the new store on {new}", do=lambda: moves.form(move)),
            Step(f"seal the store on {', '.join(plan.before)}", do=self.seal, undo=self.unseal, restores=True),
            Step("carry all records over", do=lambda: moves.carry(move)),
            Step("compare both stores", do=lambda: moves.compare(move)),
            Commit(
                f"commit that {new} {'keeps' if len(move.cluster.store) == 1 else 'keep'} the records",
                do=lambda: moves.commit(move, plan.operation),
                settle=self.settle,
            ),
            Together(tuple(self._going(name) for name in plan.over[:-1])),
            Step("go over to the new store", do=self.go),
            Together(tuple(self._gone(name) for name in plan.over)),
        ]

    async def close(self) -> None:
        await close(self.node, self.plan.operation, self.plan.stuck, CANNOT)

    async def open(self) -> None:
        """Whoever was taken over while it sealed may do that now: then this cannot be written, and is tried again."""
        await self.unseal()
        await self.node.members.open(self.plan.operation)

    async def seal(self) -> None:
        """Should another machine have taken this back meanwhile, nobody else would ever open it again."""
        await self.node.moves.seal()
        if not (await self.node.members.cluster()).closed:
            await self.node.moves.unseal()
            cannot, why = "cannot seal the store", f"{self.plan.operation} is over"
            raise Refused("operation.over", cannot, why, f"ployzctl op show {self.plan.operation}")

    def _prepared(self, name: str) -> Step:
        moves, move, operation = self.node.at(name).moves, self.move, self.plan.operation

        async def prepare() -> None:
            await moves.prepare(move, self.node.moves.password(operation))

        async def discard() -> None:
            await _unless_away(lambda: moves.discard(move))

        return Step(f"start {name}'s server of the new store", do=prepare, undo=discard, machine=name)

    def _going(self, name: str) -> Step:
        """One that is away by now, or went over before its answer came, is looked at after this machine has gone."""
        moves = self.node.at(name).moves
        return Step(
            f"send {name} to the new store", do=lambda: _unless_away(lambda: moves.turn(self.move)), machine=name
        )

    async def settle(self) -> bool:
        """Asked of those that the new store is for, because whoever carries it out may be gone. All of them have to be
        prepared before it is formed, and what was formed most of them tell together. Raises Refused
        `machine.unreachable` where none of them answers: then nobody knows."""
        names, last = self.move.cluster.store, None
        there = []
        for name in sorted(names, key=lambda name: (name != self.plan.machine, name)):
            try:
                if not await self.node.at(name).moves.prepared(self.move):
                    return False
                there.append(name)
            except Refused as refused:
                if refused.code != "machine.unreachable":
                    raise
                last = refused
        if last and not there:
            cannot, why = "cannot tell where the records are", f"only {', '.join(names)} could say: {last.why}"
            raise Refused(last.code, cannot, why, "the same again once one of them is back")
        return await self.node.at(there[0]).moves.settle(self.move, self.plan.operation)

    async def unseal(self) -> None:
        """By whoever answers: nobody has gone over yet, and each can."""
        for name in reversed(self.plan.over):
            try:
                await self.node.at(name).moves.unseal()
                break
            except Refused as refused:
                if refused.code != "machine.unreachable" or name == self.plan.over[0]:
                    raise

    async def go(self) -> None:
        await _unless_away(lambda: self.node.moves.turn(self.move))
        await _gone_over(self.node, self.move)
        await self.node.members.cluster()

    def _gone(self, name: str) -> Step:
        """One that does not come over in time looks for the store by itself, and tidies up after that."""
        there = self.node.at(name)

        async def tidy() -> None:
            if await _gone_over(there, self.move):
                await _unless_away(there.moves.tidy)

        return Step(f"remove {name}'s server of the old store", do=tidy, machine=name)


async def release(plan: Plan, node: Node) -> None:
    """Have a store that was sealed be written again, so that the operation can be taken over by this machine.

    It was formed before it was sealed, so the new one tells whether it is the one. Nobody else is told yet that this is
    somebody else's operation now, but for whom that has to be asked: should it be cut here, all is as it was.
    """
    if not plan.move or not await node.moves.sealed():
        return
    way, keeps = _Way(plan, plan.move, node), node.machine in plan.move.cluster.store
    if await (node.moves.settle(plan.move, plan.operation) if keeps else way.settle()):
        await node.moves.turn(plan.move)
        await _gone_over(node, plan.move)
    else:
        await node.moves.unseal()


async def _gone_over(node: Node, move: Move) -> bool:
    for _ in range(LOOKS):
        try:
            if await node.moves.turned(move):
                return True
        except Refused as refused:
            if refused.code != "machine.unreachable":
                raise
        await asyncio.sleep(0.1)
    return False


async def _unless_away(effort: Callable[[], Awaitable[None]]) -> None:
    """What is asked of a machine that finds out by itself should it not hear this."""
    try:
        await effort()
    except Refused as refused:
        if refused.code != "machine.unreachable":
            raise


async def verify(plan: Plan, node: Node, told: Told) -> StoreMachines:
    now = await node.members.cluster()
    if plan.move:
        confirm(now.incarnation >= plan.move.cluster.incarnation, "the records are still those of the old store")
    return StoreMachines(sorted(now.store), len(now.store))
