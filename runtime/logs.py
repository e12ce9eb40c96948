"""What containers wrote, line by line, with the times at which the engine got it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import quote, urlencode

from runtime.stream import PIECE, Stream, connect, pieces

Line = tuple[Stream, str, bytes]
"""The stream, when the engine got it (RFC 3339 UTC), and the line without its end."""


async def lines(
    socket: Path, id: str, *, follow: bool = False, since: float | None = None, tail: int | None = None
) -> AsyncGenerator[Line, None]:
    """Both streams merged, oldest first; with `follow` until the container ends. `since` is Unix seconds."""
    asked = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": "1" if follow else "0"}
    asked |= {} if since is None else {"since": f"{since:.9f}"}
    asked |= {} if tail is None else {"tail": str(tail)}
    connection = await connect(socket, f"GET /containers/{quote(id)}/logs?{urlencode(asked)}")
    try:
        async with aclosing(pieces(connection, tty=False)) as entries:
            async for line in _joined(entries):
                yield line
    finally:
        await connection.close()


async def _joined(entries: AsyncIterator[tuple[Stream, bytes]]) -> AsyncIterator[Line]:
    """The engine cuts long lines into entries, each with a time of its own: put them together again."""
    open_lines: dict[Stream, tuple[str, bytes]] = {}
    async for stream, entry in entries:
        at, _, said = entry.partition(b" ")
        began, before = open_lines.pop(stream, (at.decode(errors="replace"), b""))
        whole = before + said
        if whole.endswith(b"\n") or len(whole) > 16 * PIECE:
            yield stream, began, whole.removesuffix(b"\n")
        else:
            open_lines[stream] = began, whole
    for stream, (began, rest) in open_lines.items():
        yield stream, began, rest
