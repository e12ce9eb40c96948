"""Who answers what: changes by the operations, looks by what can be seen."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import msgspec
from msgspec import structs

from daemon.all_operations import AllOperations
from daemon.bucket import STORE_DOWN
from daemon.callers import Caller
from daemon.draining import Draining
from daemon.emitting import Tell, streamed
from daemon.executing import Begins, attend
from daemon.image_rows import images
from daemon.keepers import Keepers
from daemon.looking import Looking
from daemon.meshing import Meshing
from daemon.operation_ids import require_id
from daemon.operations import Operations
from daemon.primitive import require
from daemon.primitives.run import OneShot
from daemon.streaming import Streaming
from daemon.survey import Survey
from daemon.whereabouts import Whereabouts
from daemon.wire import (
    Doctor,
    Event,
    Exec,
    How,
    ImageLs,
    Input,
    Invited,
    Look,
    MachineDrain,
    MachineInspect,
    MachineLosses,
    MachineLs,
    MachineRm,
    MachineRtt,
    MeshDestroy,
    MeshStatus,
    Mutation,
    OpAbort,
    OpLs,
    OpResume,
    OpShow,
    Output,
    Problem,
    Run,
    Success,
)

Emit = Callable[[Event | Output], Awaitable[None]]


@dataclass(frozen=True)
class Answering:
    """Sends each request to who answers it, changes once it is `ready`. Implements `daemon.server.Answers`."""

    operations: Operations
    all_operations: AllOperations
    looking: Looking
    streaming: Streaming
    doctor: Callable[[], Awaitable[Success]]
    survey: Survey
    engine: Begins
    keepers: Keepers
    draining: Draining
    whereabouts: Whereabouts
    ready: asyncio.Event

    async def mutate(self, request: Mutation, how: How, who: Caller, tell: Tell) -> Success:
        if isinstance(request, MeshDestroy) and request.force:
            return await self.survey.abandoned()
        try:
            return await self._mutate(request, how, who, tell)
        except Problem as failure:
            raise await self.whereabouts.explained(failure) from failure

    async def _mutate(self, request: Mutation, how: How, who: Caller, tell: Tell) -> Success:
        if how.op_id and self.operations.story(require_id(how.op_id)):
            await self.ready.wait()  # it has begun: it is not refused any more
        self._require_ready()
        if isinstance(request, MachineRm):
            return await self.keepers.remove(request, how, who.name, tell)
        if isinstance(request, MachineDrain):
            return await self.draining.drain(request, how, who.name, tell)
        done = await self.operations.mutate(request, how, who.name, tell)
        return _with_token(done, self.survey.mesh) if done.kind == "invitation" else done

    def _require_ready(self) -> None:
        """What was committed here is not known for sure before the store was seen once."""
        why = "this machine has started, and the cluster's records have not been in sight since"
        require(self.ready.is_set(), "store.down", "cannot change anything", why, STORE_DOWN)

    async def operate(self, request: OpResume | OpAbort, how: How, tell: Tell) -> Success:
        self._require_ready()
        if isinstance(request, OpAbort):
            if self.draining.abort(request.id):
                return Success("aborted", {"id": request.id}, request.id)
            return await self.all_operations.abort(request.id)
        return await self.operations.resume(request.id, tell, take_over=how.take_over)

    async def look(self, request: Look, emit: Emit) -> Success:
        match request:
            case OpLs():
                return await self.all_operations.ls(all=request.all)
            case OpShow():
                return await streamed(partial(self.all_operations.show, request.id, follow=request.follow), emit)
            case ImageLs():
                machines = self.looking.mirror.machines()
                return await images(request.machine, machines, self.operations.means.engine.node)
            case Doctor():
                return await self.doctor()
            case MachineLosses():
                return await self.keepers.losses(request.machine)
            case MeshStatus() | MachineLs() | MachineInspect() | MachineRtt():
                return await self.survey.look(request)
            case _:
                return await self.looking.look(request, emit)

    async def bring(self, operation: str, stream: socket.socket) -> None:
        await self.streaming.bring(operation, stream)

    async def exec(self, request: Exec, inputs: AsyncIterator[Input], emit: Emit) -> Success:
        return await self.looking.exec(request, inputs, emit)

    async def run(self, request: Run, who: Caller, inputs: AsyncIterator[Input], emit: Emit) -> Success:
        self._require_ready()

        async def talk(plan: OneShot) -> dict[str, int]:
            return {"code": await attend(self.engine, plan.specification.id, request, inputs, emit)}

        return await self.operations.pass_by(request, who.name, talk)


def _with_token(done: Success, mesh: Meshing) -> Success:
    """No journal has the token: only who is answered here gets it."""
    invited = msgspec.convert(done.result, Invited)
    told = structs.replace(invited, token=mesh.token(invited))
    return structs.replace(done, result=msgspec.to_builtins(told))
