"""All that a primitive may do to the world. The real node and the fake one have this one shape.

Every verb may be repeated. A verb that makes something marks it with the operation `by`; its `take_back`
removes only what bears that mark. A verb that changes something reads the change back before it returns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from daemon.records import DeployPoint, Head, Held, Namespace, Newest, Registry, Reservation, Sealed, Service, Token
from dataplane.dataset import Dataset, Layout, Space
from runtime.instance import Check, Condition, Ended, Specification

ZONE = "ployz.internal"
"""Inside instances services are named `<service>.<namespace>.<ZONE>`, and shorter by their search domains."""


class Datasets(Protocol):
    """ZFS. Names are full dataset names; a generation is `<root>/<namespace>/<volume>/<operation>`.

    Each verb raises dataset.ZfsProblem or one of its kinds. What is made has `by` in the last part of its name, else
    NotOurs is raised; marks are those of dataset.MARKS.
    """

    @property
    def root(self) -> str:
        """The dataset that everything of ployz lies below."""

    async def look(self, name: str) -> Dataset | None:
        """The dataset or snapshot; None only if ZFS itself says that it does not exist."""

    async def below(self, name: str) -> list[Dataset]:
        """Every filesystem and snapshot below `name` (itself excluded, its own snapshots included), parents first."""

    async def create(self, name: str, by: str, marks: Mapping[str, str], layout: Layout) -> None:
        """An empty filesystem, mounted, with its parents (marked `by`, never mounted) where they are missing."""

    async def snapshot(self, datasets: Sequence[str], snapshot: str, by: str) -> None:
        """`<dataset>@<snapshot>` of all of them at one instant, marked `by`. All of them share one parent namespace."""

    async def clone(self, snapshot: str, name: str, by: str, marks: Mapping[str, str], layout: Layout) -> None:
        """A mounted filesystem that begins as `snapshot`, with parents as `create`. Only `layout.quota` counts."""

    async def promote(self, name: str) -> Dataset:
        """Make the clone `name` own the snapshots that it shares with its origin; nothing if it is no clone.

        Returns it as it is then.
        """

    async def mark(self, name: str, marks: Mapping[str, str]) -> None:
        """Set marks on a dataset, and read them back."""

    async def limit(self, name: str, quota: int | None) -> None:
        """Set the most bytes that it may refer to, and read that back. None: what the pool has."""

    async def mount(self, name: str) -> str:
        """Mount it, unless it is mounted, and return the path."""

    async def unmount(self, name: str) -> None:
        """Unmount it, unless it is not mounted. Raises while something uses it."""

    async def take_back(self, name: str, by: str) -> None:
        """Destroy the dataset or snapshot that `by` made, and parents that `by` made and nothing else is in.

        Ours is what has `by` in the last part of its name and no other operation's mark. Of what is not there,
        or not ours, nothing is touched. Raises NotOurs for a stranger's, ZfsProblem if something depends on it.
        """

    async def destroy(self, name: str) -> None:
        """Destroy one dataset or snapshot that bears our marks; never what depends on it. Absent is fine."""

    async def space(self) -> Space:
        """What the pool holds. Raises PoolUnavailable if it does not answer."""


class Streams(Protocol):
    """The connection that the client of an operation opens for its bytes; each is used once.

    Each verb raises dataset.ZfsProblem or one of its kinds, also when no client comes or it goes away too early.
    """

    async def send(self, snapshot: str, by: str) -> None:
        """Send the client of `by` a snapshot, as a ZFS stream packed by zstd."""

    async def pack(self, dataset: str, by: str) -> None:
        """Send the client of `by` the files of a mounted dataset, as a tar packed by zstd."""

    async def receive(self, name: str, by: str, marks: Mapping[str, str], layout: Layout) -> None:
        """Make a mounted filesystem, marked `by`, of all that the client of `by` sends. Not to be repeated."""


class Instances(Protocol):
    """The engine that runs instances. Each verb raises instance.EngineProblem or one of its kinds."""

    async def resolve(self, image: str, *, pull: str = "missing") -> str:
        """The digest (or local image id) that `image` means now. Raises ImageMissing."""

    async def fetch(self, image: str, digest: str) -> None:
        """Have the image of that digest here, so that creating an instance needs no registry."""

    async def accepted(self, host: str, user: str, password: bytes) -> None:
        """Have a registry say that it takes these credentials. Raises instance.RegistryRefused."""

    async def create(self, specification: Specification, by: str) -> None:
        """Make the instance with its files, not started. One of this id that `by` made is fine; another raises
        NameTaken. Raises SettingIgnored where the engine made it otherwise than asked."""

    async def start(self, id: str) -> None:
        """Start it, unless it runs. It may end again at once: `ready` tells. Raises AddressTaken where a stranger's
        container runs at its address."""

    async def stop(self, id: str, grace: float) -> None:
        """Stop it, by force after `grace` seconds, and see it stopped. Absent or stopped is fine."""

    async def pause(self, id: str) -> None:
        """Let all of it stand still, as it is. One that does not run is fine: it writes nothing."""

    async def go_on(self, id: str) -> None:
        """Let it go on, if it was paused. Absent is fine."""

    async def remove(self, id: str) -> None:
        """Stop it by force and remove it and its files, if it bears our labels. Absent is fine."""

    async def take_back(self, id: str, by: str) -> None:
        """Remove the instance, and its files, if `by` made them; of a stranger's nothing is touched."""

    async def look(self, id: str) -> Condition | None:
        """The instance; None only if the engine itself says that it does not exist."""

    async def all(self) -> list[Condition]:
        """All instances that bear our labels."""

    async def addresses(self) -> set[str]:
        """The addresses of the instances' network that are in use, whoever uses them."""

    async def ready(self, id: str, check: Check) -> None:
        """Wait until it is ready. Raises NotReady, with the end of its log, when it ends or its time is up."""

    async def run(self, id: str, argv: Sequence[str], within: float) -> Ended:
        """Run a command inside the running instance, to its end. Raises NotReady when its time is up."""

    async def ended(self, id: str, within: float) -> Ended:
        """Wait until the instance itself ends. Raises NotReady when its time is up."""

    async def drained(self, id: str, ports: Sequence[int], within: float) -> None:
        """Wait until no connection to these ports of it is open, at most `within` seconds."""


class Records(Protocol):
    """The store. A read never decides: what decides is the compare-and-set of `commit`, `settle` and `reserve`.

    Each verb raises Refused `store.down` when the store does not answer.
    """

    async def namespace(self, name: str) -> Namespace:
        """The record of a namespace, as the store tells it now; an empty one where there is none."""

    async def namespaces(self) -> dict[str, Namespace]:
        """All of them."""

    async def commit(self, namespace: str, head: Head | None, by: str, token: Token) -> None:
        """Make `head` the namespace's, as operation `by`, over the revision in `token`; None leaves a tombstone.

        The claims stay. Raises CommitLost if the record moved on.
        """

    async def commit_secret(self, namespace: str, name: str, newest: Newest, by: str, token: Token) -> None:
        """Make this the newest version of a secret, as `commit` does a head."""

    async def settle(self, namespace: str, by: str) -> bool:
        """Decide for good whether `by` committed. If not, win the record, so that it never can."""

    async def reserve(self, kind: str, what: str, by: str, namespace: str) -> None:
        """Take a name for a namespace. Taken by itself is fine; raises Refused `name.taken` if another has it."""

    async def release(self, kind: str, what: str, namespace: str, by: str | None = None) -> None:
        """Free a name that the namespace (and, where given, the operation `by`) holds; another's is not touched."""

    async def reservations(self, kind: str) -> dict[str, Reservation]:
        """What is taken of a kind: `hostname`, `address` (instances'), `service` (virtual addresses), `port`."""

    async def point(self, namespace: str, number: int) -> DeployPoint | None:
        """A replaced deploy point."""

    async def points(self, namespace: str) -> list[DeployPoint]:
        """All of them that are kept, oldest first."""

    async def has_point(self, namespace: str, number: int) -> bool:
        """Whether a deploy point was written into the history, be it forgotten since."""

    async def keep_point(self, point: DeployPoint) -> None:
        """Write a replaced deploy point into the history, unless it is forgotten already."""

    async def forget_point(self, namespace: str, number: int, by: str) -> None:
        """Leave a tombstone of a replaced deploy point, for good. Of what is not there nothing is written."""

    async def forgotten(self, namespace: str) -> list[Held]:
        """The snapshots that only forgotten points of the namespace named, whether they are gone yet or not."""

    async def versions(self, namespace: str, secret: str) -> dict[int, Sealed]:
        """The versions of a secret that are not forgotten, oldest first."""

    async def keep_version(self, namespace: str, secret: str, version: int, sealed: Sealed) -> None:
        """Write a version of a secret down. It is nobody's newest before it is committed."""

    async def forget_version(self, namespace: str, secret: str, version: int, by: str | None = None) -> None:
        """Forget what is in a version of a secret; with `by`, only if that operation wrote it."""

    async def registry(self, host: str) -> tuple[Registry, int]:
        """Who the cluster is at a registry, with the revision of that."""

    async def commit_registry(self, host: str, registry: Registry, revision: int) -> None:
        """Write it over a revision, as the operation `registry.by`. Raises CommitLost if the record moved on."""

    async def settle_registry(self, host: str, by: str) -> bool:
        """Decide for good whether `by` committed that, as `settle` does."""


class Vault(Protocol):
    """What is secret, as this machine has it: it can seal for itself, open what it sealed, and show it to instances.

    Each verb raises vault.VaultProblem.
    """

    def seal(self, value: bytes) -> bytes:
        """The ciphertext of a value, for this machine; each time another one."""

    async def place(self, instance: str, by: str, sealed: Mapping[str, bytes], user: str | None) -> str:
        """Have the secrets as files, opened, in a directory of the instance that `by` made, and return its path.

        They are in memory, never on a disk. A numeric `user` (uid or uid:gid) owns them, and nobody else may read
        them; else everybody in the instance may, and nobody else gets at the directory. What is not named goes.
        """

    async def remove(self, instance: str) -> None:
        """Remove an instance's directory; absent is fine."""

    async def take_back(self, instance: str, by: str) -> None:
        """Remove it if `by` made the instance."""


class CommitLost(Exception):
    """The record moved on since the claim: the commit did not happen."""


class View(Struct, frozen=True):
    """What an open operation sees besides everybody: its candidates under their usual names.

    `candidates` are services whose instances are the candidates; `members` the addresses from which they are
    seen (instances and one-shot instances of the operation); `withdrawn` committed instances that nobody
    shall be sent to any more.
    """

    operation: str
    namespace: str
    candidates: tuple[Service, ...] = ()
    members: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()


class Serving(Protocol):
    """Names, virtual addresses and routes: projections of the committed heads, with the open operations' views."""

    async def show(self, view: View) -> None:
        """Add, or replace, an operation's view, and apply everything."""

    async def drop(self, operation: str, *, committed: Head | None = None) -> None:
        """Forget an operation's view, and apply everything: this is the flip, and also its undo.

        A flip says which head was `committed`: then neither it nor an undo depends on the store, which may have
        gone away since. An undo without the store applies the heads that were applied last.
        """

    async def check(self, head: Head) -> None:
        """Have everything that would be applied if this head were committed validated. Raises ServingProblem."""

    async def listening(self) -> set[int]:
        """The ports of this host at which its own processes can be reached from elsewhere."""

    async def agrees(self, head: Head) -> str:
        """Ask the world whether it serves this head: empty if so, else what differs."""


class ServingProblem(Exception):
    """A part of the serving plane did not take what it was given, or cannot be reached."""


@dataclass(frozen=True)
class Node:
    """One machine, as primitives see it. `subnet` holds instances' addresses, `services` the virtual ones."""

    machine: str
    subnet: str
    services: str
    datasets: Datasets
    instances: Instances
    records: Records
    serving: Serving
    streams: Streams
    vault: Vault
