"""Whether a machine is there at all: it takes a connection over the mesh, or refuses it."""

import asyncio
import time

from daemon.records import Machine
from dataplane.layout import PORTS

ANSWERS = 1.0
"""Seconds until a machine that does not answer counts as out of reach."""
KNOCKED = PORTS[0].leaves
"""A port that every machine answers on its address in the mesh, if only by refusing."""


async def knock(machine: Machine) -> float | None:
    """Milliseconds until it takes, or refuses, a connection; None if it does neither."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(ANSWERS):
            _, writer = await asyncio.open_connection(machine.overlay_ip, KNOCKED)
            writer.close()
    except ConnectionRefusedError:
        pass
    except OSError:  # a time-out is one too
        return None
    return (time.monotonic() - began) * 1000


async def is_there(machine: Machine) -> bool:
    return await knock(machine) is not None
