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


class DevCluster(Struct, frozen=True):
    name: str
    driver: Literal["namespace", "docker"]
    machines: list[Machine]
