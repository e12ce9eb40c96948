"""All that a primitive may do to the world. The real node and the fake one have this one shape.

Every verb may be repeated. A verb that makes something marks it with the operation `by`; its `take_back`
removes only what bears that mark. A verb that changes something reads the change back before it returns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from msgspec import Struct

from daemon.belonging import Members, Mesh
from daemon.choices import Choices
from daemon.moves import Moves
from daemon.records import (
    DeployPoint,
    Head,
    Held,
    Namespace,
    Newest,
    Registry,
    Reservation,
    Sealed,
    Service,
    Token,
    Turn,
)
from daemon.sealing import Vault
from daemon.transfers import Streams, Transfers
from daemon.wire import Refused
from dataplane.dataset import Dataset, Layout, Space
from runtime.instance import Check, Condition, Ended, Image, Offer, Specification, Status

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

    async def extend(self, snapshot: str, name: str, by: str) -> None:
        """A filesystem, not mounted, that begins as `snapshot` and owns it: what changed since can be received into it.

        With parents as `create`. What owned the snapshot before is a clone of it then.
        """

    async def promote(self, name: str) -> Dataset:
        """Make the clone `name` own the snapshots that it shares with its origin; nothing if it is no clone.

        Returns it as it is then.
        """

    async def mark(self, name: str, marks: Mapping[str, str]) -> None:
        """Set marks on a dataset, and read them back."""

    async def limit(self, name: str, quota: int | None) -> None:
        """Set the most bytes that it may refer to, and read that back. None: what the pool has."""

    async def hold_off(self, name: str) -> None:
        """Have it mounted only by whoever asks for it, never at a boot."""

    async def mount(self, name: str) -> str:
        """Mount it, unless it is mounted, and return the path."""

    async def unmount(self, name: str) -> None:
        """Unmount it, unless it is not mounted. Raises while something uses it."""

    async def take_back(self, name: str, by: str) -> None:
        """Destroy the dataset or snapshot that `by` made, and parents that `by` made and nothing else is in.

        Ours is what has `by` in the last part of its name and no other operation's mark. Of what is not there,
        or not ours, nothing is touched. Raises NotOurs for a stranger's, ZfsProblem if something depends on it.
        """

    async def take_back_whole(self, name: str, by: str) -> None:
        """Likewise a filesystem with all the snapshots in it, for they came with it."""

    async def destroy(self, name: str) -> None:
        """Destroy one dataset or snapshot that bears our marks; never what depends on it. Absent is fine."""

    async def keep_room(self) -> None:
        """Keep some of the pool free, as far as there is room: for taking back."""

    async def give_room(self) -> None:
        """Let what was kept free be used, until it is kept again."""

    async def space(self) -> Space:
        """What the pool holds. Raises PoolUnavailable if it does not answer."""


class Host(Protocol):
    """The machine itself."""

    async def memory(self) -> int:
        """The bytes of its memory that are free for more instances."""


class Instances(Protocol):
    """The engine that runs instances. Each verb raises instance.EngineProblem or one of its kinds."""

    async def resolve(self, image: str, *, pull: str = "missing") -> str:
        """The digest (or local image id) that `image` means now. Raises ImageMissing."""

    async def fetch(self, image: str, digest: str) -> None:
        """Have the image of that digest here, so that creating an instance needs no registry."""

    async def images(self) -> list[Image]:
        """The images that are here, by name; one without a name is there once."""

    async def offer(self, image: str, digest: str, to: str) -> Offer:
        """Let the machine `to` take the image of that id or digest, once and within a minute. Raises ImageMissing."""

    async def take(self, image: str, digest: str, offer: Offer) -> int:
        """Have an image as another machine offers it, with its name if that means it there; the bytes that came.

        Only layers that are missing come. Nothing stays of what did not come whole: raises ImageBroken.
        """

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

    async def pause(self, ids: Sequence[str], by: str) -> None:
        """Let all of them stand still, as they are. One that does not run is fine: it writes nothing.

        Should the daemon die meanwhile they go on by themselves.
        """

    async def go_on(self, ids: Sequence[str], by: str) -> None:
        """Let them go on, if `by` let them stand still. Absent is fine."""

    async def remove(self, id: str) -> None:
        """Stop it by force and remove it and its files, if it bears our labels. Absent is fine."""

    async def take_back(self, id: str, by: str) -> None:
        """Remove the instance, and its files, if `by` made them; of a stranger's nothing is touched."""

    async def look(self, id: str) -> Condition | None:
        """The instance; None only if the engine itself says that it does not exist."""

    async def all(self) -> list[Condition]:
        """All instances that bear our labels."""

    async def statuses(self) -> dict[str, Status]:
        """The status of each of them, by id. However many there are, it is one question."""

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

    async def commit(
        self, namespace: str, head: Head | None, by: str, token: Token, secrets: Mapping[str, Newest] | None = None
    ) -> None:
        """Make `head` the namespace's, as operation `by`, over the revision in `token`; None leaves a tombstone.

        With it `secrets` get other newest versions. The claims stay. Raises CommitLost if the record moved on.
        """

    async def commit_secret(self, namespace: str, name: str, newest: Newest, by: str, token: Token) -> None:
        """Make this the newest version of a secret, as `commit` does a head."""

    async def settle(self, namespace: str, by: str) -> bool:
        """Decide for good whether `by` committed. If not, win the record, so that it never can."""

    async def reserve(self, kind: str, what: str, by: str, namespace: str) -> None:
        """Take a name for a namespace. Taken by itself is fine; raises Refused `name.taken` if another has it."""

    async def release(self, kind: str, what: str, namespace: str, by: str) -> None:
        """Take back that the operation `by` took a name for the namespace; another's is not touched."""

    async def let_go(self, kind: str, what: str, namespace: str, by: str, claimed: str | None = None) -> None:
        """Free a name of the namespace, which `by` has committed not to need; another namespace's is not touched.

        `by` has a claim on it, or on what is `claimed` instead.
        """

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

    async def seal_version_anew(self, namespace: str, secret: str, version: int, before: Sealed, anew: Sealed) -> None:
        """Write a version over exactly what it was `before`. Raises Refused `record.moved` if it is that no more."""

    async def registry(self, host: str) -> tuple[Registry, int]:
        """Who the cluster is at a registry, with the revision of that."""

    async def registries(self) -> dict[str, Registry]:
        """Those at which it is somebody, by host."""

    async def commit_registry(self, host: str, registry: Registry, revision: int) -> None:
        """Write it over a revision, as the operation `registry.by`. Raises CommitLost if the record moved on."""

    async def settle_registry(self, host: str, by: str) -> bool:
        """Decide for good whether `by` committed that, as `settle` does."""

    async def seal_registry_anew(self, host: str, before: Registry, anew: Registry) -> None:
        """As `seal_version_anew`. Whoever logs in there just now loses their commit."""


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


class Peers(Protocol):
    """The other machines of the cluster. Whether one can be reached, its verbs tell: each raises
    Refused `machine.unreachable` where it does not answer."""

    def __call__(self, machine: str) -> "Node":
        """The machine of that name, with the same verbs."""

    def during(self, operation: str, tokens: Mapping[str, Token], turn: Turn, /) -> "Peers":
        """The same on behalf of an operation: its claims' tokens, and how far it has come."""


class Alone:
    """The peers of a machine that has none."""

    def __call__(self, machine: str) -> "Node":
        why = "there is no other machine"
        raise Refused("machine.missing", f"cannot ask {machine}", why, "ployzctl machine ls")

    def during(self, _operation: str, _tokens: Mapping[str, Token], _turn: Turn, /) -> "Alone":
        return self


ALONE = Alone()


@dataclass(frozen=True)
class Node:
    """One machine, as primitives see it. `subnet` holds instances' addresses, `services` the virtual ones; of both
    `choices` has those that plans under way have chosen."""

    machine: str
    subnet: str
    services: str
    datasets: Datasets
    instances: Instances
    records: Records
    serving: Serving
    streams: Streams
    transfers: Transfers
    vault: Vault
    host: Host
    members: Members
    mesh: Mesh
    moves: Moves
    peers: Peers = ALONE
    choices: Choices = field(default_factory=Choices)

    def at(self, machine: str) -> "Node":
        """The machine of that name, be it this one."""
        return self if machine == self.machine else self.peers(machine)

    def during(self, operation: str, tokens: Mapping[str, Token], turn: Turn) -> "Node":
        """The same, of which other machines are asked on behalf of an operation."""
        return replace(self, peers=self.peers.during(operation, tokens, turn))
