"""Processes of the host as instances, for tests. Inside dev/sandbox only, where everything ends with the test."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.host.engine import IMAGE, Host
from runtime.host.group import Group, hierarchy
from tests.adapters.engines import BRIDGE


@contextmanager
def real_host(dns: str | None = None) -> Iterator[Host]:
    """An engine on a bridge that is there already; in the end nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="ph"))
    groups = hierarchy(Path("/proc/self/mountinfo").read_text()) / folder.name
    host = Host(folder / "data" / "host", BRIDGE, groups, dns, (folder / "data",))
    host.adopt()
    try:
        yield host
    finally:
        asyncio.run(_ended(host))
        shutil.rmtree(folder)


async def _ended(host: Host) -> None:
    for found in await host.all():
        await host.remove(found.id)
    await Group(host.groups).remove()


__all__ = ["IMAGE", "Host", "real_host"]
