"""What is seen to as machines come and go: that they open what is sealed, and that the right ones keep the records."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import msgspec
from msgspec import Struct, structs

from daemon.belonging import Members
from daemon.closing import answering
from daemon.draining import WAIT, Draining
from daemon.emitting import Tell, streamed
from daemon.meshing import GATHER, Meshing
from daemon.operation_ids import new_id
from daemon.operations import Operations
from daemon.planning.holders import holders
from daemon.primitive import require
from daemon.primitives.machine_rm import require_accepted
from daemon.volumes.losses import losses
from daemon.wire import (
    Call,
    Event,
    Failure,
    Forgo,
    How,
    Loss,
    Losses,
    MachineDrain,
    MachineLost,
    MachineRemoved,
    MachineRm,
    Preview,
    PreviewStep,
    Problem,
    Refused,
    SecretRotate,
    StoreMove,
    Success,
    encode,
    problem,
)
from dataplane.calls import CallFailed, Calls, Question

REMOVE = "remove"
"""What a machine is asked by another: to remove the one that asks."""
SILENCE = 7.0
"""Seconds without a sign of life until a machine that was asked counts as gone."""

log = logging.getLogger("ployzd")


class _Ending(Struct):
    ok: bool


@dataclass
class Keepers:
    mesh: Meshing
    members: Members
    operations: Operations
    calls: Calls
    draining: Draining
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def answer(self) -> None:
        """Answer other machines from now on."""
        here = self.mesh.membership.name
        await self.calls.answer(f"svc.{here}.{GATHER}", self._gather)
        await self.calls.answer(f"svc.{here}.{REMOVE}", self._remove)

    async def remove(self, request: MachineRm, how: How, who: str, tell: Tell) -> Success:
        """Move all off the machine that is there, the store too where it has any of it; then remove it. Raises Problem.

        Each is an operation of its own. As long as something cannot be moved, nothing is.
        """
        if how.preview:
            return await self._shown(request, how, who, tell)
        if not (how.op_id and self.operations.story(how.op_id)):
            await self._require_removable(request, who, tell)
            there = await self._is_there(request.machine)
            if there:
                await self._resolve(request.machine)
                await self._empty(request, how, who, tell)
            else:
                await self._give_up(request, who, tell)
                await self._resolve(request.machine, lost=True)
                await self._forgo(request, how, who, tell)
            await self._settle((request.machine,), who, tell)
        if request.machine == self.mesh.membership.name:
            return await self._removed_by_another(request, how, tell)
        return await self.operations.mutate(request, how, who, tell)

    async def _shown(self, request: MachineRm, how: How, who: str, tell: Tell) -> Success:
        """The first of the operations that it takes."""
        await self._require_removable(request, who, tell)
        there = await self._is_there(request.machine)
        then = [f"then {request.machine} is removed"]
        if await self._misplaced((request.machine,)):
            then = ["then the records are moved off it", *then]
        if there and await self.draining.burdens(request.machine):
            shown = await self.draining.preview(MachineDrain(request.machine), how, who, tell)
        elif not there and (lost := await self._lost(request.machine)):
            shown = await self._shown_forgone(request, lost, how, who, tell)
        elif len(then) > 1:
            shown = await self.operations.mutate(StoreMove((request.machine,)), how, who, tell)
            then = then[1:]
        elif request.machine == self.mesh.membership.name:
            return await self._removed_by_another(request, how, tell)
        else:
            return await self.operations.mutate(request, how, who, tell)
        after = [f"{each}, by an operation of its own" for each in then]
        return structs.replace(shown, warnings=[*shown.warnings, *after])

    async def _is_there(self, machine: str) -> bool:
        """One that was lost is so for good, whether or not it answers again."""
        if machine == self.mesh.membership.name:
            return True
        now, _ = await self.members.machine(machine)
        return not (now and now.state == "lost") and await self.mesh.answers(machine)

    async def _empty(self, request: MachineRm, how: How, who: str, tell: Tell) -> None:
        """Raises Refused `machine.occupied` before anything is moved, if something cannot be."""
        machine = request.machine
        if not await self.draining.burdens(machine):
            return
        planned = await self.draining.planned(machine, who)
        stays = [
            f"{one} cannot be moved: {no.why or no.what}" for one, no in planned.items() if isinstance(no, Refused)
        ]
        hint = "namespace rm for them, or a deploy that places them elsewhere"
        require(not stays, "machine.occupied", f"cannot remove {machine}", "; ".join(stays), hint)
        await self.operations.mutate(MachineDrain(machine), How(op_id=new_id()), who, tell)
        await self.draining.empty(machine, how, who, tell)

    async def _shown_forgone(self, request: MachineRm, lost: list[Loss], how: How, who: str, tell: Tell) -> Success:
        """What is lost, and what the namespaces that lose it go on from."""
        steps = list[PreviewStep]()
        for namespace in sorted({one.namespace for one in lost if one.current}):
            shown = await self.operations.mutate(Forgo(namespace, request.machine), how, who, tell)
            steps += msgspec.convert(shown.result, Preview).steps
        told = Preview("machine.rm", steps, len(steps))
        return Success("preview", msgspec.to_builtins(told), None, [f"lost: {one}" for one in lost])

    async def _resolve(self, machine: str, *, lost: bool = False) -> None:
        """Have each operation of a machine brought to its end that holds a claim: there, or from here if it is `lost`;
        then also those of others, which may have waited for it.

        One that is stuck stays so; one that runs keeps the machine until it is over.
        """
        for name, claims in (await self.members.claims()).items():
            for claim in claims:
                if lost or claim.machine == machine:
                    gone = lost and claim.machine == machine
                    with suppress(Problem):
                        ended = await (self.operations.take_over(claim) if gone else self.operations.fate(claim))
                        if ended == "over":
                            await self.operations.means.store.free(name, claim.operation)

    async def losses(self, machine: str) -> Success:
        """kind `losses`: what would be lost with a machine."""
        found = await self._lost(machine)
        return Success("losses", msgspec.to_builtins(Losses(machine, await self._is_there(machine), found)))

    async def _lost(self, machine: str) -> list[Loss]:
        """Raises Refused `machine.missing`."""
        machines, node = await self.members.machines(), self.operations.means.engine.node
        why = f"there is no machine {machine}"
        require(machine in machines, "machine.missing", f"cannot tell what is lost with {machine}", why)
        return await losses(machine, node, await answering(machines, node))

    async def _give_up(self, request: MachineRm, who: str, tell: Tell) -> None:
        """Have nobody wait for a machine any more, which may have a claim on the cluster itself. Raises Refused
        `machine.data` before anything is done, as long as nobody has said that what it alone has may be lost."""
        await self._accepted(request)
        if (await self.members.machines())[request.machine].state not in ("lost", "leaving"):
            how = How(op_id=new_id(), take_over=True)
            await self.operations.mutate(MachineLost(request.machine), how, who, tell)

    async def _forgo(self, request: MachineRm, how: How, who: str, tell: Tell) -> None:
        """Have every namespace go on that had data on a machine which is lost. What was stuck for that machine ends by
        itself once it is lost, and is waited for."""
        for namespace in sorted({one.namespace for one in await self._accepted(request) if one.current}):
            own = How(op_id=new_id(), wait=max(how.wait, WAIT), take_over=True)
            await self.operations.mutate(Forgo(namespace, request.machine), own, who, tell)

    async def _accepted(self, request: MachineRm) -> list[Loss]:
        """What is lost with a machine. Raises Refused `machine.data` unless somebody has said that all of it may be."""
        found = await self._lost(request.machine)
        require_accepted(found, request, f"cannot remove {request.machine}")
        return found

    async def _settle(self, without: tuple[str, ...], who: str, tell: Tell) -> None:
        """Have the store where it belongs: an operation of its own, if there is anything to do. Raises Problem."""
        async with self._one_at_a_time:
            if await self._misplaced(without):
                await self.operations.mutate(StoreMove(without), How(op_id=new_id()), who, tell)

    async def _misplaced(self, without: tuple[str, ...]) -> bool:
        cluster, machines = await self.members.cluster(), await self.members.machines()
        return cluster.mesh and set(holders(cluster.store, machines, machines, without)) != set(cluster.store)

    async def _require_removable(self, request: MachineRm, who: str, tell: Tell) -> None:
        """Raises what its removal is refused for, but for what is about to change: what is there, who keeps the
        records, and who is asked."""
        if request.machine == self.mesh.membership.name:
            await self._other(request)
        try:
            await self.operations.mutate(request, How(preview=True), who, tell)
        except Refused as refused:
            changes = {"machine.here", "machine.store"}
            if request.force or await self._is_there(request.machine):
                changes |= {"machine.occupied", "machine.data"}
            if refused.code not in changes:
                raise

    # ------------------------------------------------------------------------------------- asked of another machine

    async def _removed_by_another(self, request: MachineRm, how: How, tell: Tell) -> Success:
        """Nobody can remove themselves: their keys are refused before it is done. Another machine does it, and has this
        one know, on its way, that it is a cluster of its own: that is the last that is heard of it here."""
        here, operation = self.mesh.membership.here, how.op_id or new_id()
        other = await self._other(request)
        call = encode(Call(request, structs.replace(how, op_id=None if how.preview else operation)))
        asked = asyncio.create_task(self._ask(other, call, tell))
        left = asyncio.create_task(self.mesh.left.wait())
        try:
            await asyncio.wait({asked, left}, return_when=asyncio.FIRST_COMPLETED)
            if asked.done() and not asked.exception():
                return asked.result()
            if left.done():
                removed = MachineRemoved(here.id, here.name, fenced=True)
                return Success("machine_removed", msgspec.to_builtins(removed), operation)
            return await asked
        finally:
            asked.cancel()
            left.cancel()

    async def _other(self, request: MachineRm) -> str:
        """Raises Refused `machine.last`, `machine.unreachable`."""
        now, cannot = self.mesh.membership, f"cannot remove {request.machine}"
        names = sorted(now.machines.keys() - {now.name}, key=lambda name: (name not in now.cluster.store, name))
        why = f"{now.name} is the only machine"
        require(names, "machine.last", cannot, why, "ployzctl mesh destroy")
        for name in names:
            if await self.mesh.answers(name):
                return name
        why = f"another machine would have to do it, and none answers: {', '.join(names)}"
        raise Refused("machine.unreachable", cannot, why, "ployzctl mesh destroy --force, to leave without a word")

    async def _ask(self, other: str, call: bytes, tell: Tell) -> Success:
        def heard(line: bytes) -> None:
            tell(msgspec.json.decode(line, type=Event))

        try:
            answer = await self.calls.request(f"svc.{other}.{REMOVE}", call, SILENCE, heard)
        except CallFailed as failure:
            why, hint = f"{other} was asked to, and its answer did not come: {failure}", "ployzctl machine ls"
            raise Problem("machine.unanswered", "cannot tell whether this machine was removed", why, hint) from failure
        if msgspec.json.decode(answer, type=_Ending).ok:
            return msgspec.json.decode(answer, type=Success)
        raise problem(msgspec.json.decode(answer, type=Failure).error)

    async def _remove(self, question: Question) -> bytes:
        call = msgspec.json.decode(question.data, type=Call)
        here = self.mesh.membership.name
        if not isinstance(call.request, MachineRm) or call.request.machine == here:
            raise ValueError(f"{here} was asked to carry out {call.request}")

        async def emit(event: Event) -> None:
            await question.say(encode(event))

        who = f"somebody on {call.request.machine}"
        try:
            removed = partial(self.remove, call.request, call.how, who)
            return encode(await streamed(removed, emit))
        except Problem as failure:
            return encode(Failure(failure.error, call.how.op_id))

    async def _gather(self, _: Question) -> bytes:
        """A machine has come, and is in whether or not it opens what is sealed, and the store is where it belongs.

        It is asked while the store is where it was: once that has moved, nobody waits for this any more.
        """
        for effort in (self._open, partial(self._settle, ())):
            try:
                await effort("a machine that has come", _nobody)
            except Problem as failure:
                log.warning("not all that was to be done for a machine that has come is done: %s", failure)
        return b""

    async def _open(self, who: str, tell: Tell) -> None:
        """Have what is sealed be sealed for all: an operation of its own, if there is any to do. Raises Problem."""
        async with self._one_at_a_time:
            shown = await self.operations.mutate(SecretRotate(), How(preview=True), who, tell)
            if shown.result["steps"]:
                await self.operations.mutate(SecretRotate(), How(op_id=new_id()), who, tell)


def _nobody(_: Event) -> None:
    """Nobody listens: the journal has it."""
