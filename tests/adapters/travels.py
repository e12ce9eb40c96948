"""Two pools of one ZFS that stand for two machines, with loopback addresses for theirs on the mesh, and a volume that
travels from the one to the other; a relay between them cuts what it carries."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from daemon import sending
from daemon.node import Node
from daemon.records import Machine
from daemon.sending import Way
from daemon.transferring import Transferring
from dataplane.zfs import Zfs
from tests.adapters.pools import RealGround, snapped

T = TypeVar("T")
FROM, TO, THROUGH = "127.0.0.1", "127.0.0.2", "127.0.0.3"
MIB = 2**20


@dataclass
class Two:
    """Two machines, and a volume on the first one. `port` is where the second one listens."""

    here: RealGround
    there: RealGround
    port: int
    guid: str
    strangers: bool = False

    def at(self, machine: str) -> "End":
        return self._ends[machine]

    @asynccontextmanager
    async def up(self) -> AsyncIterator["Two"]:
        members = {} if self.strangers else {"m1": Machine("1", "m1", "", FROM, "", "")}
        ends = {name: Transferring(ground.zfs, lambda: members, self.port)
                for name, ground in (("m1", self.here), ("m2", self.there))}  # fmt: skip
        self._ends = {"m1": End(self.here.zfs, ends["m1"]), "m2": End(self.there.zfs, ends["m2"])}
        await ends["m2"].open(TO)
        try:
            yield self
        finally:
            await ends["m2"].close()

    def do(self, story: Callable[[Node], Awaitable[T]]) -> T:
        async def told() -> T:
            async with self.up():
                return await story(cast(Node, self))

        return asyncio.run(told())

    def way(self, **more: Any) -> Way:
        source, target = f"{self.here.zfs.root}/shop/data/op-a", f"{self.there.zfs.root}/shop/data/op-m"
        return Way("m1", source, self.guid, "m2", **{"dataset": target, "address": TO, **more})

    def write(self, name: str, data: bytes) -> None:
        (self.here.folder / "shop/data/op-a" / name).write_bytes(data)

    def taken(self, name: str) -> str:
        """A snapshot of the volume; its guid."""
        return guid_of(self.here, snapped(self.here, f"{self.here.zfs.root}/shop/data/op-a", name))

    def brought(self, upto: str, **more: Any) -> None:
        async def story(node: Node) -> None:
            await sending.bring(self.way(**more), upto, node, "op-m")
            await sending.settle(self.way(**more), node)

        self.do(story)

    def line(self) -> list[str]:
        """The names of the snapshots that came, oldest first."""
        return [name.partition("@")[2] for name, _ in self._line()]

    def guids(self) -> list[str]:
        return [guid for _, guid in self._line()]

    def _line(self) -> list[tuple[str, str]]:
        found = asyncio.run(self.there.zfs.below(self.way().dataset))
        return [(one.name, one.guid) for one in sorted(found, key=lambda one: one.order)]

    def read(self, name: str) -> bytes:
        path = asyncio.run(self.there.zfs.mount(self.way().dataset))
        return (Path(path) / name).read_bytes()


@dataclass
class End:
    datasets: Zfs
    transfers: Transferring


def guid_of(ground: RealGround, name: str) -> str:
    found = asyncio.run(ground.zfs.look(name))
    assert found
    return found.guid


@dataclass
class Relay:
    """Stands between the machines, and cuts each connection after so many bytes, if any; then the next ones pass."""

    port: int
    cuts: Sequence[int | None]
    passed: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cut_after(*self.cuts)

    def cut_after(self, *cuts: int | None) -> None:
        """The next connections so; what was to be cut before is not."""
        self._left = iter(cuts)

    def run(self, server: socket.socket) -> None:
        while True:
            try:
                came, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(came,), daemon=True).start()

    def _carry(self, came: socket.socket) -> None:
        most, sent = next(self._left, None), 0
        with came, socket.create_connection((TO, self.port)) as out, suppress(OSError):
            while data := came.recv(min(1 << 16, most - sent if most else 1 << 16)):
                out.sendall(data)
                sent += len(data)
                if most and sent >= most:
                    break
        self.passed.append(sent)


def wait_for(holds: Callable[[], bool]) -> None:
    """Of connections that are over it is noted some moments later."""
    until = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)
