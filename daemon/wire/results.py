"""The results of requests, by the kind that a Success names. Sizes are bytes, times RFC 3339 UTC."""

from typing import Any, Literal

from msgspec import Struct


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
