"""After a boot, what was committed is started again: each namespace once, in order, and nothing that fails its checks.

The engine has started by itself what it can; it cannot start what has volumes, for those are not mounted yet. But
nobody is led to what it started before what that comes `after` is ready.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec import Struct

from daemon.engine import together
from daemon.manifest import order
from daemon.node import Node
from daemon.planning import identity
from daemon.primitive import NotSo, confirm
from daemon.records import Head, Service, Volume
from daemon.wire import Refused
from dataplane.dataset import ZfsProblem
from runtime.instance import Condition, EngineProblem

UNSEEN = 255
"""What the engine says of an instance that ended while nobody saw it: it ran when the machine went down."""

UNSURE = "the cluster's records have not been in sight since then, so nobody knows whether it is still to run here"
"""Why nothing is started while the store is away."""

ASK_AGAIN = 2.0
"""Seconds before the store is asked again."""

log = logging.getLogger("ployzd")

Reasons = Mapping[str, str]
Release = Callable[[Collection[str]], Awaitable[None]]


class Note(Struct, frozen=True):
    """`pending` namespaces are not started yet; `reasons` say why an instance, or a dataset, is not up."""

    pending: tuple[str, ...]
    reasons: dict[str, str]


async def _to_nobody(instances: Collection[str]) -> None:
    """Nobody leads anybody anywhere."""


@dataclass
class Boot:
    """`memory` is a file that is gone after a boot: whoever finds none is the first since then.

    `release` is told the ids of instances to which people may be led from now on, once they are ready.
    """

    node: Node
    memory: Path
    release: Release = _to_nobody
    note: Note = field(default=Note((), {}), init=False)
    _starting: dict[str, asyncio.Task[None]] = field(default_factory=dict, init=False)

    def reasons(self, remembered: Iterable[Head]) -> Reasons:
        """Why what is not up is not. Until it has begun that is so of all that is `remembered` to run here."""
        if self.memory.exists():
            return self.note.reasons
        services = (service for head in remembered for service in head.services.values())
        ours = (one.id for service in services for one in service.instances if one.machine == self.node.machine)
        return dict.fromkeys(ours, UNSURE)

    async def begin(self) -> frozenset[str]:
        """Find out what is to be started: everything after a boot, what an earlier daemon did not get to otherwise.

        Returns the ids of the instances that nobody is to be led to before they are released.
        """
        records = await self.node.records.namespaces()
        heads = {name: record.head for name, record in sorted(records.items()) if record.head}
        if self.memory.exists():
            self.note = msgspec.json.decode(self.memory.read_bytes(), type=Note)
        else:
            self._write(Note(tuple(heads), {}))
        pending = (head for name, head in heads.items() if name in self.note.pending)
        services = (service for head in pending for service in head.services.values())
        return frozenset(instance.id for service in services for instance in service.instances)

    async def start_all_but(self, undecided: Collection[str]) -> None:
        """Start what is pending, but for namespaces whose heads an open operation may still change.

        While the store does not say what that is, it is asked again.
        """
        while True:
            try:
                return await self.start([name for name in self.note.pending if name not in undecided])
            except Refused as refused:
                log.error("not everything is started after the boot yet: %s", refused)
                await asyncio.sleep(ASK_AGAIN)

    async def start(self, namespaces: Sequence[str]) -> None:
        """Start what the heads of these say has to run, unless that was done since the boot. Raises Refused."""
        await together([self._once(name) for name in namespaces if name in self.note.pending])

    async def _once(self, namespace: str) -> None:
        """Whoever asks while it is being started waits for that, and may go away."""
        if namespace not in self._starting:
            self._starting[namespace] = asyncio.create_task(self._start(namespace))
            self._starting[namespace].add_done_callback(lambda _: self._starting.pop(namespace))
        await asyncio.shield(self._starting[namespace])

    async def _start(self, namespace: str) -> None:
        head = (await self.node.records.namespace(namespace)).head
        failed = await Start(self.node, head, self.release).carry_out() if head else {}
        pending = tuple(other for other in self.note.pending if other != namespace)
        self._write(Note(pending, {**self.note.reasons, **failed}))

    def _write(self, note: Note) -> None:
        made = self.memory.with_suffix(".new")
        made.write_bytes(msgspec.json.encode(note))
        made.replace(self.memory)
        self.note = note


@dataclass
class Start:
    """Starting what one head says has to run on this machine; what cannot be started holds up nothing else."""

    node: Node
    head: Head
    release: Release = _to_nobody
    reasons: dict[str, str] = field(default_factory=dict)

    async def carry_out(self) -> dict[str, str]:
        """Why what is not up is not."""
        found = {condition.id: condition for condition in await self.node.instances.all()}
        ours = {
            name: [found[one.id] for one in service.instances if one.machine == self.node.machine and one.id in found]
            for name, service in self.head.services.items()
        }
        writers = [service for service in self.head.services.values() if service.specification.volumes]
        await together([self._end(service, one) for service in writers for one in ours[service.name]])
        await together([self._mount(volume) for volume in self.head.volumes.values()])
        await self._start_in_order(ours)
        return self.reasons

    async def _start_in_order(self, ours: Mapping[str, Sequence[Condition]]) -> None:
        """Each service once those before it are ready, or had the time that their checks give them."""
        before = order({name: service.specification for name, service in self.head.services.items()})
        ready = {name: asyncio.Event() for name in self.head.services}

        async def one(service: Service) -> None:
            for other in before[service.name]:
                await ready[other].wait()
            going = [found for found in ours[service.name] if comes_back(service, found)]
            await together([self._start(service, found) for found in going])
            await self.release([found.id for found in ours[service.name]])
            if any(service.name in others for others in before.values()):
                await together([self._ready(service, found) for found in going])
            ready[service.name].set()

        await together([one(service) for service in self.head.services.values()])

    async def _end(self, service: Service, found: Condition) -> None:
        """Whatever runs of it began before its generation was mounted."""
        with self._told(found.id):
            await self.node.instances.stop(found.id, service.specification.stop_grace)

    async def _mount(self, volume: Volume) -> None:
        if volume.machine != self.node.machine:
            return
        name = self._dataset(volume)
        with self._told(name):
            await self._require_current(name, volume)
            await self.node.datasets.mount(name)

    async def _require_current(self, name: str, volume: Volume) -> None:
        dataset = await self.node.datasets.look(name)
        confirm(dataset, f"its generation {name} is not there")
        marks = dataset.marks if dataset else {}
        epoch, state = marks.get("epoch"), marks.get("state")
        confirm(epoch == str(volume.epoch), f"{name} is of epoch {epoch}, and epoch {volume.epoch} is committed")
        # The operation that committed it may have been cut before it marked it.
        confirm(state in ("current", "candidate"), f"{name} is marked as {state}, not as current")

    async def _start(self, service: Service, found: Condition) -> None:
        data = [self._dataset(self.head.volumes[name]) for name in service.specification.volumes]
        if why := "; ".join(self.reasons[name] for name in data if name in self.reasons):
            self.reasons[found.id] = why
            return
        with self._told(found.id):
            await self.node.instances.start(found.id)

    async def _ready(self, service: Service, found: Condition) -> None:
        try:
            await self.node.instances.ready(found.id, identity.check(service.specification))
        except EngineProblem as problem:
            log.warning("what comes after %s starts without it: %s", found.id, problem)

    def _dataset(self, volume: Volume) -> str:
        return self.head.dataset(volume.name, self.node.datasets.root)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ZfsProblem, EngineProblem, NotSo) as failure:
            log.warning("%s is not up after the boot: %s", what, failure)
            self.reasons[what] = str(failure)


def comes_back(service: Service, found: Condition) -> bool:
    """Whether it is started after a boot: all but what had ended before, and is not to be started again."""
    ended_before = found.status == "stopped" and found.last_exit != UNSEEN
    return not (service.specification.restart == "no" and ended_before)
