"""Which connections an instance still has something to do with, told by real sockets."""

import os
import socket
import time
from collections.abc import Iterator

import pytest

from runtime.connections import under_way

Pair = tuple[socket.socket, socket.socket, int]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Both ends of a connection, whoever asks first, and the port of who is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as asking, listening.accept()[0] as asked:
            yield asking, asked, port


def left(port: int) -> int:
    return under_way(os.getpid(), [port])


def test_one_is_under_way_until_both_have_ended_it(pair: Pair) -> None:
    asking, asked, port = pair
    assert left(port) == 1
    asking.shutdown(socket.SHUT_WR)
    assert left(port) == 1, "an answer may still come"
    asked.close()
    assert left(port) == 0


def test_what_was_closed_but_has_not_arrived_is_under_way(pair: Pair) -> None:
    asking, asked, port = pair
    asked.setblocking(False)
    sent = 0
    try:
        while True:
            sent += asked.send(b"x" * 65536)
    except BlockingIOError:
        asked.close()
    assert left(port) == 1
    while data := asking.recv(1 << 20):
        sent -= len(data)
    assert sent == 0
    until = time.monotonic() + 5
    while left(port):
        assert time.monotonic() < until


def test_of_a_process_that_is_gone_none_is(pair: Pair) -> None:
    assert under_way(2**22 + 1, [pair[2]]) == 0
