"""Random lives of a few namespaces, against a plain model of what the data of each is.

Whoever lives them is given requests, and asked what is there: the fakes of the law, or a real machine.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from daemon.wire import (
    Branch,
    Deploy,
    Migrate,
    Mutation,
    NamespaceRm,
    Promote,
    Rollback,
    VolumeFork,
    VolumePurge,
    VolumeRestore,
    VolumeSend,
    VolumeSnapshot,
)

Rows = frozenset[str]
NAMES = ("a", "b", "c", "d")
"""Few, so that lives cross often. Each life has its own, for deploys are counted on after a purge."""


class Place(Protocol):
    """Where a life is lived: on these machines."""

    machines: tuple[str, ...]

    def refusal(self, request: Mutation) -> str:
        """Carry it out: why it was refused, empty if it is done. Anything else raises."""

    def manifest(self, namespace: str, version: int, keep: int) -> str:
        """One with the volume `data`; another version is another deploy."""

    def deploy(self, namespace: str) -> int:
        """The number of its deploy."""

    def machine(self, namespace: str) -> str:
        """The one that its volume is on."""

    def runs(self, namespace: str) -> bool:
        """Whether there is a service that has the volume."""

    def write(self, namespace: str, row: str) -> None:
        """Into the volume, as what runs there would."""

    def rows(self, namespace: str) -> Rows:
        """What is in it."""

    def require_sound(self, said: str) -> None:
        """Nothing is missing, and nothing is left over."""


@dataclass
class Namespace:
    """What is there of one: the rows of now (None where it is removed), of its deploy points, of its named snapshots.

    `keeps` says how many points each deploy wants to be kept. One that is `reborn` began anew after it was removed, so
    what there is of before may be on another machine.
    """

    present: Rows | None = None
    deploy: int = 0
    past: dict[int, Rows] = field(default_factory=dict)
    named: dict[str, Rows] = field(default_factory=dict)
    keeps: dict[int, int] = field(default_factory=dict)
    reborn: bool = False

    def replace(self, present: Rows, keep: int, *, at_most: int | None = None) -> None:
        """A new deploy, which keeps `at_most` points of those before; None: all."""
        if self.present is not None:
            self.past[self.deploy] = self.present
        elif self.past:
            self.reborn = True
        self.deploy, self.present = self.deploy + 1, present
        self.keeps[self.deploy] = keep
        if at_most is not None:
            self.past = {number: self.past[number] for number in sorted(self.past)[-at_most:]}

    def remove(self) -> None:
        assert self.present is not None
        self.past[self.deploy], self.present = self.present, None

    def purge(self) -> None:
        self.past, self.named, self.present, self.reborn = {}, {}, None, False

    @property
    def keep(self) -> int:
        return self.keeps[self.deploy] if self.present is not None else 0


class Life:
    """One life, the same for the same seed wherever it is lived."""

    def __init__(self, place: Place, seed: int) -> None:
        self.place, self.random, self.number = place, random.Random(seed), 0
        self.names = tuple(f"{name}{seed}" for name in NAMES)
        self.there = {name: Namespace() for name in self.names}
        self.told: list[str] = []

    def live(self, steps: int) -> None:
        """Do so many things, look after each, and purge everything in the end."""
        for _ in range(steps):
            self.random.choice(list(self._choices()))()
            self.require_same()
        for name in self.random.sample(self.names, len(self.names)):
            if self._holds(name):
                self.purge(name)
                self.require_same()

    def require_same(self) -> None:
        said = "\n".join(self.told)
        self.place.require_sound(said)
        for name, namespace in self.there.items():
            if namespace.present is not None:
                assert self.place.rows(name) == namespace.present, f"{name} after\n{said}"

    def _choices(self) -> Iterator[Callable[[], None]]:
        """What may be done now; what is done often stands there more than once."""
        lives = [name for name, one in self.there.items() if one.present is not None]
        gone = [name for name in self.names if name not in lives]
        named = [(name, label) for name, one in self.there.items() for label in one.named]
        choose = self.random.choice
        yield from [lambda: self.deploy(choose(self.names))] * 3
        if lives:
            yield from [lambda: self.write(choose(lives))] * 3
            yield lambda: self.snapshot(choose(lives))
            yield lambda: self.remove(choose(lives))
        if lives and gone:
            yield from [lambda: self.branch(choose(lives), choose(gone))] * 3
            yield lambda: self.fork(choose(lives), choose(gone))
        if len(lives) > 1:
            one, other = self.random.sample(lives, 2)
            yield from [lambda: self.promote(one, other)] * 3
            yield lambda: self.refused(Branch(one, other))
        if any(one.past for one in self.there.values()):
            yield from [lambda: self.roll_back(choose([name for name in self.names if self.there[name].past]))] * 3
        if named:
            yield lambda: self.unname(*choose(named))
        if named and gone:
            yield lambda: self.restore(*choose(named), choose(gone))
        if any(map(self._holds, self.names)):
            yield lambda: self.purge(choose([name for name in self.names if self._holds(name)]))
        if lives and len(self.place.machines) > 1:
            yield from [lambda: self.move(choose(lives))] * 6
            yield from [lambda: self.send(choose(lives))] * 3
            yield lambda: self.forget_copy(choose(lives))

    def _holds(self, name: str) -> bool:
        one = self.there[name]
        return one.present is not None or bool(one.past or one.named)

    # ------------------------------------------------------------------------------------------- what is done

    def write(self, name: str) -> None:
        one, row = self.there[name], f"row-{self._next(f'write to {name}')}"
        assert one.present is not None
        self.place.write(name, row)
        one.present |= {row}

    def deploy(self, name: str) -> None:
        one, keep = self.there[name], self.random.choice((1, 2, 5))
        self.do(Deploy(self.place.manifest(name, self._next(f"deploy {name}, keep {keep}"), keep)))
        one.replace(one.present or frozenset(), keep, at_most=keep)

    def branch(self, source: str, name: str) -> None:
        self._next(f"branch {source} as {name}")
        self.do(Branch(source, name))
        self.there[name].replace(self._present(source), self.there[source].keep)

    def promote(self, source: str, name: str) -> None:
        """Without data it may be that nothing changes: then it is no deploy. Data of another machine has to be moved
        first."""
        one, with_data = self.there[name], self.random.random() < 0.6
        self._next(f"promote {source} to {name}{' with its data' if with_data else ''}")
        if with_data and self.place.machine(source) != self.place.machine(name):
            assert "volume.elsewhere" in self.place.refusal(Promote(source, name, with_data))
            return
        self.do(Promote(source, name, with_data))
        if with_data or self.changed(name):
            one.replace(self._present(source if with_data else name), one.keep, at_most=one.keep)

    def changed(self, name: str) -> bool:
        """Whether the last one made a deploy."""
        return self.place.deploy(name) != self.there[name].deploy

    def roll_back(self, name: str) -> None:
        one = self.there[name]
        to = self.random.choice(sorted(one.past))
        self._next(f"roll {name} back to {to}")
        why = self.place.refusal(Rollback(name, to))
        if one.reborn and "volume.elsewhere" in why:
            return
        self.require_done(why)
        one.replace(one.past[to], one.keeps[to], at_most=max(one.keep, one.keeps[to]))

    def snapshot(self, name: str) -> None:
        label = f"s{self._next(f'snapshot {name}')}"
        self.do(VolumeSnapshot(name, "data", label))
        self.there[name].named[label] = self._present(name)

    def unname(self, name: str, label: str) -> None:
        """It is refused while something came from it, which only ZFS knows."""
        self._next(f"purge {name}@{label}")
        if not self.place.refusal(VolumePurge(name, "data", snapshot=label)):
            del self.there[name].named[label]

    def fork(self, source: str, name: str) -> None:
        self._next(f"fork {source} as {name}")
        self.do(VolumeFork(source, "data", name, "data"))
        self.there[name].replace(self._present(source), 10)

    def restore(self, source: str, label: str, name: str) -> None:
        self._next(f"restore {source}@{label} as {name}")
        self.do(VolumeRestore(source, "data", label, name, "data"))
        self.there[name].replace(self.there[source].named[label], 10)

    def move(self, name: str) -> None:
        """What no service has goes nowhere by itself."""
        to, service = self._elsewhere(name), "db" if self.place.runs(name) else ""
        off = "" if service else self.place.machine(name)
        self._next(f"move {name} {f'off {off}' if off else f'to {to}'}")
        self.do(Migrate(name, service, to="" if off else to, off=off))

    def send(self, name: str) -> None:
        to = self._elsewhere(name)
        self._next(f"send {name} to {to}")
        self.do(VolumeSend(name, "data", to))

    def forget_copy(self, name: str) -> None:
        """If there is one."""
        at = self._elsewhere(name)
        self._next(f"purge the copy of {name} on {at}")
        self.place.refusal(VolumePurge(name, "data", copy=at))

    def _elsewhere(self, name: str) -> str:
        return self.random.choice([one for one in self.place.machines if one != self.place.machine(name)])

    def remove(self, name: str) -> None:
        self._next(f"remove {name}")
        self.do(NamespaceRm(name))
        self.there[name].remove()

    def purge(self, name: str) -> None:
        self._next(f"purge {name}")
        self.do(NamespaceRm(name, purge=True))
        self.there[name].purge()

    def refused(self, request: Mutation) -> None:
        self._next(f"be refused {request}")
        assert self.place.refusal(request), "\n".join(self.told)

    def do(self, request: Mutation) -> None:
        self.require_done(self.place.refusal(request))

    def require_done(self, why: str) -> None:
        assert not why, "\n".join([*self.told, f"which was refused: {why}"])

    def _present(self, name: str) -> Rows:
        present = self.there[name].present
        assert present is not None
        return present

    def _next(self, told: str) -> int:
        self.number += 1
        self.told.append(f"{self.number}. {told}")
        return self.number
