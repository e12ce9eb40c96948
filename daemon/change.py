"""The way from one head of a namespace to the next: the plan of every primitive that makes a deploy point.

Nothing here touches the world. `daemon.planning` makes the plan, `daemon.changing` its steps.
"""

from typing import Literal

from msgspec import Struct

from daemon.records import Head, Token, Volume
from daemon.wire import Action
from dataplane.dataset import Layout
from runtime.instance import Check, Specification

SECRETS = "/run/secrets"
"""Where instances find theirs, a file each."""


class Name(Struct, frozen=True):
    """A name that is unique in the cluster, as it is reserved."""

    kind: Literal["address", "service", "hostname", "port"]
    what: str


class Generation(Struct, frozen=True):
    """A generation to be made: empty, or from `source` (a snapshot that is there, or that this operation takes)."""

    volume: str
    dataset: str
    source: str | None
    layout: Layout
    marks: dict[str, str]


class Candidate(Struct, frozen=True):
    """An instance to be made. `data` maps its mount targets to datasets, mounted when it starts; `files` are paths in
    it, with the names under which the manifest of the head has what they contain; `secrets` those that it sees, in
    which versions.
    """

    service: str
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
    id: str
    was_up: bool
    grace: float
    ports: tuple[int, ...]
    check: Check


class Image(Struct, frozen=True):
    name: str
    digest: str


class Change(Struct, frozen=True):
    """A plan. Every name, address and snapshot in it is chosen; the steps are a pure function of it.

    `stops` are instances that are stopped before the snapshots, `goes` those that leave after the commit;
    `snapshot` holds the datasets of all the namespace's volumes, snapshotted at one instant as `@<operation>`; so are
    those of another namespace that are `copied`. `pauses` are instances that stand still for that instant.
    `left` are services that are not touched, whether they run or not.
    `drops` are those of volumes that the next head no longer names; `forgets` the deploy points that go.
    One that `removes` the namespace leaves a tombstone instead of the head `after`, which has nothing in it; one that
    `purges` it frees the snapshots with the guids `dooms`, and those that it took itself.
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
    snapshot: tuple[str, ...]
    copied: tuple[str, ...]
    generations: tuple[Generation, ...]
    levels: tuple[Level, ...]
    root: str
    at: str
    pauses: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()
    forgets: tuple[int, ...] = ()
    removes: bool = False
    purges: bool = False
    dooms: tuple[str, ...] = ()

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

    def dataset(self, volume: Volume) -> str:
        return f"{self.root}/{self.after.namespace}/{volume.name}/{volume.generation}"
