"""What can be asked: requests, and the way a mutation is to be carried out."""

from typing import Literal

from msgspec import Struct

VERSION = 1
"""Both sides check it: a daemon refuses a call of another version, a client an answer of another."""

NAME = r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"
"""Namespaces, services, volumes and machines are named so."""


class Deploy(Struct, frozen=True, forbid_unknown_fields=True, tag="deploy"):
    """Make a namespace what a manifest says. `manifest` is its text, TOML or JSON; `files` what the files contain
    that it names, by the paths under which it does.
    """

    manifest: str
    files: dict[str, bytes] = {}


class Rollback(Struct, frozen=True, forbid_unknown_fields=True, tag="rollback"):
    """Make a namespace what it was at a deploy point (default: the one before), code and data."""

    namespace: str
    to: int | None = None
    code_only: bool = False


class Status(Struct, frozen=True, forbid_unknown_fields=True, tag="status"):
    """The cluster in one screen."""


class Ps(Struct, frozen=True, forbid_unknown_fields=True, tag="ps"):
    """The instances of one namespace, or of all."""

    namespace: str | None = None


class Logs(Struct, frozen=True, forbid_unknown_fields=True, tag="logs"):
    """What a service's instances wrote; `since` is RFC 3339 or a duration such as `10m`."""

    namespace: str
    service: str
    follow: bool = False
    since: str | None = None
    tail: int | None = None


class Exec(Struct, frozen=True, forbid_unknown_fields=True, tag="exec"):
    """Run a command in an instance of a service. Its input follows the call, as lines of Input."""

    namespace: str
    service: str
    argv: list[str]
    interactive: bool = False
    tty: bool = False
    rows: int = 24
    columns: int = 80


class History(Struct, frozen=True, forbid_unknown_fields=True, tag="history"):
    """The deploy points of a namespace."""

    namespace: str


class HistoryShow(Struct, frozen=True, forbid_unknown_fields=True, tag="history.show"):
    """One deploy point, with its manifest."""

    namespace: str
    deploy: int


class Export(Struct, frozen=True, forbid_unknown_fields=True, tag="export"):
    """The manifest that would deploy what runs now."""

    namespace: str


class OpLs(Struct, frozen=True, forbid_unknown_fields=True, tag="op.ls"):
    """The operations that are not over, or all that are kept."""

    all: bool = False


class OpShow(Struct, frozen=True, forbid_unknown_fields=True, tag="op.show"):
    """One operation with its journal; with `follow`, its events until it is over, and then its answer."""

    id: str
    follow: bool = False


class OpResume(Struct, frozen=True, forbid_unknown_fields=True, tag="op.resume"):
    """Carry on with a stuck operation until it is done or taken back."""

    id: str


class OpAbort(Struct, frozen=True, forbid_unknown_fields=True, tag="op.abort"):
    """Take a running operation back. Refused once it is committed."""

    id: str


class Doctor(Struct, frozen=True, forbid_unknown_fields=True, tag="doctor"):
    """Every assumption of the machine, checked. `ployzd doctor` answers it without a daemon, about the host alone."""


class Version(Struct, frozen=True, forbid_unknown_fields=True, tag="version"):
    """What the daemon is."""


Mutation = Deploy | Rollback
Look = Status | Ps | Logs | History | HistoryShow | Export | OpLs | OpShow | Doctor | Version
Request = Mutation | Look | Exec | OpResume | OpAbort


class How(Struct, frozen=True, forbid_unknown_fields=True):
    """How a mutation is to be carried out. `expect` is the namespace's deploy number that the caller has seen;
    `wait` and `timeout` are seconds."""

    preview: bool = False
    op_id: str | None = None
    wait: float = 0.0
    take_over: bool = False
    expect: int | None = None
    timeout: float | None = None


class Call(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /v1/call`."""

    request: Request
    how: How = How()
    version: int = VERSION


class Input(Struct, frozen=True, forbid_unknown_fields=True):
    """A line that follows an Exec call: bytes for its stdin, the end of stdin, or a new size of the terminal."""

    data: bytes = b""
    end: bool = False
    rows: int | None = None
    columns: int | None = None


class DevUp(Struct, frozen=True, forbid_unknown_fields=True, tag="dev.up"):
    """Make a cluster of machines on this host, each in namespaces of its own."""

    name: str = "dev"
    machines: int = 1
    driver: Literal["namespace", "docker"] = "namespace"


class DevDown(Struct, frozen=True, forbid_unknown_fields=True, tag="dev.down"):
    """Remove such a cluster and everything it holds."""

    name: str = "dev"


class DevLs(Struct, frozen=True, forbid_unknown_fields=True, tag="dev.ls"):
    """The clusters on this host."""


DevRequest = DevUp | DevDown | DevLs
