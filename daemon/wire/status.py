"""How things are: what status, ps, op ls and doctor tell. Sizes are bytes, times RFC 3339 UTC."""

from typing import Any, Literal

from msgspec import Struct, field


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
    """`reachable`: its daemon answers; `store`: it keeps the records; since `stale_since` it does not see them."""

    name: str
    reachable: bool
    store: bool
    version: str
    state: Literal["active", "draining"] = "active"
    stale_since: str | None = None


class OperationRow(Struct, frozen=True):
    """`machine` carries it out, or did; its state is `unknown` while that does not answer. `code` is set where not even
    that much can be told: `operation.unreadable`, and `says` why."""

    id: str
    primitive: str
    state: Literal["running", "done", "refused", "taken_back", "stuck", "unknown"]
    who: str
    began_at: str
    ended_at: str | None = None
    namespaces: list[str] = []
    says: str = ""
    code: str = ""
    machine: str = ""


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
