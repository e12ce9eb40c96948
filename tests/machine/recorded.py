"""The records as the store itself has them: whoever is told of each change, as a daemon is, is told a moment later.

Runs as a program in the machine's namespaces: PYTHON -m tests.machine.recorded DATA-DIR
"""

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from daemon import membership
from daemon.bucket import BUCKET
from daemon.own_server import OwnServer
from dataplane.entry import Entry, StoreDown
from dataplane.kv import Kv
from tests.machine.cluster import HOUSE, Cluster

Records = dict[str, dict[str, Any]]
"""By kind, and each kind by key; both sorted."""


def recorded(cluster: Cluster) -> Records:
    """What the store has just now."""
    program = (sys.executable, "-P", "-m", "tests.machine.recorded", str(cluster.machine / "data"))
    found: Records = {}
    for key, record in sorted(json.loads(cluster.inside("env", f"PYTHONPATH={HOUSE}", *program)).items()):
        found.setdefault(key.partition(".")[0], {})[key] = record
    return found


async def _asked(folder: Path) -> dict[str, Any]:
    now = membership.load(folder / "membership.json")
    assert now, f"there is no machine in {folder}"
    bus = await OwnServer(folder / "store", now).connected()
    try:
        return {key: json.loads(entry.value) for key, entry in (await _all(Kv(bus, BUCKET))).items()}
    finally:
        await bus.close()


async def _all(kv: Kv) -> dict[str, Entry]:
    """A store that lost a machine a moment ago is asked again."""
    async with asyncio.timeout(20):
        while True:
            with suppress(StoreDown):
                return await kv.all()
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_asked(Path(sys.argv[1])))))
