"""What these tests stand on: dev/booted, where systemd is the init system, and a bridge for instances."""

import asyncio
from collections.abc import Iterator

import pytest

from runtime.host.engine import Host
from tests.adapters.bridge import machine
from tests.adapters.hosts import real_host
from tests.adapters.test_host import pairs
from tests.booted.units import ours


@pytest.fixture
def host() -> Iterator[Host]:
    """Whatever a test does, in the end no unit, process, interface or folder of it is there."""
    with machine(), real_host("10.210.1.1") as engine:
        assert engine.systemd, "these tests only run inside dev/booted"
        yield engine
        for found in asyncio.run(engine.all()):
            asyncio.run(engine.remove(found.id))
        assert list(engine.folder.iterdir()) == []
        assert ours() == {}
        assert pairs() == []
