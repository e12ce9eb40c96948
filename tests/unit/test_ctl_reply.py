"""An answer can arrive in any pieces."""

import pytest

from ctl.reply import NotHttp, Reply, chunk

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nPloyz-Version: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(chunk(piece) for piece in (b'{"a":1}\n', b'{"b"', b':2}\n{"c":3}\n', b""))
)
WHOLE = b'HTTP/1.1 404 Not Found\r\ncontent-length: 8\r\n\r\n{"a":1}\n'
UNTIL_THE_END = b'HTTP/1.1 200 OK\r\n\r\n{"a":1}\n{"b":2}'


def lines(data: bytes, size: int) -> tuple[Reply, list[bytes]]:
    reply = Reply()
    return reply, [line for at in range(0, len(data), size) for line in reply.feed(data[at : at + size])]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_chunks_in_any_pieces_are_the_same_lines(size: int) -> None:
    reply, found = lines(CHUNKED, size)
    assert found == [b'{"a":1}', b'{"b":2}', b'{"c":3}']
    assert reply.over
    assert reply.headers["ployz-version"] == "1"


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_an_answer_of_known_length_ends_with_it(size: int) -> None:
    reply, found = lines(WHOLE, size)
    assert (reply.status, reply.over, found) == (404, True, [b'{"a":1}'])


def test_an_answer_of_no_known_length_ends_with_the_connection() -> None:
    reply, found = lines(UNTIL_THE_END, 4)
    assert (found, reply.over) == ([b'{"a":1}'], False)
    assert reply.end() == [b'{"b":2}']


def test_a_chunked_answer_that_is_cut_is_not_over() -> None:
    reply, _ = lines(CHUNKED[:-6], 1000)
    assert reply.end() == []
    assert not reply.over


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]
)
def test_what_is_not_http_is_said_to_be(data: bytes) -> None:
    with pytest.raises(NotHttp):
        Reply().feed(data)
