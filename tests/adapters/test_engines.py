"""What both engines do for those who read, type and wait: one suite, over containers and processes of the host."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from runtime.engines import Engines
from runtime.instance import Bounds, Check, Condition, EngineProblem, NotReady
from tests.adapters.engines import IMAGE, RealEngine, real_engine, specification
from tests.adapters.hosts import IMAGE as NO_IMAGE
from tests.adapters.hosts import Host, both, real_host

MEMORY = 32 * 2**20
LISTS = {"docker": "ps", "host": "ps -eo args"}


@pytest.fixture(scope="module")
def real() -> Iterator[RealEngine]:
    with real_engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def host(real: RealEngine) -> Iterator[Host]:
    assert real.instances, "its bridge is ours too"
    with real_host("10.210.1.1") as engine:
        yield engine


@dataclass(frozen=True)
class Bench:
    """Both engines; instances are made with the one of this `kind`."""

    kind: str
    engines: Engines
    image: str

    async def started(self, *command: str, **more: Any) -> str:
        wanted = specification(self.image, *command, **{"survives": False, **more})
        await self.engines.create(wanted, "op-1")
        await self.engines.start(wanted.id)
        return wanted.id

    async def says(self, id: str, script: str) -> str:
        return (await self.engines.run(id, ("sh", "-c", script), 10)).output.strip()

    async def condition(self, id: str) -> Condition:
        found = await self.engines.look(id)
        assert found is not None
        return found


@pytest.fixture(params=["docker", "host"])
def bench(request: pytest.FixtureRequest, real: RealEngine, host: Host) -> Bench:
    image = NO_IMAGE if request.param == "host" else asyncio.run(real.instances.resolve(IMAGE))
    return Bench(request.param, both(real.instances, host), image)


# ------------------------------------------------------------------------------------------------------ logs


def test_logs(bench: Bench) -> None:
    async def scenario() -> None:
        id = await bench.started("sh", "-c", "echo one; echo two >&2; seq -s, 1 9000; printf end")
        await bench.engines.ended(id, 10)
        lines = [line async for line in bench.engines.logs(id)]
        assert {(stream, said) for stream, _, said in lines} >= {
            ("stdout", b"one"), ("stderr", b"two"), ("stdout", b"end")
        }  # fmt: skip
        assert max(len(said) for _, _, said in lines) > 40_000, "a long line comes in one piece"
        assert [at for _, at, _ in lines if at.startswith("20") and at.endswith("Z")] == [at for _, at, _ in lines]
        assert len([line async for line in bench.engines.logs(id, tail=1)]) == 1
        assert not [line async for line in bench.engines.logs(id, since=4_000_000_000.0)]
        assert (await bench.engines.tail(id, 20)).splitlines().count("one") == 1
        with pytest.raises(EngineProblem):
            await anext(bench.engines.logs("nobody"))

    asyncio.run(scenario())


def test_logs_are_followed_until_the_end_or_until_nobody_listens(bench: Bench) -> None:
    async def scenario() -> None:
        id = await bench.started("sh", "-c", "echo one; trap 'echo last; exit' TERM; while :; do sleep 0.05; done")
        async with aclosing(bench.engines.logs(id, follow=True)) as lines:
            assert (await anext(lines))[2] == b"one"
        async with aclosing(bench.engines.logs(id, follow=True)) as lines:
            assert (await anext(lines))[2] == b"one"
            await bench.engines.stop(id, 5)
            assert [said async for _, _, said in lines] == [b"last"]

    asyncio.run(asyncio.wait_for(scenario(), 20))


# -------------------------------------------------------------------------------------------------- commands


def test_talking_to_a_command(bench: Bench) -> None:
    async def scenario() -> None:
        session = await bench.engines.open_exec(await bench.started(), ["sh", "-c", "cat; echo bad >&2; exit 7"])
        await session.write(b"hello ")
        await session.write(b"there\n")
        await session.end()
        said = [piece async for piece in session]
        assert b"".join(data for stream, data in said if stream == "stdout") == b"hello there\n"
        assert b"".join(data for stream, data in said if stream == "stderr") == b"bad\n"
        assert await session.code() == 7
        await session.close()

    asyncio.run(scenario())


def test_talking_through_a_terminal(bench: Bench) -> None:
    async def scenario() -> None:
        session = await bench.engines.open_exec(await bench.started(), ["sh"], tty=True, rows=30, columns=100)
        await session.resize(40, 120)
        await session.write(b"stty size; exit 3\n")
        said = b"".join([data async for _, data in session])
        assert b"40 120" in said
        assert await session.code() == 3
        await session.close()

    asyncio.run(scenario())


def test_hanging_up_ends_the_command(bench: Bench) -> None:
    async def scenario() -> None:
        id = await bench.started()
        session = await bench.engines.open_exec(id, ["sh", "-c", "echo begun; sleep 7733"], tty=True)
        async with aclosing(aiter(session)) as pieces:
            assert b"begun" in (await anext(pieces))[1]
        await session.close()
        while "sleep 7733" in await bench.says(id, LISTS[bench.kind]):
            await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_a_command_that_does_not_exist(bench: Bench) -> None:
    async def scenario() -> None:
        ended = await bench.engines.run(await bench.started(), ["frobnicate"], 10)
        assert ended.code in (126, 127)
        assert "frobnicate" in ended.output
        wanted = specification(bench.image, "frobnicate")
        await bench.engines.create(wanted, "op-1")
        with pytest.raises(EngineProblem, match="frobnicate"):
            await bench.engines.start(wanted.id)

    asyncio.run(scenario())


@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])
def test_an_instance_that_is_talked_to(bench: Bench, tty: bool) -> None:
    async def scenario() -> None:
        command = "stty size; exit 7" if tty else "cat; echo bad >&2; exit 7"
        wanted = specification(bench.image, "sh", "-c", f"read x; {command}", attached=True, tty=tty, survives=False)
        await bench.engines.create(wanted, "op-1")
        session = await bench.engines.begin(wanted.id, tty=tty, rows=30, columns=100)
        await session.write(b"first\nhello\n")
        if not tty:
            await session.end()
        said = [piece async for piece in session]
        told = b"".join(data for stream, data in said if stream == "stdout")
        assert b"30 100" in told if tty else told == b"hello\n"
        assert await session.code() == 7
        await session.close()
        await bench.engines.take_back(wanted.id, "op-1")
        assert await bench.engines.look(wanted.id) is None

    asyncio.run(asyncio.wait_for(scenario(), 20))


# --------------------------------------------------------------------------------------- readiness, connections


def test_readiness_over_the_network(bench: Bench) -> None:
    async def scenario() -> None:
        www = "/dev/shm"
        serve = f"echo hi > {www}/index.html; exec /bin/busybox httpd -f -p 8080 -h {www}"
        id = await bench.started("sh", "-c", serve)
        await bench.engines.ready(id, Check(tcp=8080, every=0.05, timeout=5))
        await bench.engines.ready(id, Check(http="/", port=8080, every=0.05, timeout=5))
        with pytest.raises(NotReady, match="404"):
            await bench.engines.ready(id, Check(http="/missing", port=8080, every=0.05, timeout=0.5))
        with pytest.raises(NotReady, match="not ready"):
            await bench.engines.ready(id, Check(tcp=81, every=0.05, timeout=0.5))

    asyncio.run(scenario())


def test_draining(bench: Bench) -> None:
    async def scenario() -> None:
        id = await bench.started("/bin/busybox", "nc", "-ll", "-p", "7000", "-e", "/bin/cat")
        await bench.engines.ready(id, Check(tcp=7000, every=0.05, timeout=5))
        reader, writer = await asyncio.open_connection((await bench.condition(id)).ip, 7000)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        clock = asyncio.get_running_loop().time
        began = clock()
        await bench.engines.drained(id, [7000], 0.3)
        assert clock() - began >= 0.3, "an open connection is not drained"
        waiting = asyncio.create_task(bench.engines.drained(id, [7000], 10))
        writer.close()
        await writer.wait_closed()
        await asyncio.wait_for(waiting, 5)
        await bench.engines.drained(id, [7001], 10)

    asyncio.run(scenario())


# --------------------------------------------------------------------------------------------------- bounds


def test_what_an_instance_may_do_and_use(bench: Bench) -> None:
    async def scenario() -> None:
        bounds = Bounds(ulimits={"nofile": (1000, 2000)}, cap_add=("NET_ADMIN",), read_only=True, memory=MEMORY)
        id = await bench.started(bounds=bounds, shm=2**20)
        assert await bench.says(id, "ulimit -Sn; ulimit -Hn") == "1000\n2000"
        assert "Read-only" in await bench.says(id, "touch /x 2>&1")
        capabilities = int((await bench.says(id, "cat /proc/self/status")).partition("CapEff:")[2].split()[0], 16)
        assert capabilities & 1 << 12, "NET_ADMIN"
        assert "size=1024k" in await bench.says(id, "cat /proc/mounts")

    asyncio.run(scenario())


def test_one_that_takes_more_memory_than_it_may_is_killed_and_that_is_told(bench: Bench) -> None:
    async def scenario() -> None:
        hog = "x=$(echo xxxxxxxxxxxxxxxx); while true; do x=$x$x; done"
        id = await bench.started("/bin/busybox", "sh", "-c", hog, bounds=Bounds(memory=MEMORY))
        assert (await bench.engines.ended(id, 30)).code == 137
        found = await bench.condition(id)
        assert (found.last_exit, found.out_of_memory) == (137, True)
        plain = await bench.started("sh", "-c", "exit 137", bounds=Bounds(memory=MEMORY))
        await bench.engines.ended(plain, 10)
        found = await bench.condition(plain)
        assert (found.last_exit, found.out_of_memory) == (137, False)

    asyncio.run(asyncio.wait_for(scenario(), 60))
