"""What a plan is made of: what is wanted of a namespace, and what was seen of the world."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.change import Snapshot
from daemon.manifest import Manifest
from daemon.manifest import Volume as VolumeManifest
from daemon.records import Machine, Source


@dataclass(frozen=True)
class Origin:
    """A snapshot, and the machine that it is on."""

    machine: str
    snapshot: str


@dataclass(frozen=True)
class Wanted:
    """What the namespace is to be. `digests` are those of the services' images (identity.HOST where it has none).

    `volumes` are the manifest's, and those that it no longer names but whose data is restored; `data` maps volumes
    to the snapshots they are to begin from, of which those that `copied` names are taken by this very operation.
    `hooks` are commands by service, which run for the services `hooked`; None: for those that change. `past` are the
    numbers of the replaced deploy points, of which `keep` stay; `prune_volumes` lets go of volumes that `volumes` does
    not name. Before the hooks of the services `first` have ended, nobody is started but whom those need. `anew` names
    services whose instances are replaced though nothing changed, `stopped` those that have none, with the identity that
    each ran last; `left` are not touched, whether their instances run or not. `secrets` are the versions to be seen,
    where they are not the newest; `withheld` are routes that are not carried. Of the services `stays` what has volumes
    is where those are, whatever its manifest says of its place.
    """

    manifest: Manifest
    text: str
    digests: Mapping[str, str]
    volumes: Mapping[str, VolumeManifest]
    data: Mapping[str, Origin] = field(default_factory=dict)
    copied: tuple[Snapshot, ...] = ()
    hooks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hooked: frozenset[str] | None = None
    first: frozenset[str] = frozenset()
    restored: int | None = None
    source: Source | None = None
    withheld: tuple[str, ...] = ()
    anew: frozenset[str] = frozenset()
    stopped: Mapping[str, str] = field(default_factory=dict)
    left: frozenset[str] = frozenset()
    past: tuple[int, ...] = ()
    keep: int = 10
    prune_volumes: bool = False
    warnings: tuple[str, ...] = ()
    secrets: Mapping[str, int] | None = None
    stays: frozenset[str] = frozenset()

    def routes(self, service: str) -> tuple[str, ...]:
        """Those of a service that are carried."""
        return tuple(route for route in self.manifest.routes(service) if route not in self.withheld)


@dataclass(frozen=True)
class SeenMachine:
    """A machine of the cluster. What could be seen of it is empty where `away` says why it does not answer.

    `root` is the dataset that everything lies below, `up` the ids of instances that run, `addresses` those in use
    there, `listening` the ports on which a process of its own can be reached, `memory` the bytes that are free,
    `images` the ids and digests of those that its engine has.
    """

    record: Machine
    root: str = ""
    up: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    listening: frozenset[int] = frozenset()
    memory: int = 0
    images: frozenset[str] = frozenset()
    away: str = ""


@dataclass(frozen=True)
class Seen:
    """What was seen of the world, from the machine `here`. `taken` are the names of each kind that are reserved, or
    used by a stranger, with the namespace that holds them; `services` the range that virtual addresses come from."""

    here: str
    machines: Mapping[str, SeenMachine]
    services: str
    taken: Mapping[str, Mapping[str, str]]

    @property
    def up(self) -> frozenset[str]:
        """The ids of the instances that run."""
        return frozenset().union(*(machine.up for machine in self.machines.values()))

    def giver(self, digest: str, machine: str) -> str | None:
        """Who gives a machine an image that it lacks; nobody one that a registry knows, or that nobody has."""
        if not digest.startswith("sha256:") or digest in self.machines[machine].images:
            return None
        return self.having(digest)

    def having(self, digest: str) -> str | None:
        """Who has an image: rather the machine that was asked than another one, because it can be reached."""
        having = [name for name, there in self.machines.items() if digest in there.images]
        return min(having, key=lambda name: (name != self.here, name), default=None)

    @property
    def listening(self) -> frozenset[int]:
        """The ports on which a process of its own can be reached at some machine."""
        return frozenset().union(*(machine.listening for machine in self.machines.values()))

    @property
    def away(self) -> dict[str, str]:
        """The machines that do not answer, with why."""
        return {name: machine.away for name, machine in self.machines.items() if machine.away}
