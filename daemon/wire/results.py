"""The results of requests, by the kind that a Success names. Sizes are bytes, times RFC 3339 UTC.

Those about volumes are in `volumes.py`; how things are is told in `status.py`.
"""

from typing import Literal

from msgspec import Struct

from daemon.wire.migrating import Expected, Supply


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


class Secret(Struct, frozen=True):
    """kind `secret`: a secret after a change. `version` is the newest, None once it is removed; `kept` are the other
    versions that deploy points, or what runs, still name."""

    namespace: str
    name: str
    version: int | None
    kept: list[int]


class Resealed(Struct, frozen=True):
    """Versions of a secret that were sealed anew."""

    namespace: str
    name: str
    versions: list[int]


class Rotated(Struct, frozen=True):
    """What was sealed anew (`registries` by host), and the machines that can open all of it; `closed` names, in words,
    what none of those that answer can open."""

    secrets: list[Resealed]
    registries: list[str]
    machines: list[str]
    closed: list[str]


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
    """`down` names those that nobody reaches from this step until the flip; `bytes` are copied, or given back. Where a
    step stands for a whole move, `downtime_s` tells for about how long they are down."""

    says: str
    machine: str
    bytes: int | None = None
    down: list[str] = []
    downtime_s: float | None = None


class Preview(Struct, frozen=True):
    """kind `preview`: what a mutation would do, step by step; steps from number `commit` on cannot be taken back.
    `moves` are volumes that would go to another machine, `images` those that it needs, and `downtime_s` tells for
    about how long nobody would reach what moves."""

    primitive: str
    steps: list[PreviewStep]
    commit: int
    moves: list[Expected] = []
    images: list[Supply] = []
    downtime_s: float | None = None


class DeployRow(Struct, frozen=True):
    number: int
    id: str
    at: str
    who: str
    operation: str
    current: bool
    images: dict[str, str]
    snapshots: dict[str, str]


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
