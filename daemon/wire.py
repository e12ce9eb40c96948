"""The contract: all that crosses between ctl and a daemon, and into a journal.

A call is one request with the way it is to be carried out. Its answer is a stream of JSON lines: events, then
exactly one Success or Failure. Sizes are bytes, times RFC 3339 UTC, durations seconds.
"""

from typing import Any, Literal

import msgspec
from msgspec import Struct, field

VERSION = 1
"""Both sides check it: a daemon refuses a call of another version, a client an answer of another."""

NAME = r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"
"""Namespaces, services, volumes and machines are named so."""


# ------------------------------------------------------------------------------------------------ requests


class Deploy(Struct, frozen=True, forbid_unknown_fields=True, tag="deploy"):
    """Make a namespace what a manifest says. `manifest` is its text, TOML or JSON."""

    manifest: str


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


class Version(Struct, frozen=True, forbid_unknown_fields=True, tag="version"):
    """What the daemon is."""


Mutation = Deploy | Rollback
Look = Status | Ps | Logs | Exec | History | HistoryShow | Export | OpLs | OpShow | Version
Request = Mutation | Look | OpResume | OpAbort


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


# ------------------------------------------------------------------------------------------------- answers

EventKind = Literal[
    "planned",
    "doing",
    "done",
    "committing",
    "committed",
    "undoing",
    "undone",
    "failed",
    "finished",
    "taken_back",
    "stuck",
]


class Event(Struct, frozen=True, omit_defaults=True):
    """One line of an operation's story: the journal keeps it, ctl shows it. `step` is `<position> <words>`."""

    operation: str
    at: str
    kind: EventKind
    step: str = ""
    why: str = ""
    machine: str | None = None
    bytes: int | None = None
    total: int | None = None


class Output(Struct, frozen=True, omit_defaults=True):
    """A line of a log, or a piece of what a command run by Exec wrote."""

    data: bytes
    stream: Literal["stdout", "stderr"] = "stdout"
    instance: str = ""
    at: str = ""


State = Literal["refused", "taken_back", "stuck", "error"]
EXIT: dict[State, int] = {"error": 1, "refused": 3, "taken_back": 4, "stuck": 5}


class Error(Struct, frozen=True):
    """What could not be done, because of what, and what to try: written for the person who asked."""

    code: str
    state: State
    what: str
    why: str = ""
    hint: str = field(default="", name="try")


class Failure(Struct, frozen=True):
    error: Error
    operation: str | None = None
    ok: Literal[False] = False


class Success(Struct, frozen=True):
    kind: str
    result: dict[str, Any]
    operation: str | None = None
    warnings: list[str] = []
    ok: Literal[True] = True


# ------------------------------------------------------------------------------------------------- results


class ResultInstance(Struct, frozen=True):
    id: str
    machine: str
    ip: str


Action = Literal["create", "replace", "remove", "unchanged"]


class ServiceResult(Struct, frozen=True):
    name: str
    action: Action
    instances: list[ResultInstance]


class VolumeResult(Struct, frozen=True):
    name: str
    action: Action
    machine: str
    generation: str


class Deployed(Struct, frozen=True):
    """kind `deployed`. `previous` is the deploy number before; `downtime_s` names the services that were down."""

    namespace: str
    deploy: int
    previous: int | None
    services: list[ServiceResult]
    volumes: list[VolumeResult]
    routes: list[str]
    downtime_s: dict[str, float]


class PreviewStep(Struct, frozen=True, omit_defaults=True):
    says: str
    machine: str
    bytes: int | None = None
    downtime_s: float | None = None


class Preview(Struct, frozen=True):
    """kind `preview`: what a mutation would do, step by step; steps from `commit` on cannot be taken back."""

    primitive: str
    steps: list[PreviewStep]
    commit: int
    warnings: list[str] = []


class InstanceRow(Struct, frozen=True):
    id: str
    namespace: str
    service: str
    machine: str
    ip: str
    state: Literal["running", "starting", "stopped", "restarting", "missing", "unknown"]
    since: str | None
    restarts: int
    last_exit: int | None
    image: str
    digest: str


class ServiceStatus(Struct, frozen=True):
    namespace: str
    name: str
    ready: int
    wanted: int


class NamespaceStatus(Struct, frozen=True):
    name: str
    deploy: int
    deployed_at: str
    services: list[ServiceStatus]
    routes: list[str]


class PoolStatus(Struct, frozen=True):
    machine: str
    used: int
    size: int


class MachineStatus(Struct, frozen=True):
    name: str
    reachable: bool
    store: bool
    version: str


class OperationRow(Struct, frozen=True):
    id: str
    primitive: str
    state: Literal["running", "done", "refused", "taken_back", "stuck"]
    who: str
    began_at: str
    ended_at: str | None = None
    namespaces: list[str] = []
    says: str = ""


class ClusterStatus(Struct, frozen=True):
    """kind `status`. `stale_since` is set while the store cannot be reached and the mirror answers."""

    machines: list[MachineStatus]
    store: dict[str, Any]
    namespaces: list[NamespaceStatus]
    pools: list[PoolStatus]
    operations: list[OperationRow]
    stale_since: str | None = None


class DeployRow(Struct, frozen=True):
    number: int
    id: str
    at: str
    who: str
    operation: str
    current: bool
    images: dict[str, str]
    snapshots: dict[str, str]


class Machine(Struct, frozen=True):
    """One machine of a local cluster: where its daemon listens, and where its gateway answers on this host."""

    name: str
    socket: str
    url: str
    up: bool


class DevCluster(Struct, frozen=True):
    name: str
    driver: Literal["namespace", "docker"]
    machines: list[Machine]


# ---------------------------------------------------------------------------------------------- local clusters


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


# ------------------------------------------------------------------------------------------------- problems


class Problem(Exception):
    """An ending that is not *done*: cannot `what`, because `why`, try `hint`; `code` is stable."""

    state: State = "error"

    def __init__(self, code: str, what: str, why: str = "", hint: str = "") -> None:
        self.code, self.what, self.why, self.hint = code, what, why, hint
        super().__init__(code, what, why, hint)

    def __str__(self) -> str:
        return self.what + (f": {self.why}" if self.why else "") + (f" (try: {self.hint})" if self.hint else "")

    @property
    def error(self) -> Error:
        return Error(self.code, self.state, self.what, self.why, self.hint)


class Refused(Problem):
    """A precondition failed; nothing was changed."""

    state: State = "refused"


class TakenBack(Problem):
    """It was tried, it failed, and the world is as it was before."""

    state: State = "taken_back"


class Stuck(Problem):
    """Neither done nor taken back yet: the journal says where, and resuming carries on from there."""

    state: State = "stuck"


PROBLEMS: dict[State, type[Problem]] = {
    "error": Problem,
    "refused": Refused,
    "taken_back": TakenBack,
    "stuck": Stuck,
}


def problem(error: Error) -> Problem:
    """The exception that an error line stands for."""
    return PROBLEMS[error.state](error.code, error.what, error.why, error.hint)


def encode(line: Struct) -> bytes:
    """One line of an answer, with its end."""
    return msgspec.json.encode(line) + b"\n"
