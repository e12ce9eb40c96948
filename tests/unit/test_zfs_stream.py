"""What begins to come, where the connection breaks before it came."""

import asyncio
import socket
import struct

import pytest

from dataplane.dataset import StreamProblem
from dataplane.zfs_stream import RECORD, peek

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
