"""The way from one head of a namespace to the next: the plan of every primitive that makes a deploy point.

Nothing here touches the world. `daemon.planning` makes the plan, `daemon.changing` its steps.
"""

from typing import Literal

from msgspec import Struct

from daemon.records import Head, Newest, Token, Volume
from daemon.wire import Action
from dataplane.dataset import Layout
from runtime.instance import Check, Specification

SECRETS = "/run/secrets"
"""Where instances find theirs, a file each."""


class Name(Struct, frozen=True):
    """A name that is unique in the cluster, as it is reserved."""

    kind: Literal["address", "service", "hostname", "port"]
    what: str


class Snapshot(Struct, frozen=True):
    """Datasets of one machine that are snapshotted at one instant, as `@<operation>`."""

    machine: str
    datasets: tuple[str, ...]


class Pause(Struct, frozen=True):
    """Instances of one machine that stand still while snapshots are taken."""

    machine: str
    instances: tuple[str, ...]


class Dropped(Struct, frozen=True):
    """The generation of a volume that the next head no longer names."""

    machine: str
    dataset: str


class Generation(Struct, frozen=True):
    """A generation to be made: empty, or from `source` (a snapshot that is there, or that this operation takes)."""

    volume: str
    machine: str
    dataset: str
    source: str | None
    layout: Layout
    marks: dict[str, str]


def candidate_marks(namespace: str, volume: Volume) -> dict[str, str]:
    """The marks of the generation of a volume while it is not committed."""
    return {"namespace": namespace, "volume": volume.name, "epoch": str(volume.epoch), "state": "candidate"}


class Candidate(Struct, frozen=True):
    """An instance to be made. `data` maps its mount targets to datasets, mounted when it starts; `files` are paths in
    it, with the names under which the manifest of the head has what they contain; `secrets` those that it sees, in
    which versions.
    """

    service: str
    machine: str
    specification: Specification
    data: dict[str, str]
    check: Check
    files: dict[str, str] = {}
    secrets: dict[str, int] = {}


class Hook(Struct, frozen=True):
    """A command before the commit: in a one-shot instance (`files` as a candidate's), or inside the started candidate
    `inside`.
    """

    service: str
    machine: str
    argv: tuple[str, ...]
    within: float
    one_shot: Specification | None = None
    inside: str | None = None
    files: dict[str, str] = {}
    secrets: dict[str, int] = {}


class Level(Struct, frozen=True):
    """Services whose `after` is satisfied by the levels before."""

    hooks: tuple[Hook, ...]
    candidates: tuple[Candidate, ...]


class Old(Struct, frozen=True):
    """A committed instance that goes. `ports` are drained before it is stopped, `check` says when it is back.

    One that did not run when the change was planned (`was_up`) is not started again by taking it back.
    """

    service: str
    machine: str
    id: str
    was_up: bool
    grace: float
    ports: tuple[int, ...]
    check: Check


class Image(Struct, frozen=True):
    """An image that a machine needs. One that it lacks, and no registry gives it, comes from the machine `source`."""

    machine: str
    name: str
    digest: str
    source: str | None = None


class Carried(Struct, frozen=True):
    """A secret that a branch gets from its source: version `there` of it, as the branch's own `version`."""

    name: str
    source: str
    there: int
    version: int


class Change(Struct, frozen=True):
    """A plan. Every name, address and snapshot in it is chosen; the steps are a pure function of it.

    `stops` are instances that are stopped before the snapshots, `goes` those that leave after the commit;
    `snapshot` holds the datasets of all the namespace's volumes, snapshotted at one instant on each machine; so are
    those of another namespace that are `copied`, while the instances in `pauses` stand still.
    `serves` are the machines that send people to the namespace, or may be asked for it.
    `left` are services that are not touched, whether they run or not; so are instances on machines that are `away`.
    `roots` has the dataset that everything of ployz lies below, for each machine that has some of the namespace.
    `drops` are those of volumes that the next head no longer names; `forgets` the deploy points that go.
    One that `removes` the namespace leaves a tombstone instead of the head `after`, which has nothing in it; one that
    `purges` it takes no snapshot, and frees those with the guids that each machine `dooms`: about `frees` bytes there.
    `secrets` are those of which the record names another newest version from the commit on, `carries` where that comes
    from another namespace; of those that it `tidies` it forgets the versions that nothing names any more.
    """

    operation: str
    token: Token
    before: Head | None
    after: Head
    actions: dict[str, Action]
    volume_actions: dict[str, Action]
    images: tuple[Image, ...]
    reserves: tuple[Name, ...]
    releases: tuple[Name, ...]
    stops: tuple[Old, ...]
    goes: tuple[Old, ...]
    snapshot: tuple[Snapshot, ...]
    copied: tuple[Snapshot, ...]
    generations: tuple[Generation, ...]
    levels: tuple[Level, ...]
    serves: tuple[str, ...]
    roots: dict[str, str]
    at: str
    pauses: tuple[Pause, ...] = ()
    warnings: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    away: tuple[str, ...] = ()
    drops: tuple[Dropped, ...] = ()
    forgets: tuple[int, ...] = ()
    removes: bool = False
    purges: bool = False
    dooms: dict[str, tuple[str, ...]] = {}
    frees: dict[str, int] = {}
    carries: tuple[Carried, ...] = ()
    secrets: dict[str, Newest] = {}
    tidies: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether the world already is as asked."""
        return self.after == self.before and not self.removes

    @property
    def next(self) -> Head | None:
        """What is committed: the head after, or none."""
        return None if self.removes else self.after

    @property
    def moved(self) -> list[Volume]:
        """The volumes whose names point at a new generation after the commit."""
        made = {generation.volume for generation in self.generations}
        return [volume for name, volume in sorted(self.after.volumes.items()) if name in made]
