"""An answer on its way to a client: lines of JSON, sent as they come."""

import socket

from aiohttp import web

from daemon import wire
from daemon.wire import Event, Output


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
        try:
            await self.response.write_eof()
        except ConnectionError as error:
            raise Gone from error

    async def _send(self, line: bytes) -> None:
        try:
            if not self.response.prepared:
                await self.response.prepare(self._request)
            await self.response.write(line)
        except ConnectionError as error:
            raise Gone from error


async def upgraded(request: web.Request) -> tuple[web.StreamResponse, socket.socket]:
    """Answer that the connection is a stream of bytes from now on, and return it. Whoever has it closes it.

    The client sends nothing before it has this answer, so nothing of the stream is in our buffers. Raises Gone.
    """
    response = web.StreamResponse(status=101, headers={"Connection": "Upgrade", "Upgrade": "ployz-stream"})
    response.headers["Ployz-Version"] = str(wire.VERSION)
    connection = request.get_extra_info("socket")
    if connection is None or request.transport is None:
        raise Gone
    request.transport.pause_reading()
    try:
        await response.prepare(request)
    except ConnectionError as error:
        raise Gone from error
    stream: socket.socket = connection.dup()
    stream.settimeout(None)  # for the programs that get it; nobody else reads or writes it until it is closed
    return response, stream
