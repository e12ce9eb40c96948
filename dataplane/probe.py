"""How large a packet can be that gets to another machine and back, found by echoes which nobody on the way may divide.

That is said of the packets in a tunnel. Those that carry them may well be divided: what counts is what arrives.
"""

import asyncio
import random
import socket
import struct
from collections.abc import Collection
from contextlib import suppress

LEAST = 68
"""Bytes: what every network takes (RFC 791)."""
IP, ICMP = 20, struct.Struct("!BBHHH")
"""Bytes of a header of IP; an echo's type, code, checksum, id and number (RFC 792)."""
REQUEST, REPLY = 8, 0
DISCOVER, PROBE = 10, 3
"""IP_MTU_DISCOVER, and never to divide a packet, whatever was learnt of the way (ip(7))."""
TRIES, PAUSE = 3, 0.3
"""How often each size is tried, and seconds between: by the loss of one a sender learns to divide what carries it."""
AT_ONCE = 16
"""Sizes that are tried together."""


async def largest(address: str, most: int) -> int | None:
    """Bytes of the largest packet that gets there and back, `most` of them if the interface takes no more; None if
    there is no answer.

    That `most` do is known after one round trip, that nobody answers after a second, and anything else after four.
    Raises PermissionError unless it is root who asks.
    """
    passes, fails, sizes = 0, most + 1, {LEAST, most}
    while sizes:
        passes = max({passes, *await _answered(address, sizes)})
        if not passes:
            return None
        fails = min((size for size in sizes if size > passes), default=fails)
        sizes = between(passes, fails)
    return passes


def between(passes: int, fails: int) -> set[int]:
    """Sizes that part what is between the two; none if they are neighbours."""
    return set(range(passes, fails, max((fails - passes) // AT_ONCE, 1))) - {passes}


async def _answered(address: str, sizes: Collection[int]) -> set[int]:
    """Those of the sizes to which an answer came, of the same size, before the largest was answered, or all tries."""
    id, heard = random.getrandbits(16), set[int]()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as line:
        line.setsockopt(socket.IPPROTO_IP, DISCOVER, PROBE)
        line.settimeout(0)
        try:
            line.connect((address, 0))
        except OSError:
            return heard  # no way leads there
        for _ in range(TRIES):
            for size in set(sizes) - heard:
                with suppress(OSError):  # it may tell of one before
                    line.send(echo(id, size))
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await _hear(line, id, heard, max(sizes))
                    break
    return heard & set(sizes)


async def _hear(line: socket.socket, id: int, heard: set[int], enough: int) -> None:
    while enough not in heard:
        try:
            packet = await asyncio.get_running_loop().sock_recv(line, 2**16)
        except OSError:
            continue  # somebody on the way says that it goes no further
        heard.update(answer(id, packet))


def echo(id: int, size: int) -> bytes:
    """A request that makes a packet of that size, and bears it as its number."""
    total = (REQUEST << 8) + id + size
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return ICMP.pack(REQUEST, 0, checksum, id, size) + bytes(size - IP - ICMP.size)


def answer(id: int, packet: bytes) -> set[int]:
    """The size of the request that a packet answers whole; none if it is anything else."""
    kind, _, _, to, size = ICMP.unpack_from(packet, (packet[0] & 0xF) * 4)
    return {size} if (kind, to, len(packet)) == (REPLY, id, size) else set()
