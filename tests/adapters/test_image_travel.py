"""Images on their way from one real engine to another: missing layers only, and never half of one."""

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.problems import code
from runtime.command import run
from runtime.docker import Docker
from runtime.instance import EngineProblem, ImageBroken, ImageMissing, Offer
from tests.adapters.engines import IMAGE, RealEngine, bare_engine, packed

NAME = "shop/web"
ABSENT = f"sha256:{'0' * 64}"


@pytest.fixture(scope="module")
def second() -> Iterator[RealEngine]:
    with bare_engine() as engine:
        yield engine


def ids(engine: RealEngine) -> set[str]:
    return {image["Id"] for image in engine.raw.images(all=True)}


def built(real: RealEngine, tag: str, content: int) -> str:
    """An image of the test's busybox and one layer more, of so many bytes; its id."""
    made = real.raw.create_container(IMAGE, ["true"])["Id"]
    with tempfile.TemporaryFile() as file:
        file.write(packed("x" * content))
        file.seek(0)
        real.raw.put_archive(made, "/tmp", file)
    found = real.raw.commit(made, repository=NAME, tag=tag)["Id"]
    real.raw.remove_container(made)
    return str(found)


async def bring(real: RealEngine, second: RealEngine, image: str, id: str) -> int:
    return await second.instances.take(image, id, await real.instances.offer(image, id, "m2"))


def test_only_missing_layers_travel(real: RealEngine, second: RealEngine) -> None:
    async def scenario() -> None:
        base = await real.instances.resolve(IMAGE)
        first = await bring(real, second, IMAGE, base)
        assert first > 1_000_000, "busybox came"
        assert await second.instances.resolve(IMAGE, pull="never") == base
        id = built(real, "1", 5000)
        whole = real.raw.inspect_image(id)["Size"]
        came = await bring(real, second, f"{NAME}:1", id)
        assert await second.instances.resolve(f"{NAME}:1", pull="never") == id
        alone = whole - real.raw.inspect_image(base)["Size"]
        assert alone <= came < alone + 100_000, "the layer below stayed where it was"
        assert second.raw.inspect_image(id)["RootFS"] == real.raw.inspect_image(id)["RootFS"]
        assert await bring(real, second, f"{NAME}:1", id) == 0, "it is here"

    asyncio.run(scenario())


def test_a_name_that_moved_on_does_not_come_along(real: RealEngine, second: RealEngine) -> None:
    async def scenario() -> None:
        old, new = built(real, "moving", 1), built(real, "moving", 2)
        await bring(real, second, f"{NAME}:moving", new)
        await bring(real, second, f"{NAME}:moving", old)
        assert await second.instances.resolve(f"{NAME}:moving", pull="never") == new
        assert {old, new} <= ids(second)
        assert {image.id: image.name for image in await second.instances.images()}[new] == f"{NAME}:moving"

    asyncio.run(scenario())


def test_an_image_that_is_called_by_its_id_gets_no_name(real: RealEngine, second: RealEngine) -> None:
    """Also where a beginning of the id is a name that could be given."""

    async def scenario() -> None:
        id = built(real, "called", 5)
        for name in (id, id.removeprefix("sha256:")[:12]):
            await bring(real, second, name, id)
            [row] = [image for image in await second.instances.images() if image.id == id]
            assert (row.name, row.digest) == ("", id)
        await bring(real, second, f"docker.io/{NAME}:called", id)
        [row] = [image for image in await second.instances.images() if image.id == id]
        assert row.name == f"{NAME}:called"

    asyncio.run(scenario())


def test_two_machines_take_one_image_at_a_time(real: RealEngine, second: RealEngine) -> None:
    """What is saved for one is given to both, and neither waits for the other."""

    async def scenario() -> None:
        id = built(real, "both", 4)
        offers = [await real.instances.offer(f"{NAME}:both", id, to) for to in ("m2", "m3")]
        assert offers[0].token != offers[1].token
        [one, other] = [second.instances.take(f"{NAME}:both", id, offer) for offer in offers]
        assert await asyncio.gather(one, other)
        assert id in ids(second)

    asyncio.run(scenario())


def test_an_offer_is_taken_once_and_by_who_knows_it(real: RealEngine, second: RealEngine) -> None:
    async def scenario() -> None:
        id = built(real, "once", 3)
        offer = await real.instances.offer(f"{NAME}:once", id, "m2")
        with pytest.raises(ImageBroken, match="did not come"):
            await second.instances.take(f"{NAME}:once", id, replace(offer, token="guessed"))
        await second.instances.take(f"{NAME}:once", id, offer)
        second.raw.remove_image(id, force=True)
        with pytest.raises(ImageBroken, match=r"cannot reach|did not come"):
            await second.instances.take(f"{NAME}:once", id, offer)
        with pytest.raises(ImageMissing):
            await real.instances.offer("shop/none:1", ABSENT, "m2")

    asyncio.run(scenario())


async def relayed(offer: Offer, most: int) -> tuple[asyncio.Server, Offer]:
    """The same offer, on a line that is cut after so many bytes."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_connection(offer.host, offer.port)

        async def ask() -> None:
            while word := await reader.read(1000):
                to.write(word)

        asking, left = asyncio.create_task(ask()), most
        with suppress(OSError):
            while left and (chunk := await there.read(min(left, 65536))):
                left -= len(chunk)
                writer.write(chunk)
                await writer.drain()
        asking.cancel()
        writer.close()
        to.close()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    return server, replace(offer, host="127.0.0.1", port=server.sockets[0].getsockname()[1])


def test_what_is_cut_in_the_middle_is_not_there(real: RealEngine, second: RealEngine) -> None:
    async def scenario() -> None:
        id, before = built(real, "cut", 3_000_000), ids(second)
        server, offer = await relayed(await real.instances.offer(f"{NAME}:cut", id, "m2"), 2_000_000)
        async with server:
            with pytest.raises(ImageBroken, match="the connection was cut") as broken:
                await second.instances.take(f"{NAME}:cut", id, offer)
        assert code(broken.value) == "image.broken"
        assert ids(second) == before
        await bring(real, second, f"{NAME}:cut", id)
        assert id in ids(second)

    asyncio.run(scenario())


async def stalling(real: RealEngine, id: str) -> tuple[asyncio.Server, Offer, asyncio.Event]:
    """The true image on a line that gives a part of it, and then nothing more; the event tells that it came to that."""
    offer, waits = await real.instances.offer(f"{NAME}:stalls", id, "m2"), asyncio.Event()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_connection(offer.host, offer.port)
        to.write(await reader.readline())
        writer.write(await there.readline())
        waits.set()
        await reader.read()
        to.close()
        writer.close()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    return server, replace(offer, host="127.0.0.1", port=server.sockets[0].getsockname()[1]), waits


def test_whoever_gives_up_waits_for_no_more_of_it(real: RealEngine, second: RealEngine) -> None:
    async def scenario() -> None:
        id, before = built(real, "stalls", 2_000_000), ids(second)
        server, offer, waits = await stalling(real, id)
        async with server:
            taking = asyncio.create_task(second.instances.take(f"{NAME}:stalls", id, offer))
            await waits.wait()
            taking.cancel()
            done, _ = await asyncio.wait({taking}, timeout=5)
            assert done, "it still waits for the rest"
            assert taking.cancelled()
        assert ids(second) == before
        assert await bring(real, second, f"{NAME}:stalls", id), "and can have it afterwards"

    asyncio.run(scenario())


@contextmanager
def disk(size: str) -> Iterator[Path]:
    """A disk of so many bytes."""
    with tempfile.TemporaryDirectory(prefix="q") as name:
        asyncio.run(run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", name))
        try:
            yield Path(name)
        finally:
            asyncio.run(run("umount", "--lazy", name))


def test_a_disk_that_is_full_on_either_side_fails_it_whole(real: RealEngine) -> None:
    id = built(real, "large", 6_000_000)

    async def take(full: RealEngine) -> None:
        offer = await real.instances.offer(f"{NAME}:large", id, "m2")
        with pytest.raises(EngineProblem, match="no space left"):
            await full.instances.take(f"{NAME}:large", id, offer)

    async def offer(folder: Path) -> None:
        giver = Docker(real.place.socket, "none", files=folder / "files")
        with pytest.raises(EngineProblem, match="No space left"):
            await giver.offer(f"{NAME}:large", id, "m2")
        giver.close()

    with disk("5m") as data, bare_engine(data) as full:
        asyncio.run(take(full))
        assert ids(full) == set()
        assert list(data.glob("tmp/*")) == []
    with disk("2m") as folder:
        asyncio.run(offer(folder))
        assert [file for file in folder.rglob("*") if file.is_file()] == []


async def lying(config: bytes, layer: bytes) -> tuple[asyncio.Server, Offer]:
    """Somebody who gives whoever comes another image."""

    async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(json.dumps({"config": len(config), "layers": [len(layer)]}).encode() + b"\n" + config)
        await reader.readline()
        writer.write(layer)
        with suppress(OSError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(give, "127.0.0.1", 0)
    return server, Offer("127.0.0.1", server.sockets[0].getsockname()[1], "token", current=True, id="")


def test_who_gives_another_image_gives_none(second: RealEngine) -> None:
    layer = packed("true")
    diff = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff]}}
    ).encode()
    id = f"sha256:{hashlib.sha256(config).hexdigest()}"

    async def scenario() -> None:
        before = ids(second)
        for other, content, why in (
            (config + b" ", layer, "another one came"),
            (config, packed("false"), "did not take"),
        ):
            server, offer = await lying(other, content)
            async with server:
                with pytest.raises(ImageBroken, match=why):
                    await second.instances.take("shop/liar:1", id, offer)
            assert ids(second) == before
        server, offer = await lying(config, layer)
        async with server:
            await second.instances.take("shop/liar:1", id, offer)
        assert ids(second) == before | {id}, "the same, told truly, is an image"

    asyncio.run(scenario())
