"""An engine in memory: the verbs, marks and refusals of real ones, and programs that do as they are told."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from runtime.container import OPERATION
from runtime.instance import (
    AddressTaken,
    Check,
    Condition,
    Ended,
    EngineProblem,
    EngineUnavailable,
    Image,
    ImageBroken,
    ImageMissing,
    NameTaken,
    NotReady,
    Offer,
    RegistryRefused,
    SettingIgnored,
    Specification,
    Status,
)
from tests.fakes.touch import Touch, straight

T = TypeVar("T")
EPOCH = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Program:
    """What an image or a command does: it runs on unless it `exits` at once; `on_run` happens whenever it starts.

    As a command run inside an instance it ends with `exits`, or 0; one that `hangs` never ends.
    """

    exits: int | None = None
    says: str = ""
    becomes_ready: bool = True
    hangs: bool = False
    on_run: Callable[[Specification], None] = lambda specification: None


@dataclass
class Instance:
    """A container: what was asked for, and how it goes."""

    specification: Specification
    by: str
    status: Status = "created"
    restarts: int = 0
    last_exit: int | None = None
    log: str = ""
    paused: bool = False

    @property
    def up(self) -> bool:
        return self.status in ("running", "restarting")

    @property
    def labels(self) -> Mapping[str, str]:
        return {**self.specification.labels, OPERATION: self.by} if self.by else self.specification.labels


def digest(image: str) -> str:
    """The id of an image that is here: its own name decides, unless `FakeEngine.moved` says otherwise."""
    return image if image.startswith("sha256:") else f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"


@dataclass
class FakeEngine:
    """`programs` are keyed by image, or by the words of a command, which come first.

    Every image is here, except `unknown` ones (names or digests) and those `at_registry`, which can be fetched. `built`
    are those that are named when somebody asks for all of them. Of no registry anything is heard while it is `offline`.
    `moved` gives a tag another meaning. While it is `down` it tells nothing of what runs. `ignores` names
    settings (of Bounds) that its kernel does not have. `exists` tells whether the source of a mount does.
    """

    touch: Touch = straight
    programs: dict[str | tuple[str, ...], Program] = field(default_factory=dict)
    exists: Callable[[str], bool] = lambda path: True
    unknown: set[str] = field(default_factory=set)
    ignores: set[str] = field(default_factory=set)
    moved: dict[str, str] = field(default_factory=dict)
    at_registry: dict[str, str] = field(default_factory=dict)
    offline: bool = False
    down: bool = False
    machine: str = "m1"
    built: set[str] = field(default_factory=set)
    fetched: set[str] = field(default_factory=set)
    instances: dict[str, Instance] = field(default_factory=dict)
    files: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)

    # ------------------------------------------------------------------------------------------------ images

    async def resolve(self, image: str, *, pull: str = "missing") -> str:
        if known := self._known(image):
            if known in self.fetched or (pull != "never" and not self.offline):
                return known
        elif image not in self.unknown:
            return self._means(image)
        raise ImageMissing(f"cannot find the image {image}, here or at its registry")

    def _known(self, image: str) -> str:
        """What an image of a registry, or a digest of one, is called by digest; empty for any other."""
        if image in self.at_registry:
            return f"{image.rpartition(':')[0]}@{self.at_registry[image]}"
        return image if "@" in image else ""

    async def accepted(self, host: str, user: str, password: bytes) -> None:
        if password == b"wrong":
            raise RegistryRefused(f"cannot log in to {host} as {user}: unauthorized")

    def _means(self, image: str) -> str:
        return self.moved.get(image, digest(image))

    async def images(self) -> list[Image]:
        """Those that were made known: of the fake's endless others nobody needs a list."""
        return [Image(name, digest(name), digest(name), 1000) for name in sorted(self.built)] + [
            Image("", id, id, 1000) for id in sorted(self.fetched)
        ]

    async def offer(self, image: str, digest: str, to: str) -> Offer:
        if not self._here(digest):
            raise ImageMissing(f"cannot offer {image} to {to}: it is not here")
        return Offer(self.machine, 1, digest, current=True, id=digest)

    async def take(self, image: str, digest: str, offer: Offer) -> int:
        if self._here(digest):
            return 0
        if offer.token != digest:
            raise ImageBroken(f"the image {digest} did not come from {offer.host}: another one came, {offer.token}")
        return await self.touch(f"engine take {image}", lambda: self._arrive(image, digest))

    def _arrive(self, image: str, id: str) -> int:
        self.fetched.add(id)
        self.unknown -= {image, id}
        return 1000

    async def fetch(self, image: str, digest: str) -> None:
        if self._here(digest):
            return
        if digest.startswith("sha256:") or self.offline:
            raise ImageMissing(f"the image {image} ({digest}) is not here any more, and no registry knows it")
        await self.touch(f"engine fetch {image}", lambda: self.fetched.add(digest))

    def _here(self, digest: str) -> bool:
        return digest in self.fetched or (digest.startswith("sha256:") and digest not in self.unknown)

    # ----------------------------------------------------------------------------------------------- changes

    async def create(self, specification: Specification, by: str) -> None:
        if specification.files:
            await self.touch(f"engine keep the files of {specification.id}", lambda: self._put(specification, by))
        await self.touch(f"engine create {specification.id}", lambda: self._create(specification, by))

    def _put(self, specification: Specification, by: str) -> None:
        self.files[specification.id, by] = dict(specification.files)

    def _create(self, specification: Specification, by: str) -> None:
        found = self.instances.get(specification.id)
        if found is not None:
            if found.by != by:
                raise NameTaken(f"cannot create {specification.id}: an instance of {found.by} has that name")
            return
        if specification.runtime == "docker" and not self._here(specification.image):
            raise ImageMissing(f"cannot create {specification.id}: there is no image {specification.image}")
        self._require_sources(specification)
        self.instances[specification.id] = Instance(specification, by)
        if lacks := [name for name in sorted(self.ignores) if getattr(specification.bounds, name)]:
            raise SettingIgnored(f"the engine made {specification.id} otherwise than asked: {', '.join(lacks)}")

    def _require_sources(self, specification: Specification) -> None:
        for mount in specification.mounts:
            if not self.exists(mount.source):
                raise EngineProblem(f"cannot mount {mount.source} into {specification.id}: it does not exist")

    async def start(self, id: str) -> None:
        await self.touch(f"engine start {id}", lambda: self._start(self._need(id)))

    def _start(self, instance: Instance) -> None:
        wanted = instance.specification
        if instance.up:
            return
        self._require_sources(wanted)
        for other in self.instances.values():
            # An address is taken while its instance runs, and no longer.
            if other.up and wanted.ip and other.specification.ip == wanted.ip:
                raise AddressTaken(f"cannot start {wanted.id}: {other.specification.id} has its address {wanted.ip}")
        program = self._program(wanted)
        instance.status, instance.restarts, instance.last_exit = "running", 0, None
        instance.log += program.says
        program.on_run(wanted)
        if program.exits is not None:
            again = wanted.survives and program.exits != 0
            instance.status, instance.last_exit = "restarting" if again else "stopped", program.exits
            instance.restarts = 1 if again else 0

    async def stop(self, id: str, grace: float) -> None:
        await self.touch(f"engine stop {id}", lambda: self._stop(id))

    def _stop(self, id: str) -> None:
        instance = self.instances.get(id)
        if instance is not None and instance.up:
            instance.status, instance.last_exit = "stopped", 0

    async def pause(self, ids: Sequence[str], by: str) -> None:
        for id in ids:
            await self.touch(f"engine pause {id}", partial(self._pause, id, paused=True))

    async def go_on(self, ids: Sequence[str], by: str) -> None:
        for id in ids:
            await self.touch(f"engine go on {id}", partial(self._pause, id, paused=False))

    def _pause(self, id: str, *, paused: bool) -> None:
        if id in self.instances and self.instances[id].up:
            self.instances[id].paused = paused

    async def remove(self, id: str) -> None:
        await self.touch(f"engine remove {id}", lambda: self._remove(id))
        for key in [key for key in self.files if key[0] == id]:
            await self.touch(f"engine remove the files of {id}", partial(self.files.pop, key))

    def _remove(self, id: str) -> None:
        if id in self.instances and not self.instances[id].by:
            raise NameTaken(f"cannot remove {id}: a container that is not ours has that name")
        self.instances.pop(id, None)

    async def take_back(self, id: str, by: str) -> None:
        await self.touch(f"engine take back {id}", lambda: self._take_back(id, by))
        if (id, by) in self.files:
            await self.touch(f"engine take back the files of {id}", lambda: self.files.pop((id, by)))

    def _take_back(self, id: str, by: str) -> None:
        if id in self.instances and self.instances[id].by == by:
            del self.instances[id]

    def crash(self, id: str, code: int = 137) -> None:
        """The program of a running instance dies by itself."""
        instance = self._need(id)
        again = instance.specification.survives and code != 0
        instance.status, instance.last_exit = "restarting" if again else "stopped", code
        instance.restarts += 1 if again else 0

    def stranger(self, id: str, ip: str | None = None) -> None:
        """Somebody else makes a container of that name, without our labels; one with an address runs there."""
        status: Status = "running" if ip else "created"
        self.instances[id] = Instance(Specification(id, "sha256:stranger", ip, {}), "", status)

    # ----------------------------------------------------------------------------------------------- looking

    async def look(self, id: str) -> Condition | None:
        return self._condition(id) if id in self.instances else None

    async def all(self) -> list[Condition]:
        return [self._condition(id) for id in sorted(self.instances) if self.instances[id].by]

    async def statuses(self) -> dict[str, Status]:
        if self.down:
            raise EngineUnavailable("the engine does not answer")
        return {found.id: found.status for found in await self.all()}

    def _condition(self, id: str) -> Condition:
        found = self.instances[id]
        wanted = found.specification
        return Condition(
            id=id,
            status=found.status,
            labels=found.labels,
            ip=wanted.ip,
            image=wanted.image,
            digest=wanted.image,
            since=EPOCH,
            restarts=found.restarts,
            last_exit=found.last_exit,
        )

    async def addresses(self) -> set[str]:
        return {each.specification.ip for each in self.instances.values() if each.up and each.specification.ip}

    async def tail(self, id: str, lines: int) -> str:
        return "\n".join(self.instances[id].log.splitlines()[-lines:]) if id in self.instances else ""

    def seen(self) -> list[tuple[Any, ...]]:
        """All that anybody could notice of the instances."""
        told = [
            (c.id, c.status, self.instances[c.id].paused, c.ip, c.image, tuple(sorted(c.labels.items())))
            for c in map(self._condition, self.instances)
        ]
        return [*sorted(told), *sorted((key, tuple(sorted(held.items()))) for key, held in self.files.items())]

    def writers(self) -> dict[str, list[str]]:
        """Which running instances may write into which directory of the host."""
        found: dict[str, list[str]] = {}
        for id, instance in sorted(self.instances.items()):
            for mount in (m for m in instance.specification.mounts if instance.up and not m.read_only):
                found.setdefault(mount.source, []).append(id)
        return found

    # ----------------------------------------------------------------------------------- waiting and commands

    async def ready(self, id: str, check: Check) -> None:
        instance = self._need(id)
        said = instance.log
        if instance.status != "running":
            raise NotReady(f"{id} ended with code {instance.last_exit}", said)
        if not self._program(instance.specification).becomes_ready:
            raise NotReady(f"{id} was not ready within {check.timeout:g} seconds", said)

    async def run(self, id: str, argv: Sequence[str], within: float) -> Ended:
        return await self.touch(f"engine run {' '.join(argv)} in {id}", lambda: self._run(id, argv, within))

    def _run(self, id: str, argv: Sequence[str], within: float) -> Ended:
        instance = self._need(id)
        if instance.status != "running":
            raise EngineProblem(f"cannot run {argv[0]} in {id}: it is not running")
        program = self.programs.get(tuple(argv), Program())
        program.on_run(instance.specification)
        if program.hangs:
            raise NotReady(
                f"`{' '.join(argv)}` in {id} did not end within {within:g} seconds and was killed", program.says
            )
        return Ended(program.exits or 0, program.says)

    async def ended(self, id: str, within: float) -> Ended:
        instance = self._need(id)
        if instance.status in ("created", "running"):
            raise NotReady(f"{id} did not end within {within:g} seconds", instance.log)
        return Ended(instance.last_exit or 0, instance.log)

    async def drained(self, id: str, ports: Sequence[int], within: float) -> None:
        return None

    def _need(self, id: str) -> Instance:
        if id not in self.instances:
            raise EngineProblem(f"there is no instance {id}")
        return self.instances[id]

    def _program(self, specification: Specification) -> Program:
        words = (*(specification.entrypoint or ()), *(specification.command or ()))
        images = (key for key in self.programs if isinstance(key, str) and self._means(key) == specification.image)
        return self.programs.get(words) or self.programs.get(next(images, "")) or Program()
