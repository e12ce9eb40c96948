"""Docker itself: what a container is given, what it writes, what it is asked, and the network it joins."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from runtime.instance import Check, EngineProblem, Mount, NotReady
from runtime.network import Bridge, ensure_network
from tests.adapters.engines import BRIDGE, IMAGE, RealEngine, real_engine, specification


@pytest.fixture(scope="module")
def real() -> Iterator[RealEngine]:
    with real_engine() as engine:
        yield engine


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


def test_logs(real: RealEngine) -> None:
    async def scenario() -> None:
        id = await started(real, "sh", "-c", "echo one; echo two >&2; seq -s, 1 9000; exit 0", survives=False)
        await real.instances.ended(id, 10)
        lines = [line async for line in real.instances.logs(id)]
        assert {(stream, said) for stream, _, said in lines} >= {("stdout", b"one"), ("stderr", b"two")}
        assert max(len(said) for _, _, said in lines) > 40_000, "a long line comes in one piece"
        assert [at for _, at, _ in lines if at.startswith("20") and at.endswith("Z")] == [at for _, at, _ in lines]
        assert len([line async for line in real.instances.logs(id, tail=1)]) == 1
        assert not [line async for line in real.instances.logs(id, since=4_000_000_000.0)]
        assert (await real.instances.tail(id, 20)).splitlines().count("one") == 1
        with pytest.raises(EngineProblem):
            await anext(real.instances.logs("nobody"))

    asyncio.run(scenario())


def test_logs_are_followed_until_the_end_or_until_nobody_listens(real: RealEngine) -> None:
    async def scenario() -> None:
        id = await started(real, "sh", "-c", "echo one; cat /tmp/more 2>/dev/null; sleep 1000")
        async with aclosing(real.instances.logs(id, follow=True)) as lines:
            assert (await anext(lines))[2] == b"one"
        async with aclosing(real.instances.logs(id, follow=True)) as lines:
            assert (await anext(lines))[2] == b"one"
            await real.instances.stop(id, 0)
            assert [line async for line in lines] == []

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_talking_to_a_command(real: RealEngine) -> None:
    async def scenario() -> None:
        id = await started(real)
        session = await real.instances.open_exec(id, ["sh", "-c", "cat; echo bad >&2; exit 7"])
        await session.write(b"hello ")
        await session.write(b"there\n")
        await session.end()
        said = [piece async for piece in session]
        assert b"".join(data for stream, data in said if stream == "stdout") == b"hello there\n"
        assert b"".join(data for stream, data in said if stream == "stderr") == b"bad\n"
        assert await session.code() == 7
        await session.close()

    asyncio.run(scenario())


def test_talking_through_a_terminal(real: RealEngine) -> None:
    async def scenario() -> None:
        id = await started(real)
        session = await real.instances.open_exec(id, ["sh"], tty=True, rows=30, columns=100)
        await session.resize(40, 120)
        await session.write(b"stty size; exit 3\n")
        said = b"".join([data async for _, data in session])
        assert b"40 120" in said
        assert await session.code() == 3
        await session.close()

    asyncio.run(scenario())


def test_hanging_up_ends_the_command(real: RealEngine) -> None:
    async def scenario() -> None:
        id = await started(real)
        session = await real.instances.open_exec(id, ["sh", "-c", "echo begun; sleep 77"], tty=True)
        assert b"begun" in (await anext(aiter(session)))[1]
        await session.close()
        while "77" in await says(real, id, "ps"):
            await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_a_command_that_does_not_exist(real: RealEngine) -> None:
    async def scenario() -> None:
        id = await started(real)
        ended = await real.instances.run(id, ["frobnicate"], 10)
        assert ended.code in (126, 127)
        assert "frobnicate" in ended.output
        wanted = specification(await real.instances.resolve(IMAGE), "frobnicate")
        await real.instances.create(wanted, "op-1")
        with pytest.raises(EngineProblem, match="frobnicate"):
            await real.instances.start(wanted.id)

    asyncio.run(scenario())


def test_readiness_over_the_network(real: RealEngine) -> None:
    async def scenario() -> None:
        served = "mkdir -p /tmp/www; echo hi > /tmp/www/index.html; httpd -f -p 8080 -h /tmp/www"
        id = await started(real, "sh", "-c", served.replace("mkdir -p", "/bin/busybox mkdir -p"))
        await real.instances.ready(id, Check(tcp=8080, every=0.05, timeout=5))
        await real.instances.ready(id, Check(http="/", port=8080, every=0.05, timeout=5))
        with pytest.raises(NotReady, match="404"):
            await real.instances.ready(id, Check(http="/missing", port=8080, every=0.05, timeout=0.5))
        with pytest.raises(NotReady, match="not ready"):
            await real.instances.ready(id, Check(tcp=81, every=0.05, timeout=0.5))

    asyncio.run(scenario())


def test_draining(real: RealEngine) -> None:
    async def scenario() -> None:
        id = await started(real, "sh", "-c", "nc -ll -p 7000 -e cat")
        await real.instances.ready(id, Check(tcp=7000, every=0.05, timeout=5))
        ip = real.raw.inspect_container(id)["NetworkSettings"]["Networks"][BRIDGE.name]["IPAddress"]
        reader, writer = await asyncio.open_connection(ip, 7000)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        clock = asyncio.get_running_loop().time
        began = clock()
        await real.instances.drained(id, [7000], 0.3)
        assert clock() - began >= 0.3, "an open connection is not drained"
        waiting = asyncio.create_task(real.instances.drained(id, [7000], 10))
        writer.close()
        await writer.wait_closed()
        await asyncio.wait_for(waiting, 5)
        await real.instances.drained(id, [7001], 10)

    asyncio.run(scenario())


def test_the_network_is_as_asked_or_it_is_said(real: RealEngine) -> None:
    async def scenario() -> None:
        await ensure_network(real.instances.engine, BRIDGE)
        assert len(real.raw.networks(names=[BRIDGE.name])) == 1
        assert Path("/proc/sys/net/ipv4/conf/ploy0").exists()
        with pytest.raises(EngineProblem, match=r"subnet is 10\.210\.1\.0/24"):
            await ensure_network(real.instances.engine, Bridge("10.210.2.0/24", "10.210.2.1", BRIDGE.mtu))

    asyncio.run(scenario())
