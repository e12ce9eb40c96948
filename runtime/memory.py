"""How much memory the machine has, and has left."""

import asyncio
from pathlib import Path

MEMINFO = Path("/proc/meminfo")


class Memory:
    """Asks the kernel."""

    async def memory(self) -> int:
        """The bytes that could be used without swapping. Raises OSError."""
        return told(await asyncio.to_thread(MEMINFO.read_text), "MemAvailable")

    async def size(self) -> int:
        """The bytes that there are. Raises OSError."""
        return told(await asyncio.to_thread(MEMINFO.read_text), "MemTotal")


def told(meminfo: str, what: str) -> int:
    """The bytes that proc_meminfo(5) tells of that name. Raises ValueError where it does not say."""
    for line in meminfo.splitlines():
        key, _, value = line.partition(":")
        if key == what:
            return int(value.split()[0]) * 1024
    raise ValueError(f"the kernel does not tell its {what}")
