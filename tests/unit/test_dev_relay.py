"""The way into a machine, with real sockets on loopback."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

from daemon.dev.ports import listen
from daemon.dev.relay import relay

Talk = Callable[[int], Awaitable[None]]
FIRST = 20080


async def _with_relay(serve: bool, talk: Talk) -> None:
    """A relay to a server that says what it was told, once it was told all, and then ends."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"told: " + await reader.read())
        writer.close()

    with listen(FIRST, set()) as outer, listen(FIRST, set()) as inner:
        target = inner.getsockname()[1]
        server = await asyncio.start_server(echo, sock=inner) if serve else None
        if server is None:
            inner.close()
        relaying = asyncio.create_task(relay(outer, "127.0.0.1", target))
        await talk(outer.getsockname()[1])
        relaying.cancel()
        await asyncio.gather(relaying, return_exceptions=True)
        if server:
            server.close()


async def _say(port: int, words: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(words)
    writer.write_eof()
    said = await reader.read()
    writer.close()
    return said


def test_a_half_closed_connection_still_brings_its_answer() -> None:
    async def talk(port: int) -> None:
        long = b"x" * 3_000_000
        answers = (await _say(port, b"one"), await _say(port, long))
        assert answers == (b"told: one", b"told: " + long)

    asyncio.run(_with_relay(True, talk))


def test_while_nobody_is_there_connections_are_closed_and_the_relay_lives() -> None:
    async def talk(port: int) -> None:
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()

    asyncio.run(_with_relay(False, talk))


def test_one_that_is_cut_does_not_hurt_the_next() -> None:
    async def talk(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as rude:
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            rude.sendall(b"half")
        assert await _say(port, b"whole") == b"told: whole"

    asyncio.run(_with_relay(True, talk))


def test_a_port_in_use_and_one_that_another_cluster_has_are_passed_over() -> None:
    with listen(FIRST, set()) as first:
        used = first.getsockname()[1]
        with listen(used, {used + 1}) as second:
            assert second.getsockname()[1] >= used + 2
