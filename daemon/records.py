"""What the cluster agreed on: the shapes of its records, and their keys. Facts only; `daemon.store` keeps them."""

from typing import Any, Literal

from msgspec import Struct

from daemon import manifest

CLUSTER = "the cluster"
"""What a claim on the cluster's own record is called, beside namespaces: no namespace can be."""
Access = Literal["change", "read"]


class Token(Struct, frozen=True, order=True):
    """What a claim's holder shows: the incarnation of the store, then the revision of the record at the claim."""

    incarnation: int
    revision: int


class Turn(Struct, frozen=True, order=True):
    """How far an operation has come: how often another machine took it over, then how many events its story had.

    Each time it is carried on, be it back or on, that is a turn of its own. Whoever was told of a later one does
    nothing more for an earlier one.
    """

    term: int
    events: int


class Claim(Struct, frozen=True):
    """Who changes, or reads, the record that this claim lies in."""

    operation: str
    machine: str
    kind: Access
    primitive: str
    who: str
    since: str


class Port(Struct, frozen=True):
    name: str
    number: int


class Running(Struct, frozen=True):
    """One instance as committed: its name with the engine, its address, the operation that made it."""

    id: str
    machine: str
    ip: str
    operation: str


class Service(Struct, frozen=True):
    """A service as committed. `specification` is the manifest's; `identity` a hash of it with the digest.

    `address` is its stable virtual address, present if it has ports. A `stopped` service has no instances until it is
    started; its `identity` stays that of the last which ran. `secrets` are
    those that it sees, in which versions.
    """

    name: str
    specification: manifest.Service
    image: str
    digest: str
    identity: str
    address: str | None
    ports: tuple[Port, ...]
    routes: tuple[str, ...]
    instances: tuple[Running, ...]
    stopped: bool = False
    secrets: dict[str, int] = {}


class Volume(Struct, frozen=True):
    """A volume's name, and the generation it points at: dataset `<root>/<namespace>/<name>/<generation>`."""

    name: str
    machine: str
    generation: str
    epoch: int
    quota: int | None = None
    owner: str | None = None
    mode: str | None = None


class Source(Struct, frozen=True):
    """What a namespace was branched from, and when."""

    namespace: str
    deploy: int
    at: str


class Head(Struct, frozen=True):
    """Everything committed about a namespace: its current deploy point, and what it runs on.

    `withheld` are routes of the manifest that it does not carry: a branch leaves those that name a host to its source.
    """

    namespace: str
    deploy: int
    operation: str
    at: str
    who: str
    manifest: str
    services: dict[str, Service]
    volumes: dict[str, Volume]
    restored: int | None = None
    source: Source | None = None
    withheld: tuple[str, ...] = ()

    def dataset(self, volume: str, root: str) -> str:
        """The generation that a volume's name points at, below a machine's `root`."""
        return f"{root}/{self.namespace}/{volume}/{self.volumes[volume].generation}"


class Newest(Struct, frozen=True):
    """The newest version of a secret. One that is removed keeps the number, so that none is given twice.

    One that is `carried` is that of the source which the namespace was branched from: nobody set it here.
    """

    version: int
    removed: bool = False
    carried: bool = False


class Namespace(Struct, frozen=True):
    """The value of `namespaces.<ns>`. Without a head there is no such namespace now: it was removed, or it has only
    claims, or secrets that wait for its first deploy.

    `by` is the operation that committed last, whether or not it made a deploy point; `last_deploy` the number of the
    last point ever made, so that no number is given twice. `epochs` are the newest ones of volumes that heads before
    this one had, so that a name that comes back goes on where it was: no writer of before is ever taken for one of now.
    """

    head: Head | None = None
    claims: tuple[Claim, ...] = ()
    settled: str | None = None
    by: str = ""
    last_deploy: int = 0
    secrets: dict[str, Newest] = {}
    epochs: dict[str, int] = {}

    def next_epoch(self, volume: str) -> int:
        """That of the generation which the volume's name points at next."""
        now = self.head.volumes.get(volume) if self.head else None
        return max(self.epochs.get(volume, 0), now.epoch if now else 0) + 1


class Held(Struct, frozen=True):
    """A snapshot that holds a deploy point's data of one volume, by guid: where it lives is looked up."""

    volume: str
    snapshot: str
    guid: str


class DeployPoint(Struct, frozen=True):
    """A deploy point that was replaced, with its data."""

    head: Head
    data: tuple[Held, ...]
    replaced_by: str
    replaced_at: str


class Past(Struct, frozen=True):
    """The value of `deploys.<ns>.<n>`: a deploy point that was replaced, or the tombstone of one that is forgotten.

    A tombstone has no point any more. It says which operation forgot it, and which snapshots only it needed, so that
    one that could not go then, because something was cloned from it, goes with a later one.
    """

    point: DeployPoint | None = None
    forgotten_by: str = ""
    data: tuple[Held, ...] = ()


class Sealed(Struct, frozen=True):
    """The value of `secrets.<ns>.<name>.<version>`: what age made of a secret for the public keys `recipients`.

    Without that it is a tombstone; if it has an operation, that one took the version back, and never writes it again.
    """

    ciphertext: bytes = b""
    recipients: tuple[str, ...] = ()
    operation: str = ""
    at: str = ""
    who: str = ""


class Registry(Struct, frozen=True):
    """The value of `registries.<host>`: who the cluster is at a registry of images, with the password sealed for the
    public keys `recipients`.

    Nobody, if `user` is empty. `by` is the operation that committed last, `settled` one that never will.
    """

    user: str = ""
    sealed: bytes = b""
    recipients: tuple[str, ...] = ()
    by: str = ""
    at: str = ""
    who: str = ""
    settled: str = ""


class Reservation(Struct, frozen=True):
    """The value of `reserved.<kind>.<what>`; free again when `operation` is empty (records are never deleted).

    `settled` is the operation that took it back last, and never takes it again, whatever of it still comes late.
    """

    operation: str
    namespace: str
    settled: str = ""


class Operation(Struct, frozen=True):
    """The value of `operations.<id>`: what an operation set out to do, and its ending once it has one.

    `machine` carries it on; `term` counts how often it was taken over, be it by the machine that lost its journal.
    `planned_on` is the machine that it was asked of: what its plan names no machine for is there.
    """

    id: str
    primitive: str
    request: dict[str, Any]
    plan: dict[str, Any]
    claims: dict[str, str]
    tokens: dict[str, Token]
    machine: str
    who: str
    began_at: str
    version: str
    plans: int
    planned_on: str = ""
    term: int = 0
    ending: str = ""
    ended_at: str = ""


class Cluster(Struct, frozen=True):
    """The value of `cluster`. It is a `mesh` from `mesh init` on; `store` names the machines that keep the records.

    `closed` is the operation that is about to take this store out of use: until it says otherwise nobody gets a claim.
    `moved` is the one that moved the store to where it is; the first one was moved by nobody.
    """

    name: str
    cidr: str
    incarnation: int
    founded_at: str
    id: str = ""
    mesh: bool = False
    store: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    settled: str | None = None
    by: str = ""
    closed: str = ""
    moved: str = ""


class Machine(Struct, frozen=True):
    """The value of `machines.<name>`. One that is `removed` is a tombstone, and its name is free; one that is `leaving`
    will be, and is still heard until it knows. One that is `lost` is gone for good, as somebody has said: nobody waits
    for it any more, and all that is left to do is to remove it.

    `key` is its public key on the mesh, `nkey` the one on the bus, `endpoint` (host:port) where others reach it; one
    without an endpoint is behind a NAT, and reaches them. `recipient` is the public key that secrets are sealed for,
    which the machine itself writes. `invitation` is what it was let in by, `by` the operation
    that committed last, `settled` one that never will. `root` is the dataset that everything of ployz lies below there.
    """

    id: str
    name: str
    subnet: str
    overlay_ip: str
    created_at: str
    version: str
    state: Literal["joining", "active", "draining", "lost", "leaving", "removed"] = "active"
    key: str = ""
    nkey: str = ""
    recipient: str = ""
    endpoint: str | None = None
    root: str = ""
    labels: dict[str, str] = {}
    invitation: str = ""
    by: str = ""
    settled: str | None = None


class Invitation(Struct, frozen=True):
    """The value of `invitations.<id>`: what lets one machine in, at the door of `inviter`.

    `subnet` is reserved for that machine, `guest` the address at which it may knock, `key` its one-time public key.
    It is used once a machine names it; `revoked` by an operation, if it may not be any more.
    """

    id: str
    inviter: str
    subnet: str
    guest: str
    key: str
    name: str | None
    created_at: str
    expires_at: str
    who: str
    by: str
    revoked: str = ""
