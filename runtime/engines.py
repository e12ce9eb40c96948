"""The engines of one machine as one: containers and processes of the host, each instance with exactly one of them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from runtime import logs
from runtime.docker import Docker
from runtime.host.engine import Host
from runtime.host.session import HostSession
from runtime.instance import AddressTaken, Check, Condition, Ended, Image, NameTaken, Offer, Specification, Status
from runtime.session import Attached, ExecSession
from runtime.standstill import Standstills, Still


@dataclass(frozen=True)
class Engines:
    """Asks the one that has an instance: the host's is a look at a folder, all others are Docker's.

    Where one of them cannot be asked that is an error: nothing is absent because nobody answered.
    """

    docker: Docker
    host: Host
    standstills: Standstills

    async def resolve(self, image: str, *, pull: str = "missing") -> str:
        """What an image means now. Raises ImageMissing."""
        return await self.docker.resolve(image, pull=pull)

    async def fetch(self, image: str, digest: str) -> None:
        """Have the image of that digest here."""
        await self.docker.fetch(image, digest)

    async def images(self) -> list[Image]:
        """The images that are here, by name."""
        return await self.docker.images()

    async def offer(self, image: str, digest: str, to: str) -> Offer:
        """Let the machine `to` take the image of that id or digest."""
        return await self.docker.offer(image, digest, to)

    async def take(self, image: str, digest: str, offer: Offer) -> int:
        """Have an image as another machine offers it. Raises ImageBroken."""
        return await self.docker.take(image, digest, offer)

    async def accepted(self, host: str, user: str, password: bytes) -> None:
        """Have a registry say that it takes these credentials. Raises RegistryRefused."""
        await self.docker.accepted(host, user, password)

    async def create(self, specification: Specification, by: str) -> None:
        """Make the instance with the engine that it is for. Raises NameTaken where it is with the other."""
        mine, other = (self.host, self.docker) if specification.runtime == "host" else (self.docker, self.host)
        if await other.look(specification.id) is not None:
            raise NameTaken(f"cannot create {specification.id}: the machine's other engine has one of that name")
        await mine.create(specification, by)

    async def start(self, id: str) -> None:
        """Start it, unless it runs. Raises AddressTaken where another has its address, with either engine."""
        await self._require_own_address(id)
        await self._of(id).start(id)
        await self._require_own_address(id)  # who came at the same moment was not seen before

    async def stop(self, id: str, grace: float) -> None:
        """Stop it, by force after `grace` seconds."""
        await self._of(id).stop(id, grace)

    async def pause(self, ids: Sequence[str], by: str) -> None:
        """Let them stand still, for the operation `by`; should the daemon die meanwhile, they go on by themselves."""
        groups = [self.host.group(id) for id in ids if self.host.has(id)]
        containers = [id for id in ids if not self.host.has(id)]
        await self.standstills.begin(by, ids, Still(self.docker.engine.socket, containers, groups))
        for id in ids:
            await self._of(id).pause(id)

    async def go_on(self, ids: Sequence[str], by: str) -> None:
        """Let them go on."""
        for id in {*ids} - self.standstills.of_others(by):
            await self._of(id).go_on(id)
        await self.standstills.end(by)

    async def remove(self, id: str) -> None:
        """Stop it by force and remove it."""
        await self._of(id).remove(id)

    async def take_back(self, id: str, by: str) -> None:
        """Remove it if `by` made it."""
        await self._of(id).take_back(id, by)

    async def look(self, id: str) -> Condition | None:
        """The instance; None only if both say that it does not exist."""
        return await self._of(id).look(id)

    async def all(self) -> list[Condition]:
        """All instances of both, by name."""
        found = await asyncio.gather(self.docker.all(), self.host.all())
        return sorted((condition for each in found for condition in each), key=lambda condition: condition.id)

    async def statuses(self) -> dict[str, Status]:
        """The status of each instance of both."""
        containers, processes = await asyncio.gather(self.docker.statuses(), self.host.statuses())
        return containers | processes

    async def addresses(self) -> set[str]:
        """The addresses of the instances' network that are in use, whoever uses them."""
        containers, processes = await asyncio.gather(self.docker.addresses(), self.host.addresses())
        return containers | processes

    async def ready(self, id: str, check: Check) -> None:
        """Wait until it is ready. Raises NotReady."""
        await self._of(id).ready(id, check)

    async def run(self, id: str, argv: Sequence[str], within: float) -> Ended:
        """Run a command in it to its end."""
        return await self._of(id).run(id, argv, within)

    async def ended(self, id: str, within: float) -> Ended:
        """Wait until the instance ends."""
        return await self._of(id).ended(id, within)

    async def drained(self, id: str, ports: Sequence[int], within: float) -> None:
        """Wait until no connection to these ports of it is open."""
        await self._of(id).drained(id, ports, within)

    def logs(
        self, id: str, *, follow: bool = False, since: float | None = None, tail: int | None = None
    ) -> AsyncGenerator[logs.Line, None]:
        """Lines of both streams with their times, oldest first."""
        return self._of(id).logs(id, follow=follow, since=since, tail=tail)

    async def tail(self, id: str, lines: int) -> str:
        """The last lines that it wrote, to both streams."""
        return await self._of(id).tail(id, lines)

    async def begin(self, id: str, *, tty: bool = False, rows: int = 24, columns: int = 80) -> Attached | HostSession:
        """Start an instance that was made `attached`, and talk to it."""
        return await self._of(id).begin(id, tty=tty, rows=rows, columns=columns)

    async def open_exec(
        self, id: str, argv: Sequence[str], *, tty: bool = False, rows: int = 24, columns: int = 80
    ) -> ExecSession | HostSession:
        """Start a command that somebody talks to."""
        return await self._of(id).open_exec(id, argv, tty=tty, rows=rows, columns=columns)

    async def _require_own_address(self, id: str) -> None:
        """Neither engine knows whom the other has at an address; each looks after its own."""
        mine = self._of(id)
        holders = await (self.docker if mine is self.host else self.host).holders()
        found = await mine.look(id) if holders else None
        if found and found.ip in holders:
            raise AddressTaken(f"cannot start {id}: {holders[found.ip]} has its address {found.ip}")

    def _of(self, id: str) -> Docker | Host:
        return self.host if self.host.has(id) else self.docker
