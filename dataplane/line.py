"""A connection between two machines that programs hold: the kernel notices when it breaks, counts it, and paces it."""

import asyncio
import socket
import struct

from dataplane.dataset import StreamProblem

CONNECTS = 5.0
"""Seconds that a machine may take to take a connection."""
KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 3),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5),
)
"""Whoever reads notices after 8 seconds that the other machine is gone (tcp(7))."""
STANDS = 60
"""Seconds that nothing of what is sent may be taken. A pool that is busy takes nothing for a while, and is not gone."""
PACING, FASTEST = 47, 2**32 - 1
"""SO_MAX_PACING_RATE (socket(7)): bytes a second, of which the largest number is no limit."""
RECEIVED = 128
"""Where tcp_info has tcpi_bytes_received (linux/tcp.h)."""


async def connected(address: str, port: int, rate: int | None = None) -> socket.socket:
    """A connection to a machine, that sends at most `rate` bytes a second. Raises StreamProblem."""
    line = socket.socket()
    line.settimeout(0)
    try:
        async with asyncio.timeout(CONNECTS):
            await asyncio.get_running_loop().sock_connect(line, (address, port))
        watched(line)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STANDS * 1000)
        if rate:
            line.setsockopt(socket.SOL_SOCKET, PACING, struct.pack("=I", min(rate, FASTEST)))
    except OSError as failure:  # a time-out is one too
        line.close()
        why = failure.strerror or f"no answer within {CONNECTS:g} seconds"
        raise StreamProblem(f"no connection to {address}: {why}") from None
    except BaseException:
        line.close()
        raise
    return line


def watched(line: socket.socket) -> None:
    """Have the kernel break it when the other machine is gone, whoever holds it."""
    for level, option, value in KEEPALIVE:
        line.setsockopt(level, option, value)


def received(line: socket.socket) -> int:
    """The bytes that have come on it until now."""
    told = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int(struct.unpack_from("=Q", told, RECEIVED)[0])
