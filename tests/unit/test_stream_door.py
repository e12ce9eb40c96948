"""The door for bytes: an upgraded connection is the operation's own, from the first byte to the last."""

import asyncio
import socket
import struct
import threading
from pathlib import Path

import pytest

from ctl.carrying import Carrier, fetch
from ctl.contexts import Place
from ctl.quantities import count
from daemon.streaming import Streaming
from dataplane.dataset import StreamProblem
from dataplane.zfs_stream import Beginning, told
from tests.fakes.answers import Answering
from tests.fakes.zfs import FakeZfs
from tests.unit.test_server import scenario

MUCH = bytes(range(97, 123)) * 100_000


def there_and_back(path: Path) -> tuple[bytes, Carrier]:
    """What comes back of MUCH."""
    got: list[bytes] = []

    def keep(block: memoryview) -> int:
        got.append(bytes(block))
        return len(block)

    def carry(connection: socket.socket, moved: object) -> None:
        reader = threading.Thread(target=fetch, args=(connection, keep, moved))
        reader.start()
        connection.sendall(MUCH)
        connection.shutdown(socket.SHUT_WR)
        reader.join()

    carrier = Carrier(Place(str(path), "a test"), "op-x", carry)
    carrier.start()
    carrier.join()
    return b"".join(got), carrier


def test_every_byte_goes_through_it() -> None:
    async def test(answers: Answering, path: Path) -> None:
        got, carrier = await asyncio.to_thread(there_and_back, path)
        assert (carrier.failure, carrier.gone, carrier.moved) == ("", "", len(MUCH))
        assert got == MUCH.upper()
        assert answers.asked == [("op-x",)]

    scenario(test)


def test_an_operation_and_its_stream_meet_whoever_comes_first() -> None:
    async def met(*, first: bool) -> str:
        streaming = Streaming(FakeZfs().datasets)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            bringing = asyncio.create_task(streaming.bring("op-x", theirs))
            if first:
                await asyncio.sleep(0)
            ours.shutdown(socket.SHUT_WR)
            with pytest.raises(StreamProblem) as empty:
                await streaming.receive("tank/ployz/shop/data/op-x", "op-x", {}, None)  # type: ignore[arg-type]
            await bringing
        return str(empty.value)

    assert asyncio.run(met(first=True)) == asyncio.run(met(first=False)) == "it is empty"


def test_what_comes_is_told_by_its_first_bytes() -> None:
    for order in "<>":
        record = struct.pack(f"{order}8xQ24xQQ", 0x2F5BACBAC, 77, 5).ljust(312, b"\0")
        assert told(record) == Beginning("77", 5)
    assert told(b"name".ljust(257, b"\0") + b"ustar\0" + bytes(49)).is_tar
    for nothing in (b"", b"hello", bytes(312)):
        with pytest.raises(StreamProblem):
            told(nothing)


@pytest.mark.parametrize(
    ("text", "bytes"), [("20GiB", 20 << 30), ("1.5 KiB", 1536), ("4096", 4096), ("7B", 7), ("20GB", None), ("x", None)]
)
def test_a_size_is_read_as_it_is_shown(text: str, bytes: int | None) -> None:
    assert count(text) == bytes
