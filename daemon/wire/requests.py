"""What can be asked: requests, and the way a mutation is to be carried out."""

from typing import Literal

from msgspec import Struct

from daemon.wire.data import (
    VolumeExport,
    VolumeFork,
    VolumeImport,
    VolumeLs,
    VolumePurge,
    VolumeResize,
    VolumeRestore,
    VolumeSend,
    VolumeSnapshot,
    VolumeSnapshots,
)
from daemon.wire.images import ImageDistribute, ImageLs
from daemon.wire.machines import (
    Join,
    MachineAdmit,
    MachineDrain,
    MachineInspect,
    MachineInvite,
    MachineLabel,
    MachineLost,
    MachineLs,
    MachineRevoke,
    MachineRm,
    MachineRtt,
    MachineUndrain,
    MeshDestroy,
    MeshInit,
    MeshStatus,
    StoreMove,
)
from daemon.wire.migrating import Forgo, MachineLosses, Migrate

VERSION = 1
"""Both sides check it: a daemon refuses a call of another version, a client an answer of another."""

NAME = r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"
"""Namespaces, services, volumes and machines are named so."""

SECRET = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
"""Secrets are named so: a file, and with `_FILE` behind it a variable."""

LARGEST_SECRET = 64 * 1024
"""Bytes of a secret."""


class Deploy(Struct, frozen=True, forbid_unknown_fields=True, tag="deploy"):
    """Make a namespace what a manifest says. `manifest` is its text, TOML or JSON; `files` what the files contain
    that it names, by the paths under which it does.

    Volumes that it does not name stay; with `prune_volumes` they are kept, and no name points at them any more.
    """

    manifest: str
    files: dict[str, bytes] = {}
    prune_volumes: bool = False


class Rollback(Struct, frozen=True, forbid_unknown_fields=True, tag="rollback"):
    """Make a namespace what it was at a deploy point (default: the one before), code and data."""

    namespace: str
    to: int | None = None
    code_only: bool = False


Mode = Literal["branch", "fresh"]


class Branch(Struct, frozen=True, forbid_unknown_fields=True, tag="branch"):
    """Make a running copy of a namespace, with its data. `services` and `volumes` name those of another mode.

    A volume in mode `fresh` begins empty, and a service in that mode with volumes that do; `sets` maps
    `SERVICE.KEY` to what the manifest of the copy says instead.
    """

    source: str
    target: str
    service_mode: Mode = "branch"
    volume_mode: Mode = "branch"
    services: dict[str, Mode] = {}
    volumes: dict[str, Mode] = {}
    sets: dict[str, str] = {}
    freeze: bool = False


class Promote(Struct, frozen=True, forbid_unknown_fields=True, tag="promote"):
    """Deploy the services of one namespace, as a rule a branch, into another; `with_data` its data too."""

    source: str
    target: str
    with_data: bool = False


class Restart(Struct, frozen=True, forbid_unknown_fields=True, tag="restart"):
    """Replace a service's instances by new ones, though nothing changed."""

    namespace: str
    service: str


class Stop(Struct, frozen=True, forbid_unknown_fields=True, tag="stop"):
    """Have no instances of a service until it is started; its data, address and routes stay."""

    namespace: str
    service: str


class Start(Struct, frozen=True, forbid_unknown_fields=True, tag="start"):
    """Have a stopped service's instances again."""

    namespace: str
    service: str


class Scale(Struct, frozen=True, forbid_unknown_fields=True, tag="scale"):
    """Give a service another number of instances; its manifest says so from then on."""

    namespace: str
    service: str
    replicas: int


class NamespaceRm(Struct, frozen=True, forbid_unknown_fields=True, tag="namespace.rm"):
    """Remove a namespace. Its data is kept, as its last deploy point, unless `purge` says that all of it goes."""

    namespace: str
    purge: bool = False


class NamespaceLs(Struct, frozen=True, forbid_unknown_fields=True, tag="namespace.ls"):
    """The namespaces, and those that were removed and whose data is kept."""


class BranchLs(Struct, frozen=True, forbid_unknown_fields=True, tag="branch.ls"):
    """What was branched from what: all of it, or what descends from one namespace."""

    namespace: str | None = None


class BranchDiff(Struct, frozen=True, forbid_unknown_fields=True, tag="branch.diff"):
    """What differs between two namespaces, in code and in bytes of data."""

    source: str
    target: str


class NamespaceInspect(Struct, frozen=True, forbid_unknown_fields=True, tag="namespace.inspect"):
    """Everything about a namespace."""

    namespace: str


class SecretSet(Struct, frozen=True, forbid_unknown_fields=True, tag="secret.set"):
    """Give a secret of a namespace a new version. Only the daemon's memory ever has `value`; it never prints itself."""

    namespace: str
    name: str
    value: bytes

    def __repr__(self) -> str:
        return f"SecretSet(namespace={self.namespace!r}, name={self.name!r})"


class SecretRm(Struct, frozen=True, forbid_unknown_fields=True, tag="secret.rm"):
    """Remove a secret of a namespace. What deploy points name is kept for them."""

    namespace: str
    name: str


class SecretRotate(Struct, frozen=True, forbid_unknown_fields=True, tag="secret.rotate"):
    """Seal all secrets, and the passwords at registries, anew: for exactly the machines that there are."""


class SecretLs(Struct, frozen=True, forbid_unknown_fields=True, tag="secret.ls"):
    """The secrets of a namespace, without their values."""

    namespace: str


class RegistryLogin(Struct, frozen=True, forbid_unknown_fields=True, tag="registry.login"):
    """Have the cluster use these credentials at a registry of images. `password` goes the way of a secret's value."""

    host: str
    user: str
    password: bytes

    def __repr__(self) -> str:
        return f"RegistryLogin(host={self.host!r}, user={self.user!r})"


class RegistryLogout(Struct, frozen=True, forbid_unknown_fields=True, tag="registry.logout"):
    """Forget the credentials for a registry."""

    host: str


class RegistryLs(Struct, frozen=True, forbid_unknown_fields=True, tag="registry.ls"):
    """The registries that there are credentials for."""


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


class Run(Struct, frozen=True, forbid_unknown_fields=True, tag="run"):
    """Run a command in an instance of its own, made of a service's specification without its volumes, that is removed
    when it ends. Its input follows the call, as with Exec."""

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
    """Carry on with a stuck operation until it is done or taken back. `How.take_over`: also one of a machine that does
    not answer."""

    id: str


class OpAbort(Struct, frozen=True, forbid_unknown_fields=True, tag="op.abort"):
    """Take a running operation back. Refused once it is committed."""

    id: str


class Doctor(Struct, frozen=True, forbid_unknown_fields=True, tag="doctor"):
    """Every assumption of the machine, checked. `ployzd doctor` answers it without a daemon, about the host alone."""


class Version(Struct, frozen=True, forbid_unknown_fields=True, tag="version"):
    """What the daemon is."""


Streamed = VolumeExport | VolumeImport
"""Their bytes go over a connection of their own: `POST /v1/stream/<operation>`, upgraded to `ployz-stream`."""

Mutation = (
    Deploy | Rollback | Branch | Promote | Migrate | Restart | Stop | Start | Scale | NamespaceRm
    | VolumeSnapshot | VolumeResize | VolumePurge | VolumeExport | VolumeImport
    | VolumeFork | VolumeRestore | VolumeSend | SecretSet | SecretRm | SecretRotate | RegistryLogin | RegistryLogout
    | ImageDistribute
    | MeshInit | MeshDestroy | MachineInvite | MachineRevoke | MachineAdmit | Join | MachineRm | StoreMove
    | MachineDrain | MachineUndrain | MachineLost | MachineLabel | Forgo
)  # fmt: skip
Look = (
    Status | Ps | Logs | History | HistoryShow | Export | NamespaceLs | NamespaceInspect | BranchLs | BranchDiff
    | VolumeLs | VolumeSnapshots
    | SecretLs | RegistryLs | ImageLs | OpLs | OpShow | Doctor | Version
    | MeshStatus | MachineLs | MachineInspect | MachineRtt | MachineLosses
)  # fmt: skip
Request = Mutation | Look | Exec | Run | OpResume | OpAbort


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
