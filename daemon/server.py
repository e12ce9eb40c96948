"""The daemon's door: HTTP on a Unix socket, each answer lines of JSON that end in exactly one Success or Failure."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from aiohttp import web

from daemon import asking
from daemon.callers import Caller, caller, require_may_change
from daemon.listening import leave, listen
from daemon.replying import Gone, Reply, upgraded
from daemon.wire import (
    Call,
    Error,
    Event,
    Exec,
    Failure,
    How,
    Input,
    Look,
    Mutation,
    OpAbort,
    OpResume,
    Output,
    Problem,
    Run,
    Success,
    encode,
)

log = logging.getLogger(__name__)

Tell = Callable[[Event], None]
Emit = Callable[[Event | Output], Awaitable[None]]
Change = Callable[[Tell], Awaitable[Success]]

STREAMS_END_WITHIN = 0.5
"""Seconds that `close` leaves to answers that are on their way."""
STATUS = {"request.unknown": 404, "request.too_large": 413, "request.invalid": 400, "caller.viewer": 403}
"""The HTTP status of what is refused at the door. Every other answer is 200, and its last line counts."""


class Answers(Protocol):
    """Who answers. Each verb raises wire.Problem for the other endings; anything else that it raises is a bug."""

    async def mutate(self, request: Mutation, how: How, who: Caller, tell: Tell) -> Success:
        """Carry a mutation out. It goes on when the client has gone."""

    async def operate(self, request: OpResume | OpAbort, how: How, tell: Tell) -> Success:
        """Resume or abort an operation, likewise."""

    async def look(self, request: Look, emit: Emit) -> Success:
        """Tell something. It is cancelled when the client has gone."""

    async def bring(self, operation: str, stream: socket.socket) -> None:
        """Give an operation the connection for its bytes, and wait until it needs it no more."""

    async def exec(self, request: Exec, inputs: AsyncIterator[Input], emit: Emit) -> Success:
        """Run a command in an instance. `inputs` end with the client's; it is cancelled when the client has gone."""

    async def run(self, request: Run, who: Caller, inputs: AsyncIterator[Input], emit: Emit) -> Success:
        """Run a command in an instance of its own, likewise."""


class Server:
    """Listens on a socket and has its questions answered. `viewers` are the uids that may only look."""

    def __init__(self, answers: Answers, viewers: frozenset[int] = frozenset()) -> None:
        self._answers, self._viewers = answers, viewers
        self._changes: set[asyncio.Task[bytes]] = set()
        self._runner: web.AppRunner | None = None
        self._path, self._inode = Path(), 0

    async def start(self, path: Path) -> None:
        """Serve at `path`. Raises Refused `daemon.running` and `daemon.socket`."""
        listener = listen(path)
        self._path, self._inode = path, path.stat().st_ino
        application = web.Application()
        application.router.add_post("/v1/stream/{operation}", self._stream)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(
            application, handler_cancellation=True, access_log=None, shutdown_timeout=STREAMS_END_WITHIN
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def close(self) -> None:
        """Take no more questions and cut the answers that are still on their way. What was begun goes on."""
        if self._runner:
            leave(self._path, self._inode)
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        reply = Reply(request)
        try:
            await self._respond(request, reply)
        except Gone:
            log.info("the client that asked for %s went away", request.path)
        return reply.response

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Hand the connection itself over: what goes through it from here on is the operation's, and no HTTP."""
        reply = Reply(request)
        try:
            require_may_change(self._caller(request), "open a stream")
            response, stream = await upgraded(request)
        except Problem as problem:
            await reply.end(encode(Failure(problem.error)), status=STATUS.get(problem.code, 200))
            return reply.response
        try:
            await self._answers.bring(request.match_info["operation"], stream)
        finally:
            stream.close()
            if request.transport:
                request.transport.abort()
        return response

    async def _respond(self, request: web.Request, reply: Reply) -> None:
        body = asking.Body(request.content)
        try:
            who = self._caller(request)
            call = await _asked(request, body)
            if not isinstance(call.request, Look):
                require_may_change(who, asking.kind_of(call.request))
        except Problem as problem:
            await reply.end(encode(Failure(problem.error)), status=STATUS.get(problem.code, 200))
        else:
            await reply.end(await self._last(call, who, body, reply))

    def _caller(self, request: web.Request) -> Caller:
        connection = request.get_extra_info("socket")
        if connection is None:
            raise Gone
        return caller(connection, self._viewers)

    async def _last(self, call: Call, who: Caller, body: asking.Body, reply: Reply) -> bytes:
        request = call.request
        if isinstance(request, Mutation):
            return await self._changed(partial(self._answers.mutate, request, call.how, who), call, reply)
        if isinstance(request, OpResume | OpAbort):
            return await self._changed(partial(self._answers.operate, request, call.how), call, reply)
        if isinstance(request, Exec):
            return await _ending(self._answers.exec(request, body.inputs(), reply.emit), call)
        if isinstance(request, Run):
            return await _ending(self._answers.run(request, who, body.inputs(), reply.emit), call)
        return await _ending(self._answers.look(request, reply.emit), call)

    async def _changed(self, change: Change, call: Call, reply: Reply) -> bytes:
        """Tell what happens while the client listens. The change is a task of its own: it outlives the client."""
        told: asyncio.Queue[Event | None] = asyncio.Queue()
        task = asyncio.create_task(_ending(change(told.put_nowait), call))
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        task.add_done_callback(lambda _: told.put_nowait(None))
        while event := await told.get():
            await reply.emit(event)
        return _stopping(call) if task.cancelled() else task.result()


async def _asked(request: web.Request, body: asking.Body) -> Call:
    if (request.method, request.path) == ("POST", "/v1/call"):
        return await body.call()
    folder, _, kind = request.path.rpartition("/")
    if (request.method, folder) == ("GET", "/v1"):
        return Call(asking.look(kind, request.query))
    raise asking.unknown(f"nobody answers {request.method} {request.path}")


async def _ending(answer: Awaitable[Success], call: Call) -> bytes:
    """The last line. An exception that is no Problem is a bug: the log has it in full, the client in short."""
    try:
        return encode(await answer)
    except Problem as problem:
        operation: str | None = getattr(problem, "operation", None)
        return encode(Failure(problem.error, operation or call.how.op_id))
    except Gone:
        raise
    except Exception as bug:
        kind = asking.kind_of(call.request)
        log.exception("a bug while answering %s", kind)
        why = f"the daemon has a bug ({type(bug).__name__}: {bug}), and its log says where"
        error = Error("bug", "error", f"cannot answer {kind}", why, "report it with the end of the daemon's log")
        return encode(Failure(error, call.how.op_id))


def _stopping(call: Call) -> bytes:
    """The last line to somebody whose operation goes down with the daemon."""
    what = f"cannot tell how {asking.kind_of(call.request)} ends"
    why = "the daemon is being stopped, and resolves what is open when it starts again"
    return encode(Failure(Error("daemon.stopping", "error", what, why, "ployzctl op ls"), call.how.op_id))
