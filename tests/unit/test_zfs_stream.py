"""What begins to come, where the connection breaks before it came."""

import asyncio
import socket
import struct

import pytest

from dataplane.dataset import StreamProblem
from dataplane.zfs_stream import RECORD, ZFS_MAGIC, Beginning, peek, told

RESET = struct.pack("ii", 1, 0)
"""To linger for no time: whoever closes then resets the connection (socket(7))."""


def test_a_connection_that_is_reset_has_broken_like_any_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        other = socket.create_connection(server.getsockname())
        came, _ = server.accept()
        with came:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            other.close()
            with pytest.raises(StreamProblem, match="the connection broke"):
                asyncio.run(peek(came, RECORD))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("features", "resumes"), [(0x11, False), (0x400011, True)], ids=["whole", "rest"])
def test_a_stream_tells_what_it_is_of_and_whether_it_is_only_the_rest(order: str, features: int, resumes: bool) -> None:
    """As OpenZFS 2.1 writes it."""
    record = struct.pack(f"{order}IIQQQIIQQ", 0, 96, ZFS_MAGIC, features, 7, 2, 12, 123, 45)
    assert told(record.ljust(RECORD, b"\0")) == Beginning("123", 45, resumes)
