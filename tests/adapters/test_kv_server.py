"""The store's server: adopted, configured anew, closed to strangers; its secrets are its owner's alone."""

import asyncio
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nkeys  # type: ignore[import-untyped]
import pytest
from msgspec import structs

from dataplane.bus import Bus
from dataplane.entry import StoreDown
from dataplane.kv import Kv
from dataplane.nats_server import NatsServer
from dataplane.process import ProcessDied
from tests.adapters.buses import alone


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    server = alone(tmp_path / "store")
    yield server
    asyncio.run(server.stop())


async def connect(server: NatsServer, *, seed: str | None = None, inbox: str | None = None) -> Bus:
    return await Bus.connect(server.url, seed=seed or server.seed(), inbox=inbox or server.inbox, within=2)


def test_a_second_start_adopts_the_first(server: NatsServer) -> None:
    async def story() -> None:
        await server.ensure()
        pid = await server.running()
        await server.ensure()
        assert pid
        assert await server.running() == pid
        await server.stop()
        assert await server.running() is None

    asyncio.run(story())


def test_another_configuration_starts_it_anew_with_the_same_records(server: NatsServer) -> None:
    async def story() -> None:
        await server.ensure()
        bus = await connect(server)
        await Kv(bus, "records").found()
        revision = await Kv(bus, "records").put("a", b"1", 0)
        await bus.close()
        moved = alone(server.folder)
        await moved.ensure()
        bus = await connect(moved)
        await Kv(bus, "records").found()
        entry = await Kv(bus, "records").get("a")
        await bus.close()
        assert entry
        assert (entry.value, entry.revision) == (b"1", revision)

    asyncio.run(story())


def test_secrets_are_their_owners_alone(server: NatsServer) -> None:
    asyncio.run(server.ensure())
    configuration = server.home / "nats-server.conf"
    for file in (server.folder / "machine.seed", server.folder / "keeper.seed", configuration):
        assert file.stat().st_mode & 0o777 == 0o600
    assert server.seed() == server.seed() != server.keys.keeper()
    for seed in (server.seed(), server.keys.keeper()):
        assert seed not in configuration.read_text()


def test_a_stranger_is_refused(server: NatsServer) -> None:
    async def story() -> None:
        await server.ensure()
        stranger = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode()
        bus = await connect(server, seed=stranger)
        assert not bus.is_connected
        with pytest.raises(StoreDown, match="Authorization"):
            await bus.ask("$JS.API.INFO", b"")
        await bus.close()

    asyncio.run(story())


def test_a_machine_may_only_what_is_listed(server: NatsServer) -> None:
    async def story() -> None:
        await server.ensure()
        bus = await connect(server)
        with pytest.raises(StoreDown, match="permissions violation"):
            await bus.ask("somebody.else", b"")
        await bus.ask("$JS.API.INFO", b"")
        await bus.close()
        eavesdropper = await connect(server, inbox="inbox.m2")
        with pytest.raises(StoreDown):
            await eavesdropper.ask("$JS.API.INFO", b"")
        await eavesdropper.close()

    asyncio.run(story())


def test_without_its_bucket_the_store_is_down(server: NatsServer) -> None:
    async def story() -> None:
        await server.ensure()
        bus = await connect(server)
        kv = Kv(bus, "never-made")
        for asking in (kv.get("a"), kv.put("a", b"", 0), kv.all("a")):
            with pytest.raises(StoreDown):
                await asking
        await bus.close()

    asyncio.run(story())


def test_whoever_connects_before_the_server_starts_is_connected_once_it_does(server: NatsServer) -> None:
    async def story() -> None:
        bus = await Bus.connect(server.url, seed=server.seed(), inbox=server.inbox, within=0.1)
        with pytest.raises(StoreDown):
            await bus.ask("$JS.API.INFO", b"")
        await server.ensure()
        async with asyncio.timeout(5):
            await bus.connected()
        await bus.ask("$JS.API.INFO", b"")
        await bus.close()

    asyncio.run(story())


def test_another_server_on_its_port_is_not_taken_for_it(server: NatsServer) -> None:
    other = replace(server, layout=structs.replace(server.layout, store="other"))
    asyncio.run(server.ensure())
    with pytest.raises(ProcessDied, match="address already in use"):
        asyncio.run(other.ensure())
    asyncio.run(server.ensure())


def test_what_cannot_start_says_why(tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    server = alone(tmp_path / "store", taken.getsockname()[1])
    with taken, pytest.raises(Exception, match="address already in use"):
        asyncio.run(server.ensure())
