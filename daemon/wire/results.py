"""The results of requests, by the kind that a Success names. Sizes are bytes, times RFC 3339 UTC."""

from typing import Any, Literal

from msgspec import Struct, field


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


class Branched(Struct, frozen=True):
    """kind `branched`. All volumes are of one `instant`, or of one on each machine, or writers stood still meanwhile.

    `pause_ms` is for how long they did.
    """

    source: str
    target: str
    deploy: int
    consistency: Literal["instant", "per-machine", "cluster"]
    pause_ms: float
    services: list[ServiceResult]
    volumes: list[VolumeResult]
    routes: list[str]


class RemovedVolume(Struct, frozen=True):
    """`bytes` is what its datasets alone held, snapshots and kept generations too."""

    name: str
    data: Literal["kept", "purged"]
    bytes: int


class NamespaceRemoved(Struct, frozen=True):
    """kind `removed`. `deploy` is its last one, `routes` the hostnames that are free again."""

    namespace: str
    deploy: int
    instances: list[str]
    volumes: list[RemovedVolume]
    routes: list[str]


class VolumeRow(Struct, frozen=True):
    """`bytes` is what can be read in it; `alone` what would be free without it, its snapshots included."""

    namespace: str
    name: str
    machine: str
    generation: str
    epoch: int
    bytes: int
    alone: int
    quota: int | None
    mounted: bool


class KeptRow(Struct, frozen=True):
    """A generation that no name points at any more: `since` when, by which operation, and the bytes it alone holds.

    `needed` says by whom its snapshots are needed.
    """

    namespace: str
    name: str
    machine: str
    generation: str
    since: str
    operation: str
    bytes: int
    needed: list[str]


class SnapshotRow(Struct, frozen=True):
    """`name` is what a user called it, `bytes` what it alone holds, `needed` by whom it is needed."""

    snapshot: str
    name: str | None
    guid: str
    at: str
    operation: str
    generation: str
    bytes: int
    needed: list[str]


class VolumeChanged(Struct, frozen=True):
    """kind `volume`: what was done to which volume. Fields that do not apply are null."""

    namespace: str
    name: str
    machine: str
    did: Literal["snapshot", "resize", "purge", "export", "import", "clone"]
    generation: str | None = None
    snapshot: str | None = None
    guid: str | None = None
    quota: int | None = None
    bytes: int | None = None


class Secret(Struct, frozen=True):
    """kind `secret`: a secret after a change. `version` is the newest, None once it is removed; `kept` are the other
    versions that deploy points, or what runs, still name."""

    namespace: str
    name: str
    version: int | None
    kept: list[int]


class SecretRow(Struct, frozen=True):
    """`set_at` and `by` (who set it) are of the newest version; `used_by` names the services that name it."""

    name: str
    version: int
    set_at: str
    by: str
    used_by: list[str]


class Registry(Struct, frozen=True):
    """kind `registry`: who the cluster is at a registry after a change; nobody after a logout."""

    host: str
    user: str | None


class RegistryRow(Struct, frozen=True):
    """`set_at` and `by` tell when and who logged the cluster in."""

    host: str
    user: str
    set_at: str
    by: str


class BranchRow(Struct, frozen=True):
    """A namespace that was branched from deploy `deploy` of its `source`; `bytes` are those that it alone holds."""

    namespace: str
    source: str
    deploy: int
    at: str
    bytes: int | None


class CodeDifference(Struct, frozen=True):
    """A setting of the manifest, by its path; null where it is not given."""

    path: str
    source: str | None
    target: str | None


class VolumeDifference(Struct, frozen=True):
    """The bytes of a volume that either side alone holds; null where it has none of that name."""

    name: str
    source: int | None
    target: int | None


class BranchDifference(Struct, frozen=True):
    """kind `difference`."""

    source: str
    target: str
    code: list[CodeDifference]
    volumes: list[VolumeDifference]


class PreviewStep(Struct, frozen=True, omit_defaults=True):
    """`down` names the services that nobody reaches from this step until the flip; `bytes` have to be moved."""

    says: str
    machine: str
    bytes: int | None = None
    down: list[str] = []


class Preview(Struct, frozen=True):
    """kind `preview`: what a mutation would do, step by step; steps from number `commit` on cannot be taken back."""

    primitive: str
    steps: list[PreviewStep]
    commit: int


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
    """`code` is set where not even that much can be told: `operation.unreadable`, and `says` why."""

    id: str
    primitive: str
    state: Literal["running", "done", "refused", "taken_back", "stuck"]
    who: str
    began_at: str
    ended_at: str | None = None
    namespaces: list[str] = []
    says: str = ""
    code: str = ""


class ClusterStatus(Struct, frozen=True):
    """kind `status`. `stale_since` is set while the store cannot be reached and the mirror answers."""

    machines: list[MachineStatus]
    store: dict[str, Any]
    namespaces: list[NamespaceStatus]
    pools: list[PoolStatus]
    operations: list[OperationRow]
    stale_since: str | None = None


CheckState = Literal["ok", "warning", "failure"]


class Check(Struct, frozen=True):
    """One assumption: what was found, and what to do unless all is well. kind `doctor` has a list `checks` of them."""

    name: str
    state: CheckState
    says: str
    hint: str = field(default="", name="try")
    machine: str = ""


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


class NamespaceRow(Struct, frozen=True):
    """`bytes` is what its datasets hold that no other dataset holds; None if the pool cannot be asked."""

    name: str
    deploy: int
    deployed_at: str
    services: list[str]
    volumes: list[str]
    routes: list[str]
    bytes: int | None


class RemovedRow(Struct, frozen=True):
    """A namespace that was removed, and whose data is kept; `deploy` is the last deploy that can be rolled back to."""

    name: str
    deploy: int
    bytes: int | None


class VolumeSeen(Struct, frozen=True):
    """`bytes` is what the generation holds alone, `snapshots` what only its snapshots hold."""

    name: str
    machine: str
    generation: str
    quota: int | None
    bytes: int | None
    snapshots: int | None


class KeptGeneration(Struct, frozen=True):
    """A generation that no name points at. `bytes` is what it and its snapshots alone hold."""

    volume: str
    generation: str
    bytes: int


class ServiceSeen(Struct, frozen=True):
    name: str
    image: str
    digest: str
    address: str | None
    ports: dict[str, int]
    routes: list[str]
    instances: list[ResultInstance]


class NamespaceSeen(Struct, frozen=True):
    """kind `namespace`. `restored` is the deploy whose data it began from; one that was `removed` has only a past."""

    name: str
    removed: bool
    deploy: int
    deployed_at: str
    who: str
    operation: str
    restored: int | None
    keep: int
    services: list[ServiceSeen]
    volumes: list[VolumeSeen]
    kept: list[KeptGeneration]
    deploys: list[DeployRow]


class DevCluster(Struct, frozen=True):
    name: str
    driver: Literal["namespace", "docker"]
    machines: list[Machine]
