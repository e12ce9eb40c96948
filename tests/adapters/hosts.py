"""Processes of the host as instances, for tests. Inside dev/sandbox only, where everything ends with the test."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.docker import Docker
from runtime.engines import Engines
from runtime.host.engine import IMAGE, Host
from runtime.host.group import Group, control_groups
from runtime.host.systemd import is_init
from runtime.standstill import Standstills
from tests.adapters.engines import BRIDGE


@contextmanager
def real_host(dns: str | None = None) -> Iterator[Host]:
    """An engine on a bridge that is there already; in the end nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="ph"))
    groups = control_groups(folder, systemd=is_init())
    host = Host(folder / "data" / "host", BRIDGE, groups, dns, (folder / "data",), systemd=is_init())
    host.adopt()
    try:
        yield host
    finally:
        asyncio.run(_ended(host))
        shutil.rmtree(folder)


def both(docker: Docker, host: Host) -> Engines:
    """What a machine has: both engines as one."""
    return Engines(docker, host, Standstills(host.folder.parent / "standstill.log"))


async def _ended(host: Host) -> None:
    for found in await host.all():
        await host.remove(found.id)
    if not host.systemd:
        await Group(host.groups).remove()


__all__ = ["IMAGE", "Host", "both", "real_host"]
