"""Answers on their way to a client: lines of JSON, the last of which is a Success or a Failure, whatever happens."""

import logging
from collections.abc import Awaitable

from aiohttp import web

from daemon import asking, wire
from daemon.wire import Call, Error, Event, Failure, Output, Problem, Success

log = logging.getLogger(__name__)


class Gone(Exception):
    """The client does not listen any more."""


class Reply:
    """One answer to one client. Its head is sent with its first line."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response = web.StreamResponse(headers={"Ployz-Version": str(wire.VERSION)})
        self.response.content_type = "application/x-ndjson"

    async def emit(self, line: Event | Output) -> None:
        """Send a line. Raises Gone."""
        await self._send(wire.encode(line))

    async def end(self, last: bytes, *, status: int = 200) -> None:
        """Send the last line; the status counts only if it is also the first. Raises Gone."""
        if not self.response.prepared:
            self.response.set_status(status)
        await self._send(last)
        await self.response.write_eof()

    async def _send(self, line: bytes) -> None:
        try:
            if not self.response.prepared:
                await self.response.prepare(self._request)
            await self.response.write(line)
        except ConnectionError as error:
            raise Gone from error


async def ending(answer: Awaitable[Success], call: Call) -> bytes:
    """The last line. An exception that is no Problem is a bug: the log has it in full, the client in short."""
    try:
        return wire.encode(await answer)
    except Problem as problem:
        operation: str | None = getattr(problem, "operation", None)
        return wire.encode(Failure(problem.error, operation or call.how.op_id))
    except Gone:
        raise
    except Exception as bug:
        kind = asking.kind_of(call.request)
        log.exception("a bug while answering %s", kind)
        why = f"the daemon has a bug ({type(bug).__name__}: {bug}), and its log says where"
        error = Error("bug", "error", f"cannot answer {kind}", why, "report it with the end of the daemon's log")
        return wire.encode(Failure(error, call.how.op_id))


def stopping(call: Call) -> bytes:
    """The last line to somebody whose operation goes down with the daemon."""
    what = f"cannot tell how {asking.kind_of(call.request)} ends"
    why = "the daemon is being stopped, and resolves what is open when it starts again"
    return wire.encode(Failure(Error("daemon.stopping", "error", what, why, "ployzctl op ls"), call.how.op_id))
