"""How much memory the machine has left."""

import asyncio
from pathlib import Path

MEMINFO = Path("/proc/meminfo")


class Memory:
    """Asks the kernel."""

    async def memory(self) -> int:
        """The bytes that could be used without swapping. Raises OSError."""
        return available(await asyncio.to_thread(MEMINFO.read_text))


def available(meminfo: str) -> int:
    """The bytes that proc_meminfo(5) calls available. Raises ValueError where it does not say."""
    for line in meminfo.splitlines():
        key, _, value = line.partition(":")
        if key == "MemAvailable":
            return int(value.split()[0]) * 1024
    raise ValueError("the kernel does not say how much memory is available")
