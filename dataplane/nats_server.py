"""A machine's nats-server: configured for its role, started, reloaded, and cut off from who left."""

import asyncio
import re
import shutil
import signal
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from dataplane.entry import StoreDown
from dataplane.layout import Layout, Role
from dataplane.nats_configuration import Own, configuration, inbox, server_name, without_users
from dataplane.nats_keeper import Keeper, Link, greeted, keeper
from dataplane.nats_keys import NatsKeys, public
from dataplane.nats_programs import programs
from dataplane.process import Process, ProcessDied, started
from dataplane.secret_file import write_secret
from runtime.command import CommandError, finish

RELOAD = 5.0
"""Seconds that a server may take until a configuration that it was told to read again is in force."""


class NatsProblem(CommandError):
    """The server does not do what its configuration says."""


@dataclass(frozen=True)
class NatsServer:
    """The server by which `machine` takes part in a layout.

    `folder` has the machine's keys, and below `home` what belongs to this layout's store alone. Who is `searching`
    looks for the store at every machine, as a leaf; records that it kept stay where they are.
    """

    folder: Path
    machine: str
    layout: Layout
    searching: bool = False

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.layout.ports.clients}"

    @property
    def inbox(self) -> str:
        """The prefix of subjects on which this machine may listen for answers."""
        return inbox(self.machine)

    @property
    def role(self) -> Role:
        """What it is to the store."""
        return Role.LEAF if self.searching else self.layout.role(self.machine)

    @property
    def home(self) -> Path:
        return self.folder / self.layout.store

    @property
    def keys(self) -> NatsKeys:
        return NatsKeys(self.folder)

    def seed(self) -> str:
        """The secret key of this machine's user. Never to be shown or logged."""
        return self.keys.machine()

    def agree(self, password: str) -> None:
        """Keep what the holders of this store know each other by. A store of three needs it before it starts."""
        write_secret(self._password_file, password.encode())

    async def ensure(self, *, within: float = 20.0) -> None:
        """Have it run with this configuration and answer, records loaded, and nobody linked who is no member.

        Where only members changed, it reads its configuration again and goes on; else it is started anew. Raises
        CommandFailed for a configuration that it would not take, with nothing changed; ProcessDied if it ended,
        CommandMissing without a program, StoreDown after `within` seconds, NatsProblem if it goes by another one.
        """
        candidates = await self._candidates()
        process = next((one for one in candidates if one.running()), candidates[0])
        asked, before = self.configuration(), self._written()
        digest = await self._checked(process, asked)
        if without_users(asked) != without_users(before):
            await process.stop()
        self._asked_file.replace(self._configuration_file)
        pid = await process.ensure()
        await self._answers(process, pid, within)
        async with self.keeper() as keeper:
            await self._have_in_force(keeper, process, digest)
            await self._cut_strangers(keeper)

    async def running(self) -> int | None:
        """The pid of the server, or None while it does not run."""
        return next((pid for process in await self._candidates() if (pid := process.running())), None)

    async def stop(self) -> None:
        """End it, its records on disk."""
        for process in await self._candidates():
            await process.stop()

    async def remove(self) -> None:
        """End it, and destroy what it kept: the records too, if this machine holds them."""
        await self.stop()
        if self.home.exists():
            await asyncio.to_thread(shutil.rmtree, self.home)

    async def links(self) -> list[Link]:
        """The leaves that are linked to it; a leaf's link to the store. Raises StoreDown."""
        async with self.keeper() as keeper:
            return await keeper.links()

    def keeper(self) -> AbstractAsyncContextManager[Keeper]:
        """Who looks after this server."""
        return keeper(self.layout.ports.clients, self.keys.keeper())

    def configuration(self) -> str:
        """What the server is to go by; it may hold secrets."""
        try:
            password = self._password_file.read_text()
        except FileNotFoundError:
            password = ""
        own = Own(self.machine, self.seed(), public(self.keys.keeper()), self.home / "records", password)
        return configuration(own, self.layout, searching=self.searching)

    # --------------------------------------------------------------------------------------------- its files

    @property
    def _configuration_file(self) -> Path:
        return self.home / "nats-server.conf"

    @property
    def _asked_file(self) -> Path:
        return self.home / "nats-server.conf.asked"

    @property
    def _password_file(self) -> Path:
        return self.home / "holders.password"

    def _written(self) -> str:
        try:
            return self._configuration_file.read_text()
        except FileNotFoundError:
            return ""

    # ------------------------------------------------------------------------------------------- its process

    async def _candidates(self) -> list[Process]:
        return [self._process(binary) for binary in await programs()]

    def _process(self, binary: Path) -> Process:
        return Process("nats-server", (str(binary), "-c", str(self._configuration_file)), self.home)

    async def _checked(self, process: Process, asked: str) -> str:
        """The digest of a configuration that the program would take; it is in a file beside the one in use."""
        write_secret(self._asked_file, asked.encode())
        said = await finish(process.argv[0], "-t", "-c", self._asked_file, within=10)
        if found := re.search(r"sha256:[0-9a-f]{64}", said.error):
            return found[0]
        raise NatsProblem(f"cannot check the configuration of nats-server: it says {said.error.strip()!r}")

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
        greeting = await greeted(self.layout.ports.clients)
        name, holds = server_name(self.machine, self.layout), self.role is not Role.LEAF
        return greeting is not None and (greeting.server_name, greeting.jetstream) == (name, holds)

    async def _have_in_force(self, keeper: Keeper, process: Process, digest: str) -> None:
        if await keeper.digest() == digest:
            return
        process.require_alive()
        process.tell(signal.SIGHUP)
        try:
            async with asyncio.timeout(RELOAD):
                while await keeper.digest() != digest:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            said = f"the end of its log: {process.said(3)}"
            raise NatsProblem(f"nats-server goes by another configuration than it was given; {said}") from None

    async def _cut_strangers(self, keeper: Keeper) -> None:
        """A link outlives its user. What is cut here cannot be made again, for the user is gone already."""
        if self.role is Role.LEAF:
            return
        known = {member.address for member in self.layout.members}
        for link in await keeper.links():
            if link.ip not in known:
                await keeper.cut(link)
