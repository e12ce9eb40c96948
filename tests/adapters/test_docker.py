"""What every engine must do: one suite, over Docker, over processes of the host, and over the fake."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.node import Instances
from runtime.container import OPERATION
from runtime.instance import (
    AddressTaken,
    Check,
    Condition,
    EngineProblem,
    ImageMissing,
    Mount,
    NameTaken,
    NotReady,
    Specification,
)
from tests.adapters.engines import BRIDGE, FOREVER, IMAGE, RealEngine, packed, specification
from tests.adapters.hosts import IMAGE as NO_IMAGE
from tests.adapters.hosts import Host, both, real_host
from tests.fakes.engine import FakeEngine, Program

NEVER_READY = Check(exec=("false",), every=0.05, timeout=0.5)


@dataclass(frozen=True)
class Bench:
    """An engine, real or not, with the image's digest. `program` tells the fake what a real shell would do."""

    instances: Instances
    image: str
    fake: FakeEngine | None
    real: RealEngine | None
    host: Host | None = None

    def program(self, *words: str, does: Program) -> tuple[str, ...]:
        if self.fake:
            self.fake.programs[words] = does
        return words

    def squat(self, id: str, ip: str) -> None:
        """Somebody else runs a container of this name at this address."""
        if self.fake:
            self.fake.stranger(id, ip)
        elif self.real:
            raw = self.real.raw
            there = raw.create_networking_config({BRIDGE.name: raw.create_endpoint_config(ipv4_address=ip)})
            raw.create_container(IMAGE, list(FOREVER), name=id, networking_config=there)
            raw.start(id)

    def stranger(self, id: str) -> None:
        """Somebody else makes a container of this name."""
        if self.fake:
            self.fake.stranger(id)
        elif self.real:
            self.real.raw.create_container(IMAGE, list(FOREVER), name=id)
        elif self.host:
            (self.host.folder / id / "of somebody else").mkdir(parents=True)

    def move_tag(self) -> None:
        if self.fake:
            self.fake.moved[IMAGE] = "sha256:moved"
        elif self.real:
            self.real.raw.import_image_from_data(packed("moved"), repository=IMAGE.partition(":")[0], tag="1")


@pytest.fixture(scope="module")
def host(real: RealEngine) -> Iterator[Host]:
    assert real.instances, "its bridge is ours too"
    with real_host() as engine:
        yield engine


@pytest.fixture(params=["fake", "real", "host"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return _bench(request)


@pytest.fixture(params=["fake", "real"])
def containers(request: pytest.FixtureRequest) -> Bench:
    return _bench(request)


def _bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "fake":
        fake = FakeEngine(exists=lambda path: Path(path).exists(), unknown={"nowhere/nothing:1", "sha256:" + "0" * 64})
        return Bench(fake, asyncio.run(fake.resolve(IMAGE)), fake, None)
    engine: RealEngine = request.getfixturevalue("real")
    processes: Host = request.getfixturevalue("host")
    engines = both(engine.instances, processes)
    if request.param == "host":
        return Bench(engines, NO_IMAGE, None, None, processes)
    return Bench(engines, asyncio.run(engines.resolve(IMAGE)), None, engine)


async def started(bench: Bench, *command: str, by: str = "op-1", survives: bool = False) -> Specification:
    wanted = specification(bench.image, *command, survives=survives)
    await bench.instances.create(wanted, by)
    await bench.instances.start(wanted.id)
    return wanted


async def condition(bench: Bench, id: str) -> Condition:
    found = await bench.instances.look(id)
    assert found is not None
    return found


def test_what_is_created_does_not_run_yet(bench: Bench) -> None:
    async def scenario() -> None:
        wanted = specification(bench.image)
        await bench.instances.create(wanted, "op-1")
        found = await condition(bench, wanted.id)
        assert (found.id, found.status, found.ip) == (wanted.id, "created", wanted.ip)
        assert (found.image, found.digest) == (bench.image, bench.image)
        assert dict(found.labels) == {"ployz.service": "web", OPERATION: "op-1"}
        assert (found.restarts, found.last_exit) == (0, None)

    asyncio.run(scenario())


def test_creating_again_is_fine_for_the_same_operation_only(bench: Bench) -> None:
    async def scenario() -> None:
        wanted = await started(bench)
        await bench.instances.create(wanted, "op-1")
        with pytest.raises(NameTaken, match="op-1"):
            await bench.instances.create(wanted, "op-2")
        assert (await condition(bench, wanted.id)).status == "running"

    asyncio.run(scenario())


def test_a_strangers_container_is_not_touched(bench: Bench) -> None:
    async def scenario() -> None:
        wanted = specification(bench.image)
        bench.stranger(wanted.id)
        with pytest.raises(NameTaken):
            await bench.instances.create(wanted, "op-1")
        with pytest.raises(NameTaken):
            await bench.instances.remove(wanted.id)
        await bench.instances.take_back(wanted.id, "op-1")
        assert await bench.instances.look(wanted.id)
        assert wanted.id not in [found.id for found in await bench.instances.all()]

    asyncio.run(scenario())


def test_an_image_that_is_not_there(containers: Bench) -> None:
    async def scenario() -> None:
        wanted = specification("sha256:" + "0" * 64)
        with pytest.raises(ImageMissing):
            await containers.instances.create(wanted, "op-1")
        assert await containers.instances.look(wanted.id) is None

    asyncio.run(scenario())


def test_starting_is_repeatable(bench: Bench) -> None:
    async def scenario() -> None:
        wanted = await started(bench)
        before = await condition(bench, wanted.id)
        await bench.instances.start(wanted.id)
        assert await condition(bench, wanted.id) == before
        assert before.status == "running"

    asyncio.run(scenario())


def test_what_is_not_there_cannot_be_started(bench: Bench) -> None:
    with pytest.raises(EngineProblem, match="nobody"):
        asyncio.run(bench.instances.start("nobody"))


def test_stopping(bench: Bench) -> None:
    async def scenario() -> None:
        wanted = await started(bench, survives=True)
        await bench.instances.stop(wanted.id, 0.5)
        assert (await condition(bench, wanted.id)).status == "stopped"
        await bench.instances.stop(wanted.id, 0.5)
        await bench.instances.stop("nobody", 0.5)
        await bench.instances.start(wanted.id)
        assert (await condition(bench, wanted.id)).status == "running"

    asyncio.run(scenario())


def test_removing(bench: Bench) -> None:
    async def scenario() -> None:
        wanted = await started(bench)
        await bench.instances.remove(wanted.id)
        assert await bench.instances.look(wanted.id) is None
        await bench.instances.remove(wanted.id)

    asyncio.run(scenario())


def test_taking_back_removes_only_what_the_operation_made(bench: Bench) -> None:
    async def scenario() -> None:
        wanted = await started(bench, by="op-1")
        await bench.instances.take_back(wanted.id, "op-2")
        assert (await condition(bench, wanted.id)).status == "running"
        await bench.instances.take_back(wanted.id, "op-1")
        assert await bench.instances.look(wanted.id) is None
        await bench.instances.take_back(wanted.id, "op-1")

    asyncio.run(scenario())


def test_all_are_listed(bench: Bench) -> None:
    async def scenario() -> None:
        one, two = await started(bench), specification(bench.image)
        await bench.instances.create(two, "op-2")
        found = {each.id: each for each in await bench.instances.all()}
        assert found[one.id] == await condition(bench, one.id)
        assert found[two.id].status == "created"

    asyncio.run(scenario())


def test_the_list_tells_the_status_that_a_look_tells(bench: Bench) -> None:
    async def scenario() -> None:
        words = bench.program("sh", "-c", "exit 3", does=Program(exits=3))
        runs, failing = await started(bench), specification(bench.image, *words)
        await bench.instances.create(failing, "op-2")
        assert (await bench.instances.statuses())[failing.id] == "created"
        await bench.instances.start(failing.id)
        for step in (
            bench.instances.pause([runs.id], "op-3"),
            bench.instances.go_on([runs.id], "op-3"),
            bench.instances.stop(runs.id, 0),
            bench.instances.stop(failing.id, 0),
        ):
            await step
            told = (await bench.instances.statuses())[runs.id]
            assert told == (await condition(bench, runs.id)).status
        assert (await bench.instances.statuses())[failing.id] == "stopped"
        await bench.instances.remove(runs.id)
        assert runs.id not in await bench.instances.statuses()

    asyncio.run(scenario())


def test_an_address_is_taken_while_its_instance_runs(bench: Bench) -> None:
    async def scenario() -> None:
        one = await started(bench)
        two = specification(bench.image, ip=one.ip or "")
        await bench.instances.create(two, "op-2")
        with pytest.raises(EngineProblem, match="cannot start"):
            await bench.instances.start(two.id)
        assert (await condition(bench, two.id)).status != "running"
        await bench.instances.stop(one.id, 0)
        await bench.instances.start(two.id)
        assert (await condition(bench, two.id)).ip == one.ip

    asyncio.run(scenario())


def test_a_mount_needs_its_directory(bench: Bench, tmp_path: Path) -> None:
    async def scenario() -> None:
        place = tmp_path / "data"
        wanted = specification(bench.image, mounts=(Mount(str(place), "/srv"),))
        with pytest.raises(EngineProblem):
            await bench.instances.create(wanted, "op-1")
        assert not place.exists()
        place.mkdir()
        await bench.instances.create(wanted, "op-1")
        await bench.instances.start(wanted.id)
        await bench.instances.stop(wanted.id, 0)
        place.rmdir()
        with pytest.raises(EngineProblem):
            await bench.instances.start(wanted.id)

    asyncio.run(scenario())


def test_running_a_command(bench: Bench) -> None:
    words = bench.program("sh", "-c", "echo migrated; exit 3", does=Program(exits=3, says="migrated\n"))

    async def scenario() -> None:
        wanted = await started(bench)
        ended = await bench.instances.run(wanted.id, words, 10)
        assert (ended.code, ended.output) == (3, "migrated\n")
        assert (await bench.instances.run(wanted.id, ("true",), 10)).code == 0

    asyncio.run(scenario())


def test_a_command_that_takes_too_long(bench: Bench) -> None:
    words = bench.program("sh", "-c", "echo begun; sleep 77; echo", does=Program(hangs=True, says="begun\n"))

    async def scenario() -> None:
        wanted = await started(bench)
        with pytest.raises(NotReady, match="did not end within") as caught:
            await bench.instances.run(wanted.id, words, 0.5)
        assert caught.value.said == "begun\n"
        if not bench.fake:
            left = await bench.instances.run(wanted.id, ("ps", "-eo", "args") if bench.host else ("ps",), 10)
            assert "sleep 77" not in left.output, "the command outlived its time"

    asyncio.run(scenario())


def test_a_command_needs_a_running_instance(bench: Bench) -> None:
    async def scenario() -> None:
        wanted = specification(bench.image)
        await bench.instances.create(wanted, "op-1")
        with pytest.raises(EngineProblem, match=wanted.id):
            await bench.instances.run(wanted.id, ("true",), 10)

    asyncio.run(scenario())


def test_an_instance_that_ends(bench: Bench) -> None:
    words = bench.program("sh", "-c", "echo done; exit 4", does=Program(exits=4, says="done\n"))

    async def scenario() -> None:
        wanted = await started(bench, *words)
        ended = await bench.instances.ended(wanted.id, 10)
        assert (ended.code, ended.output.strip()) == (4, "done")
        found = await condition(bench, wanted.id)
        assert (found.status, found.last_exit) == ("stopped", 4)
        with pytest.raises(NotReady, match="did not end"):
            await bench.instances.ended((await started(bench)).id, 0.1)

    asyncio.run(scenario())


def test_ready(bench: Bench) -> None:
    async def scenario() -> None:
        wanted = await started(bench)
        await bench.instances.ready(wanted.id, Check())
        await bench.instances.ready(wanted.id, Check(exec=("true",), every=0.05, timeout=5))

    asyncio.run(scenario())


def test_never_ready(bench: Bench) -> None:
    words = bench.program("sh", "-c", "echo waiting; sleep 1000", does=Program(becomes_ready=False, says="waiting\n"))

    async def scenario() -> None:
        wanted = await started(bench, *words)
        with pytest.raises(NotReady, match="not ready within") as caught:
            await bench.instances.ready(wanted.id, NEVER_READY)
        assert caught.value.said.strip() == "waiting"

    asyncio.run(scenario())


@pytest.mark.parametrize("survives", [True, False])
def test_ending_instead_of_getting_ready(bench: Bench, survives: bool) -> None:
    words = bench.program("sh", "-c", "echo no config; exit 5", does=Program(exits=5, says="no config\n"))

    async def scenario() -> None:
        wanted = await started(bench, *words, survives=survives)
        began = time.monotonic()
        with pytest.raises(NotReady, match="ended") as caught:
            await bench.instances.ready(wanted.id, Check(exec=("true",), every=0.2, timeout=20))
        assert "no config" in caught.value.said
        assert time.monotonic() - began < 5

    asyncio.run(scenario())


def test_drained_without_connections(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.instances.drained((await started(bench)).id, [80], 5)
        await bench.instances.drained("nobody", [80], 5)

    asyncio.run(asyncio.wait_for(scenario(), 4))


def test_what_an_image_means(containers: Bench) -> None:
    async def scenario() -> None:
        for pull in ("missing", "never"):
            assert await containers.instances.resolve(IMAGE, pull=pull) == containers.image
        assert await containers.instances.resolve(containers.image, pull="never") == containers.image
        await containers.instances.fetch(IMAGE, containers.image)
        containers.move_tag()
        assert await containers.instances.resolve(IMAGE) != containers.image

    asyncio.run(scenario())


@pytest.mark.parametrize("pull", ["missing", "never", "always"])
def test_an_unknown_image_is_named_quickly(containers: Bench, pull: str) -> None:
    began = time.monotonic()
    with pytest.raises(ImageMissing, match="nowhere/nothing:1"):
        asyncio.run(containers.instances.resolve("nowhere/nothing:1", pull=pull))
    assert time.monotonic() - began < 12


def test_an_address_that_a_stranger_has_is_told(containers: Bench) -> None:
    mine = specification(containers.image)
    assert mine.ip
    squatter = f"squatter-{mine.id}"

    async def story() -> None:
        await containers.instances.create(mine, "op-1")
        assert mine.ip not in await containers.instances.addresses()
        containers.squat(squatter, mine.ip or "")
        assert mine.ip in await containers.instances.addresses()
        with pytest.raises(AddressTaken, match=f"{squatter} has its address {mine.ip}"):
            await containers.instances.start(mine.id)
        found = await containers.instances.look(mine.id)
        assert found
        assert found.status in ("created", "stopped")
        await containers.instances.take_back(mine.id, "op-1")
        assert await containers.instances.look(mine.id) is None

    asyncio.run(story())
