"""Both engines as one: who has an instance, and that nothing is absent because one of them did not answer."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.docker import Docker
from runtime.engines import Engines
from runtime.host.engine import Host
from runtime.host.place import Recorded
from runtime.instance import EngineUnavailable, Specification
from runtime.network import Bridge
from runtime.standstill import Standstills

DB = Specification("shop-db-1", "host", "10.210.1.7", {}, command=("db",), runtime="host")


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Engines]:
    """The host's, with one instance, beside a Docker that does not answer."""
    docker = Docker(tmp_path / "nobody.sock", "ploy", files=tmp_path / "files")
    host = Host(tmp_path / "host", Bridge("10.210.1.0/24", "10.210.1.1", 1420), tmp_path / "groups")
    host.adopt()
    host._place(DB.id).make(Recorded(DB, "op-1", "2026-01-01T00:00:00Z"), {})
    yield Engines(docker, host, Standstills(tmp_path / "standstill.log"))
    docker.close()


def test_an_instance_on_the_host_is_seen_without_docker(engines: Engines) -> None:
    found = asyncio.run(engines.look(DB.id))
    assert found is not None
    assert (found.status, found.ip, found.labels) == ("created", DB.ip, {"ployz.operation": "op-1"})


def test_what_docker_cannot_be_asked_of_is_not_absent(engines: Engines) -> None:
    with pytest.raises(EngineUnavailable):
        asyncio.run(engines.look("shop-web-1"))
    with pytest.raises(EngineUnavailable):
        asyncio.run(engines.all())
    with pytest.raises(EngineUnavailable):
        asyncio.run(engines.take_back("shop-web-1", "op-1"))


def test_no_name_is_given_while_the_other_engine_may_have_it(engines: Engines) -> None:
    with pytest.raises(EngineUnavailable):
        asyncio.run(
            engines.create(Specification("shop-web-1", "host", None, {}, command=("web",), runtime="host"), "op-1")
        )
    assert not engines.host.has("shop-web-1")
