"""What the cluster agreed on: the shapes of its records, and their keys. Facts only; `daemon.store` keeps them."""

from typing import Any, Literal

from msgspec import Struct

from daemon import manifest


class Token(Struct, frozen=True, order=True):
    """What a claim's holder shows: the incarnation of the store, then the revision of the record at the claim."""

    incarnation: int
    revision: int


class Claim(Struct, frozen=True):
    """Who changes, or reads, the record that this claim lies in."""

    operation: str
    machine: str
    kind: Literal["change", "read"]
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


class Newest(Struct, frozen=True):
    """The newest version of a secret. One that is removed keeps the number, so that none is given twice."""

    version: int
    removed: bool = False


class Namespace(Struct, frozen=True):
    """The value of `namespaces.<ns>`. Without a head there is no such namespace now: it was removed, or it has only
    claims, or secrets that wait for its first deploy.

    `by` is the operation that committed last, whether or not it made a deploy point; `last_deploy` the number of the
    last point ever made, so that no number is given twice.
    """

    head: Head | None = None
    claims: tuple[Claim, ...] = ()
    settled: str | None = None
    by: str = ""
    last_deploy: int = 0
    secrets: dict[str, Newest] = {}


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
    """The value of `secrets.<ns>.<name>.<version>`: what age made of a secret. Without that it is a tombstone."""

    ciphertext: bytes = b""
    operation: str = ""
    at: str = ""
    who: str = ""


class Registry(Struct, frozen=True):
    """The value of `registries.<host>`: who the cluster is at a registry of images, with the password sealed.

    Nobody, if `user` is empty. `by` is the operation that committed last, `settled` one that never will.
    """

    user: str = ""
    sealed: bytes = b""
    by: str = ""
    at: str = ""
    who: str = ""
    settled: str = ""


class Reservation(Struct, frozen=True):
    """The value of `reserved.<kind>.<what>`; free again when `operation` is empty (records are never deleted)."""

    operation: str
    namespace: str


class Operation(Struct, frozen=True):
    """The value of `operations.<id>`: what an operation set out to do, and its ending once it has one."""

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
    ending: str = ""
    ended_at: str = ""


class Cluster(Struct, frozen=True):
    """The value of `cluster`."""

    name: str
    cidr: str
    incarnation: int
    founded_at: str


class Machine(Struct, frozen=True):
    """The value of `machines.<name>`."""

    id: str
    name: str
    subnet: str
    overlay_ip: str
    created_at: str
    version: str
