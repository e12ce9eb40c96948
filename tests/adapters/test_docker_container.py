"""Docker itself: what a container is given, what it writes, what it is asked, and the network it joins."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from runtime.instance import EngineProblem, Mount
from runtime.network import Bridge, ensure_network
from tests.adapters.engines import BRIDGE, IMAGE, RealEngine, specification


async def started(real: RealEngine, *command: str, **more: Any) -> str:
    wanted = specification(await real.instances.resolve(IMAGE), *command, **more)
    await real.instances.create(wanted, "op-1")
    await real.instances.start(wanted.id)
    return wanted.id


async def says(real: RealEngine, id: str, *argv: str) -> str:
    ended = await real.instances.run(id, argv, 10)
    assert ended.code == 0, ended.output
    return ended.output.strip()


def test_what_a_container_is_given(real: RealEngine, tmp_path: Path) -> None:
    async def scenario() -> None:
        tmp_path.chmod(0o755)
        (tmp_path / "row").write_text("1")
        os.chown(tmp_path / "row", 999, 999)
        id = await started(
            real,
            "1000",
            entrypoint=("sleep",),
            env={"COLOUR": "blue"},
            user="999:999",
            workdir="/tmp",
            mounts=(Mount(str(tmp_path), "/data"),),
            search=("shop.ployz.internal", "ployz.internal"),
            shm=8 * 1024 * 1024,
            stop_grace=2.5,
        )
        assert await says(real, id, "sh", "-c", "echo $COLOUR; id -u; pwd; cat /data/row") == "blue\n999\n/tmp\n1"
        names = (await says(real, id, "cat", "/etc/resolv.conf")).splitlines()
        assert "search shop.ployz.internal ployz.internal" in names
        assert any(line.startswith("options") and "ndots:2" in line for line in names)
        assert f"{tmp_path}" not in await says(real, id, "env")

    asyncio.run(scenario())


def test_what_the_engine_is_told(real: RealEngine) -> None:
    async def scenario() -> None:
        told = real.raw.inspect_container(await started(real, stop_grace=2.5, shm=8 * 1024 * 1024, search=("x.y",)))
        assert told["Config"]["StopTimeout"] == 3
        host = told["HostConfig"]
        assert (host["ShmSize"], host["Dns"], host["DnsSearch"]) == (8 * 1024 * 1024, [BRIDGE.gateway], ["x.y"])
        assert host["RestartPolicy"]["Name"] == "on-failure"
        assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": str(50 * 2**20), "max-file": "2"}}
        once = real.raw.inspect_container(await started(real, survives=False))
        assert once["HostConfig"]["RestartPolicy"]["Name"] == "no"

    asyncio.run(scenario())


def test_the_network_is_as_asked_or_it_is_said(real: RealEngine) -> None:
    async def scenario() -> None:
        await ensure_network(real.instances.engine, BRIDGE)
        assert len(real.raw.networks(names=[BRIDGE.name])) == 1
        assert Path("/proc/sys/net/ipv4/conf/ploy0").exists()
        with pytest.raises(EngineProblem, match=r"subnet is 10\.210\.1\.0/24"):
            await ensure_network(real.instances.engine, Bridge("10.210.2.0/24", "10.210.2.1", BRIDGE.mtu))

    asyncio.run(scenario())
