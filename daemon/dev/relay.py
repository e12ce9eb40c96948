"""The way into a machine: connections accepted on a listening socket of the host go on inside the machine.

`python -m daemon.dev.relay FOLDER FD HOST PORT` runs in the machine's namespaces with a socket that was bound
outside of them; FOLDER only names whose it is. It lives and dies with the machine.
"""

import asyncio
import socket
import sys
from asyncio import StreamReader, StreamWriter

PIECE = 65536


async def relay(listening: socket.socket, host: str, port: int) -> None:
    """Carry bytes both ways until cancelled. While nobody answers at the target, connections are closed."""

    async def carry(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            inner = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()
            return
        await _both_ways((reader, writer), inner)

    async with await asyncio.start_server(carry, sock=listening) as server:
        await server.serve_forever()


Connection = tuple[StreamReader, StreamWriter]


async def _both_ways(outer: Connection, inner: Connection) -> None:
    """Each direction ends by itself, so that a half-closed connection still brings its answer."""
    try:
        async with asyncio.TaskGroup() as ways:
            ways.create_task(_pass_on(outer[0], inner[1]))
            ways.create_task(_pass_on(inner[0], outer[1]))
    except* OSError:
        outer[1].transport.abort()
        inner[1].transport.abort()
    finally:
        outer[1].close()
        inner[1].close()


async def _pass_on(reader: StreamReader, writer: StreamWriter) -> None:
    while piece := await reader.read(PIECE):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


if __name__ == "__main__":
    _, _, fd, host, port = sys.argv
    asyncio.run(relay(socket.socket(fileno=int(fd)), host, int(port)))
