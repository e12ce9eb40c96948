"""After a boot, what was committed is started again: each namespace once, and nothing that fails its checks.

The engine has started by itself what it can; it cannot start what has volumes, for those are not mounted yet.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec import Struct

from daemon.engine import together
from daemon.node import Node
from daemon.primitive import NotSo, confirm
from daemon.records import Head, Service, Volume
from dataplane.dataset import ZfsProblem
from runtime.instance import Condition, EngineProblem

UNSEEN = 255
"""What the engine says of an instance that ended while nobody saw it: it ran when the machine went down."""

log = logging.getLogger("ployzd")

Reasons = Mapping[str, str]


class Note(Struct, frozen=True):
    """`pending` namespaces are not started yet; `reasons` say why an instance, or a dataset, is not up."""

    pending: tuple[str, ...]
    reasons: dict[str, str]


@dataclass
class Boot:
    """`memory` is a file that is gone after a boot: whoever finds none is the first since then."""

    node: Node
    memory: Path
    note: Note = field(default=Note((), {}), init=False)

    @property
    def reasons(self) -> Reasons:
        return self.note.reasons

    async def begin(self) -> None:
        """Find out what is to be started: everything after a boot, what an earlier daemon did not get to otherwise."""
        if self.memory.exists():
            self.note = msgspec.json.decode(self.memory.read_bytes(), type=Note)
            return
        records = await self.node.records.namespaces()
        self._write(Note(tuple(sorted(name for name, record in records.items() if record.head)), {}))

    async def start_all_but(self, undecided: Collection[str]) -> None:
        """Start what is pending, but for namespaces whose heads an open operation may still change."""
        await self.start([name for name in self.note.pending if name not in undecided])

    async def start(self, namespaces: Sequence[str]) -> None:
        """Start what the heads of these say has to run, unless that was done since the boot. Raises Refused."""
        await together([self._start(name) for name in namespaces if name in self.note.pending])

    async def _start(self, namespace: str) -> None:
        head = (await self.node.records.namespace(namespace)).head
        failed = await Start(self.node, head).carry_out() if head else {}
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
    reasons: dict[str, str] = field(default_factory=dict)

    async def carry_out(self) -> dict[str, str]:
        """Why what is not up is not."""
        found = {condition.id: condition for condition in await self.node.instances.all()}
        ours = [
            (service, found[instance.id])
            for service in self.head.services.values()
            for instance in service.instances
            if instance.machine == self.node.machine and instance.id in found
        ]
        await together([self._end(service, one) for service, one in ours if service.specification.volumes])
        await together([self._mount(volume) for volume in self.head.volumes.values()])
        await together([self._start(service, one) for service, one in ours if comes_back(service, one)])
        return self.reasons

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

    def _dataset(self, volume: Volume) -> str:
        return f"{self.node.datasets.root}/{self.head.namespace}/{volume.name}/{volume.generation}"

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
