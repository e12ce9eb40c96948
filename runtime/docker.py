"""Instances as Docker containers. Every change is read back: what the engine answers proves nothing by itself."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import docker

from runtime import changes, health, images, logs
from runtime.about import About, about
from runtime.connections import under_way
from runtime.container import OPERATION, Inspected, condition, ignored, inspected, request, statuses
from runtime.ending import instance_ended, run_to_end
from runtime.engine import Absent, Engine
from runtime.files import Files
from runtime.image_giving import Giving
from runtime.instance import (
    AddressTaken,
    Check,
    Condition,
    Credentials,
    Ended,
    EngineProblem,
    Image,
    ImageMissing,
    NameTaken,
    Offer,
    SettingIgnored,
    Specification,
    Status,
)
from runtime.network import used
from runtime.session import Attached, ExecSession, attach, open_exec

LOOK_AGAIN = 0.05
"""Seconds between two looks at something that is on its way."""
ENDS_WITHIN = 10.0
"""Seconds that the engine may take to say how an instance ended that writes nothing any more."""
GOING = 10.0
"""Seconds that the engine may take to finish a removal that it has begun."""

LOOPBACK = "127.0.0.1"
"""Where images are offered by an engine whose machine no other one reaches."""

Login = Callable[[str], Awaitable[Credentials | None]]
"""Who we are at a registry."""


async def nobody(_host: str) -> Credentials | None:
    """At every registry."""
    return None


class Docker:
    """The engine behind `socket`. Instances join `network`; `files` is where their files are kept, and beside it what
    is saved of images for other machines; `dns` the address of their name server: the machine's own, where other
    machines reach it too. `login` tells who we are at a registry whenever one is asked.
    """

    def __init__(
        self, socket: Path, network: str, dns: str | None = None, *, files: Path, within: float = 30.0
    ) -> None:
        self.engine = Engine(socket, within=within)
        self.files = Files(files)
        self._giving = Giving(self.engine, dns or LOOPBACK, files.parent / "offered")
        self.network, self.dns = network, dns
        self.login: Login = nobody

    def close(self) -> None:
        """Hang up; the engine and all instances go on."""
        self.engine.close()

    async def about(self) -> About:
        """What the engine is. Raises EngineProblem."""
        return await about(self.engine)

    # ------------------------------------------------------------------------------------------------ images

    async def resolve(self, image: str, *, pull: str = "missing") -> str:
        """`<repository>@sha256:…`, or a local image's id: what a specification takes as its image."""
        return await images.resolve(self.engine, image, pull, await self.login(images.registry_of(image)))

    async def fetch(self, image: str, digest: str) -> None:
        """Have the image of that digest here."""
        await images.fetch(self.engine, image, digest, await self.login(images.registry_of(image)))

    async def images(self) -> list[Image]:
        """The images that are here, by name."""
        return await images.all_here(self.engine)

    async def offer(self, image: str, digest: str, to: str) -> Offer:
        """Let the machine `to` take the image of that id or digest, once and soon. Raises ImageMissing."""
        if await images.resolve(self.engine, digest, "never") != digest:
            raise ImageMissing(f"cannot offer {image} to {to}: {digest} is no id of an image")
        id = await images.id_here(self.engine, digest)
        return await self._giving.offer(id, current=await images.means(self.engine, image, id))

    async def take(self, image: str, digest: str, offer: Offer) -> int:
        """Have an image as another machine offers it, and how many bytes came. Raises ImageBroken."""
        return await images.take(self.engine, image, digest, offer)

    async def accepted(self, host: str, user: str, password: bytes) -> None:
        """Have a registry say that it takes these credentials. Raises RegistryRefused."""
        await images.accepted(self.engine, host, Credentials(user, password.decode()))

    # ----------------------------------------------------------------------------------------------- changes

    async def create(self, specification: Specification, by: str) -> None:
        """Make the container, not started. Raises NameTaken, ImageMissing, SettingIgnored."""
        files = await asyncio.to_thread(self.files.put, specification.id, by, specification.files)
        image = await images.called(self.engine, specification.image)
        wanted = replace(specification, image=image, mounts=(*specification.mounts, *files))
        asked = request(wanted, by, self.network, self.dns)
        problem = await self._try(f"cannot create {specification.id}", lambda client: client.create_container(**asked))
        found = await self._find(specification.id)
        if found is None:
            if isinstance(problem, Absent):
                raise ImageMissing(str(problem)) from problem
            raise problem or _lied("create", specification.id)
        if found.labels.get(OPERATION) != by:
            raise NameTaken(f"cannot create {specification.id}: {_whose(found)} has that name")
        if lacks := list(ignored(found, specification)):
            raise SettingIgnored(f"the engine made {specification.id} otherwise than asked: {'; '.join(lacks)}")

    async def restore_files(self, id: str, by: str, files: Mapping[str, bytes]) -> None:
        """Have the files of an instance there again, should this machine have lost them."""
        await asyncio.to_thread(self.files.put, id, by, files)

    async def start(self, id: str) -> None:
        """Start it unless it runs, and see that it did start."""
        before = await self._need(id)
        if before.up:
            return
        problem = await self._try(f"cannot start {id}", lambda client: client.start(before.id))
        after = await self._need(id)
        if after.state.started_at == before.state.started_at:
            await self._require_own_address(condition(before, self.network))
            raise problem or _lied("start", id)

    async def _require_own_address(self, wanted: Condition) -> None:
        """Raise AddressTaken if another container runs at the address of an instance that did not start."""
        holder = (await self.holders()).get(wanted.ip or "", wanted.id)
        if holder != wanted.id:
            raise AddressTaken(f"cannot start {wanted.id}: the container {holder} has its address {wanted.ip}")

    async def stop(self, id: str, grace: float) -> None:
        """Stop it, by force after `grace` seconds (whole ones, rounded up)."""
        before = await self._find(id)
        if before is None or not before.up:
            return
        seconds = -int(-grace // 1)
        problem = await self._try(f"cannot stop {id}", lambda client: client.stop(before.id, timeout=seconds))
        after = await self._find(id)
        if after is not None and after.up:
            raise problem or _lied("stop", id)

    async def pause(self, id: str) -> None:
        """Freeze all of its processes; one that does not run is fine."""
        await self._freeze(id, "running", "paused", docker.APIClient.pause)

    async def go_on(self, id: str) -> None:
        """Let its processes go on, if they were frozen. Absent is fine."""
        await self._freeze(id, "paused", "running", docker.APIClient.unpause)

    async def _freeze(self, id: str, off: str, to: str, change: Callable[[docker.APIClient, str], Any]) -> None:
        before = await self._find(id)
        if before is None or before.state.status != off:
            return
        problem = await self._try(f"cannot see {id} {to}", lambda client: change(client, before.id))
        after = await self._find(id)
        if after is not None and after.state.status == off:
            raise problem or _lied(f"see {to}", id)

    async def remove(self, id: str) -> None:
        """Stop it by force and remove it. Raises NameTaken for a container without our labels."""
        found = await self._find(id)
        if found is not None:
            if OPERATION not in found.labels:
                raise NameTaken(f"cannot remove {id}: {_whose(found)} has that name")
            await self._remove(id, found)
        await asyncio.to_thread(self.files.remove, id)

    async def take_back(self, id: str, by: str) -> None:
        """Remove it if `by` made it."""
        found = await self._find(id)
        if found is not None and found.labels.get(OPERATION) == by:
            await self._remove(id, found)
        await asyncio.to_thread(self.files.remove, id, by)

    async def _remove(self, id: str, found: Inspected) -> None:
        problem = await self._try(
            f"cannot remove {id}", lambda client: client.remove_container(found.id, force=True, v=True)
        )
        until = time.monotonic() + GOING
        while (left := await self._find(id)) is not None and left.id == found.id:
            if left.state.status != "removing" or time.monotonic() > until:
                raise problem or _lied("remove", id)
            await asyncio.sleep(LOOK_AGAIN)

    async def _try(self, cannot: str, change: Callable[[docker.APIClient], Any]) -> EngineProblem | None:
        """Ask for a change. A problem is not the end: only a look tells whether it was made."""
        try:
            await self.engine.ask(cannot, change)
        except EngineProblem as problem:
            return problem
        return None

    # ----------------------------------------------------------------------------------------------- looking

    async def look(self, id: str) -> Condition | None:
        """The instance; None only if the engine itself says that it does not exist."""
        found = await self._find(id)
        return None if found is None else condition(found, self.network)

    async def all(self) -> list[Condition]:
        """All containers with our label, by name."""
        looks = await asyncio.gather(*(self.look(name) for name in sorted(await self.statuses())))
        return [found for found in looks if found is not None]

    async def statuses(self) -> dict[str, Status]:
        """The status of each of them: what the engine's list tells, without a look at any."""
        filters = {"label": [OPERATION]}
        told = await self.engine.ask(
            "cannot list instances", lambda client: client.containers(all=True, filters=filters)
        )
        return statuses(told)

    async def addresses(self) -> set[str]:
        """Those of the network that any running container has."""
        return set(await self.holders())

    async def holders(self) -> dict[str, str]:
        """The same, with the name of who has each."""
        return await used(self.engine, self.network)

    async def _find(self, id: str) -> Inspected | None:
        try:
            found = inspected(
                await self.engine.ask(f"cannot look at {id}", lambda client: client.inspect_container(id))
            )
        except Absent:
            return None
        # The engine also answers to the beginning of another container's id.
        return found if found.name == f"/{id}" else None

    async def _need(self, id: str) -> Inspected:
        found = await self._find(id)
        if found is None:
            raise EngineProblem(f"there is no instance {id}")
        return found

    async def tail(self, id: str, lines: int) -> str:
        """The last lines that it wrote, to both streams; empty if it is not there."""
        try:
            told = await self.engine.ask(f"cannot read the log of {id}", lambda client: client.logs(id, tail=lines))
        except Absent:
            return ""
        return bytes(told).decode(errors="replace").rstrip("\n")

    def logs(
        self, id: str, *, follow: bool = False, since: float | None = None, tail: int | None = None
    ) -> AsyncGenerator[logs.Line, None]:
        """Lines of both streams with their times, oldest first; `since` is Unix seconds. Raises EngineProblem."""
        return logs.lines(self.engine.socket, id, follow=follow, since=since, tail=tail)

    def running(self) -> AsyncGenerator[frozenset[str], None]:
        """The ids of the instances that run, now and after each change, for ever."""
        return changes.running(self)

    # ----------------------------------------------------------------------------------------------- waiting

    async def ready(self, id: str, check: Check) -> None:
        """Wait until it is ready. Raises NotReady."""
        await health.wait_until_ready(self, id, check)

    async def ended(self, id: str, within: float) -> Ended:
        """Wait until the instance ends. Raises NotReady when its time is up."""
        return await instance_ended(self, id, within)

    async def drained(self, id: str, ports: Sequence[int], within: float) -> None:
        """Wait until no connection to these ports of it is open, at most `within` seconds."""
        found = await self._find(id)
        if found is None or not found.state.pid:
            return
        until = time.monotonic() + within
        while under_way(found.state.pid, ports) and time.monotonic() < until:
            await asyncio.sleep(LOOK_AGAIN)

    # ---------------------------------------------------------------------------------------------- commands

    async def run(self, id: str, argv: Sequence[str], within: float) -> Ended:
        """Run a command in it to its end, and return the end of what it wrote. Raises NotReady when its time is up."""
        return await run_to_end(self, id, argv, within)

    async def open_exec(
        self, id: str, argv: Sequence[str], *, tty: bool = False, rows: int = 24, columns: int = 80
    ) -> ExecSession:
        """Start a command that somebody talks to. The caller closes the session."""
        return await open_exec(self.engine, id, argv, tty=tty, size=(rows, columns))

    async def begin(self, id: str, *, tty: bool = False, rows: int = 24, columns: int = 80) -> Attached:
        """Start an instance that was made `attached`, and talk to it. The caller closes the session."""
        session = await attach(self.engine, id, partial(self.ended, id, ENDS_WITHIN), tty=tty)
        try:
            await self.start(id)
            if tty:
                await session.resize(rows, columns)
        except BaseException:
            await session.close()
            raise
        return session


def _lied(verb: str, id: str) -> EngineProblem:
    return EngineProblem(f"cannot {verb} {id}: the engine said that it was done, and it is not")


def _whose(found: Inspected) -> str:
    by = found.labels.get(OPERATION)
    return f"an instance of operation {by}" if by else "a container that is not ours"
