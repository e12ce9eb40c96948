"""Giving images to other machines: each offer is taken once, over a connection of its own, missing layers only.

Who takes one says the token, and is told, as a line of JSON, how many bytes the image's description and each of its
layers have; the description follows. It answers with how many layers it has already, and gets the others as they are.
"""

import asyncio
import hmac
import json
import secrets
import tempfile
import threading
from asyncio import Future, StreamReader, StreamWriter, Task
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from runtime.engine import Engine
from runtime.image_archive import Archive, opened
from runtime.instance import EngineProblem, Offer

WAITS, SILENT = 60.0, 30.0
"""Seconds until an offer that nobody takes is over, and that either side may say nothing."""
SAVING = 600.0
"""Seconds that the engine may take for the next piece of what it saves."""
CHUNK, SLICE = 2**20, 4 * 2**20
"""Bytes that are read from the engine, and sent, at a time."""

Came = Future[tuple[StreamReader, StreamWriter]]


@dataclass
class Spool:
    """An image, saved for as long as there are `users` that offer it."""

    saved: Task[Archive]
    users: int = 0


@dataclass
class Giving:
    """The offers of one engine. `address` is where other machines reach this one. What is saved for them is in
    `folder`, in files without a name: nothing of them stays, whoever is killed.
    """

    engine: Engine
    address: str
    folder: Path
    _spools: dict[str, Spool] = field(default_factory=dict)
    _standing: set[Task[None]] = field(default_factory=set)

    async def offer(self, id: str, *, current: bool) -> Offer:
        """Have the image of that id saved, and listen for who takes it. Raises EngineProblem."""
        if id not in self._spools:
            self._spools[id] = Spool(asyncio.create_task(_saved(self.engine, id, self.folder)))
        spool = self._spools[id]
        spool.users += 1
        try:
            archive = await asyncio.shield(spool.saved)
            token, came = secrets.token_hex(32), asyncio.get_running_loop().create_future()
            server = await self._listening(token, came)
        except BaseException:
            await self._leave(id, spool)
            raise
        standing = asyncio.create_task(self._stand(id, spool, archive, server, came))
        self._standing.add(standing)
        standing.add_done_callback(self._standing.discard)
        return Offer(self.address, server.sockets[0].getsockname()[1], token, current, id)

    async def _listening(self, token: str, came: Came) -> asyncio.Server:
        async def knock(reader: StreamReader, writer: StreamWriter) -> None:
            said = b""
            with suppress(OSError, TimeoutError, ValueError):
                async with asyncio.timeout(SILENT):
                    said = await reader.readline()
            if hmac.compare_digest(said.strip(), token.encode()) and not came.done():
                came.set_result((reader, writer))
            else:
                writer.close()

        try:
            return await asyncio.start_server(knock, self.address, 0)
        except OSError as error:
            raise EngineProblem(f"cannot offer an image at {self.address}: {error}") from error

    async def _stand(self, id: str, spool: Spool, archive: Archive, server: asyncio.Server, came: Came) -> None:
        """Give it to the first who knows the token. Who takes it knows best what has not come, and says so."""
        try:
            with suppress(OSError, TimeoutError, ValueError):
                async with asyncio.timeout(WAITS):
                    reader, writer = await came
                server.close()
                try:
                    await _give(archive, reader, writer)
                finally:
                    writer.close()
        finally:
            server.close()
            await self._leave(id, spool)

    async def _leave(self, id: str, spool: Spool) -> None:
        """The last one who needs what is saved lets it go."""
        spool.users -= 1
        if spool.users:
            return
        del self._spools[id]
        spool.saved.cancel()
        with suppress(EngineProblem, asyncio.CancelledError):
            (await spool.saved).file.close()


async def _give(archive: Archive, reader: StreamReader, writer: StreamWriter) -> None:
    header = {"config": len(archive.config), "layers": [layer.bytes for layer in archive.layers]}
    writer.write(json.dumps(header).encode() + b"\n" + archive.config)
    async with asyncio.timeout(SILENT):
        await writer.drain()
        has = int(await reader.readline())
    loop = asyncio.get_running_loop()
    for layer in archive.layers[has:]:
        for done in range(0, layer.bytes, SLICE):
            async with asyncio.timeout(SILENT):
                count = min(SLICE, layer.bytes - done)
                await loop.sendfile(writer.transport, archive.file, layer.offset + done, count)


async def _saved(engine: Engine, id: str, folder: Path) -> Archive:
    cannot = f"cannot save the image {id}"
    folder.mkdir(parents=True, exist_ok=True)
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it is closed with the last offer
    unwanted = threading.Event()

    def save(client: Any) -> None:
        with _exported(client, id) as response:
            for chunk in response.iter_content(CHUNK):
                if unwanted.is_set():
                    return
                _write(file, chunk, cannot)

    saving = asyncio.ensure_future(engine.ask(cannot, save, within=SAVING))
    try:
        await asyncio.shield(saving)
        return await asyncio.to_thread(opened, file)
    except BaseException:
        unwanted.set()  # else it would be waited for until all is saved
        await asyncio.wait([saving])
        saving.exception()
        file.close()
        raise


def _exported(client: Any, id: str) -> Any:
    """As `client.get_image`, which would wait for ever."""
    response = client._get(client._url("/images/{0}/get", id), stream=True)
    client._raise_for_status(response)
    return response


def _write(file: BinaryIO, chunk: bytes, cannot: str) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise EngineProblem(f"{cannot} for another machine: {error}") from error
