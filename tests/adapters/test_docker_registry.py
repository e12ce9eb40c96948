"""Images that come from a registry: a real one (Debian's docker-registry) on the loopback of the sandbox."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from runtime.command import detach
from runtime.instance import Credentials, ImageMissing, RegistryRefused
from tests.adapters.engines import IMAGE, RealEngine, bare_engine, packed, specification

REGISTRY = "127.0.0.1:5000"
NAME = f"{REGISTRY}/shop/web"
GUARDED, GOES = "127.0.0.1:5001", "127.0.0.1:5002"
ANN = Credentials("ann", "her password")
HASH = "$2y$05$abcdefghijklmnopqrstuuJFF6W8qQkSadvg1xdpCemSarxeAavRy"
"""What htpasswd(1) -B makes of it: the registry takes no other kind."""
CONFIGURATION = """
version: 0.1
log: {{ level: error }}
storage:
  filesystem: {{ rootdirectory: {folder}/data }}
http:
  addr: {address}
"""


@pytest.fixture(scope="module")
def registry() -> Iterator[None]:
    with serving(REGISTRY, ""):
        yield


@pytest.fixture(scope="module")
def guarded() -> Iterator[None]:
    """A registry that wants to know who asks."""
    with serving(GUARDED, "auth: {{ htpasswd: {{ realm: shop, path: {folder}/users }} }}"):
        yield


@contextmanager
def serving(address: str, more: str) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="p") as name:
        folder = Path(name)
        (folder / "users").write_text(f"{ANN.user}:{HASH}\n")
        (folder / "config.yml").write_text((CONFIGURATION + more).format(folder=folder, address=address))
        pid = asyncio.run(listening(folder, address))
        yield
        with suppress(ChildProcessError):
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


async def listening(folder: Path, address: str) -> int:
    pid = await detach("docker-registry", "serve", folder / "config.yml", log=folder / "log")
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection(*address.split(":"))
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return pid


def publish(real: RealEngine, tag: str, content: str, name: str = NAME) -> None:
    """Put an image at the registry, and forget it here."""
    real.raw.import_image_from_data(packed(content), repository=name, tag=tag)
    told = real.raw.push(name, tag=tag)
    assert "error" not in told, told
    real.raw.remove_image(f"{name}:{tag}", force=True)


def test_an_image_is_fetched_by_digest(real: RealEngine, registry: None) -> None:
    async def scenario() -> None:
        publish(real, "1", "first")
        digest = await real.instances.resolve(f"{NAME}:1")
        assert digest.startswith(f"{NAME}@sha256:")
        assert digest not in {image.digest for image in await real.instances.images()}
        with pytest.raises(ImageMissing, match="not to be pulled"):
            await real.instances.resolve(f"{NAME}:1", pull="never")
        wanted = specification(digest)
        with pytest.raises(ImageMissing):
            await real.instances.create(wanted, "op-1")
        await real.instances.fetch(f"{NAME}:1", digest)
        await real.instances.create(wanted, "op-1")
        await real.instances.start(wanted.id)
        found = await real.instances.look(wanted.id)
        assert found is not None
        assert (found.status, found.image) == ("running", digest)
        assert (f"{NAME}:1", digest) in {(image.name, image.digest) for image in await real.instances.images()}
        for pull in ("missing", "always", "never"):
            assert await real.instances.resolve(f"{NAME}:1", pull=pull) == digest, "it is the same image as before"
        await real.instances.fetch(f"{NAME}:1", digest)

    asyncio.run(scenario())


def test_a_tag_that_moves_at_its_registry(real: RealEngine, registry: None) -> None:
    async def scenario() -> None:
        image = f"{NAME}:moving"
        publish(real, "moving", "old")
        old = await real.instances.resolve(image)
        await real.instances.fetch(image, old)
        real.raw.tag(image, f"{NAME}-kept", "old")
        publish(real, "moving", "new")
        new = await real.instances.resolve(image)
        assert new != old
        await real.instances.fetch(image, new)
        assert await real.instances.resolve(image, pull="never") == new
        real.raw.remove_image(old, force=True)
        await real.instances.fetch(image, old)
        assert await real.instances.resolve(old, pull="never") == old
        assert (old, old) in {(image.name, image.digest) for image in await real.instances.images()}, "which has no tag"
        assert await real.instances.resolve(image, pull="never") == new, "the past does not move the tag back"

    asyncio.run(scenario())


def test_a_tag_that_moved_there_and_not_here_counts_where_it_is_always_asked(real: RealEngine, registry: None) -> None:
    async def scenario() -> None:
        image = f"{NAME}:both"
        publish(real, "both", "old")
        old = await real.instances.resolve(image)
        await real.instances.fetch(image, old)
        real.raw.tag(image, f"{NAME}-kept", "both")
        publish(real, "both", "new")
        real.raw.tag(f"{NAME}-kept:both", NAME, "both")
        for pull in ("missing", "never"):
            assert await real.instances.resolve(image, pull=pull) == old
        new = await real.instances.resolve(image, pull="always")
        assert new != old
        await real.instances.fetch(image, new)
        assert await real.instances.resolve(image, pull="missing") == new, "the tag has followed"

    asyncio.run(scenario())


def test_another_machine_gives_an_image_whose_registry_is_gone(real: RealEngine) -> None:
    """It is known by the digest of its registry all the same, so it is no other image to any plan."""
    image = f"{GOES}/shop/web:given"

    async def given(giver: RealEngine, digest: str) -> None:
        with pytest.raises(ImageMissing):
            await real.instances.resolve(digest)
        assert await real.instances.take(image, digest, await giver.instances.offer(image, digest, "m1"))
        for name in (digest, image):
            for pull in ("missing", "never"):
                assert await real.instances.resolve(name, pull=pull) == digest
        assert (image, digest) in {(each.name, each.digest) for each in await real.instances.images()}
        await real.instances.fetch(image, digest)
        wanted = specification(digest)
        await real.instances.create(wanted, "op-1")
        await real.instances.start(wanted.id)
        found = await real.instances.look(wanted.id)
        assert found is not None
        assert (found.status, found.image) == ("running", digest)
        assert await real.instances.take(image, digest, await giver.instances.offer(image, digest, "m1")) == 0
        real.raw.remove_image(image, force=True)
        assert (digest, digest) in {(each.name, each.digest) for each in await real.instances.images()}, "without a tag"
        again = await real.instances.offer(image, digest, "m2")
        assert await giver.instances.take(image, digest, again) == 0, "and it can be given on"

    with bare_engine() as giver:
        with serving(GOES, ""):
            publish(real, "given", "given", f"{GOES}/shop/web")
            digest = asyncio.run(giver.instances.resolve(image))
            asyncio.run(giver.instances.fetch(image, digest))
        asyncio.run(given(giver, digest))


def test_what_the_registry_does_not_know(real: RealEngine, registry: None) -> None:
    async def scenario() -> None:
        with pytest.raises(ImageMissing, match=f"{NAME}:none"):
            await real.instances.resolve(f"{NAME}:none")
        gone = f"{NAME}@sha256:{'0' * 64}"
        with pytest.raises(ImageMissing, match="cannot pull"):
            await real.instances.fetch(f"{NAME}:none", gone)

    asyncio.run(scenario())


def test_a_registry_that_is_not_there(real: RealEngine) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(12):
            with pytest.raises(ImageMissing, match=r"127\.0\.0\.1:1"):
                await real.instances.resolve("127.0.0.1:1/shop/web:1")

    asyncio.run(scenario())


def test_a_local_image_needs_no_registry(real: RealEngine) -> None:
    async def scenario() -> None:
        digest = await real.instances.resolve(IMAGE)
        assert digest == real.raw.inspect_image(IMAGE)["Id"]
        await real.instances.fetch(IMAGE, digest)
        with pytest.raises(ImageMissing, match="no registry"):
            await real.instances.fetch(IMAGE, "sha256:" + "0" * 64)

    asyncio.run(scenario())


def test_a_registry_that_wants_to_know_who_asks(real: RealEngine, guarded: None) -> None:
    image = f"{GUARDED}/shop/web:1"
    real.raw.import_image_from_data(packed("guarded"), repository=f"{GUARDED}/shop/web", tag="1")
    told = real.raw.push(image, auth_config={"username": ANN.user, "password": ANN.password})
    assert "error" not in told, told
    real.raw.remove_image(image, force=True)
    is_ann = False

    async def login(host: str) -> Credentials | None:
        return ANN if is_ann and host == GUARDED else None

    async def scenario() -> None:
        nonlocal is_ann
        real.instances.login = login
        with pytest.raises(ImageMissing, match=r"no basic auth credentials|unauthorized"):
            await real.instances.resolve(image)
        await real.instances.accepted(GUARDED, ANN.user, ANN.password.encode())
        with pytest.raises(RegistryRefused, match=r"cannot log in to 127\.0\.0\.1:5001 as ann") as refused:
            await real.instances.accepted(GUARDED, ANN.user, b"another password")
        assert "another password" not in str(refused.value)
        with pytest.raises(ImageMissing):
            await real.instances.resolve(image)  # that it was accepted is forgotten
        is_ann = True
        digest = await real.instances.resolve(image)
        await real.instances.fetch(image, digest)
        assert await real.instances.resolve(image, pull="never") == digest
        is_ann = False
        with pytest.raises(ImageMissing):
            await real.instances.resolve(image, pull="always")

    asyncio.run(scenario())
