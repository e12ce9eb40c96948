"""What can be asked of machines and their mesh, and what is answered."""

from typing import Any, Literal

from msgspec import Struct

from daemon.wire.status import InstanceRow
from daemon.wire.volumes import VolumeRow


class MeshInit(Struct, frozen=True, forbid_unknown_fields=True, tag="mesh.init"):
    """Make this machine the first of a mesh. `cidr` is the network that all of it lives in; `endpoint` (host:port) is
    where others reach this machine, if it cannot see that itself."""

    network: str
    cidr: str | None = None
    endpoint: str | None = None


class MeshDestroy(Struct, frozen=True, forbid_unknown_fields=True, tag="mesh.destroy"):
    """Make the last machine of a mesh a cluster of its own again; with `force` also one whose mesh has others."""

    force: bool = False


class MeshStatus(Struct, frozen=True, forbid_unknown_fields=True, tag="mesh.status"):
    """The other machines as this one's interface has them."""


class MachineInvite(Struct, frozen=True, forbid_unknown_fields=True, tag="machine.invite"):
    """Let one machine in, within `ttl` seconds; under that name, where one is given."""

    ttl: int = 600
    name: str | None = None


class MachineRevoke(Struct, frozen=True, forbid_unknown_fields=True, tag="machine.revoke"):
    """Let nobody in by an invitation any more that nobody used yet."""

    invitation: str


class MachineAdmit(Struct, frozen=True, forbid_unknown_fields=True, tag="machine.admit"):
    """A machine that knocks at the door asks to be let in; nobody else asks this. `at` is its own time."""

    invitation: str
    cluster: str
    name: str
    id: str
    key: str
    nkey: str
    endpoint: str | None
    version: str
    at: str


class Join(Struct, frozen=True, forbid_unknown_fields=True, tag="join"):
    """Make this machine, which has nothing of its own, one of the mesh that the token is from."""

    token: str
    name: str | None = None
    endpoint: str | None = None

    def __repr__(self) -> str:
        return f"Join(name={self.name!r})"


class MachineDrain(Struct, frozen=True, forbid_unknown_fields=True, tag="machine.drain"):
    """Place nothing new on a machine, and move everything off it, with its data."""

    machine: str


class MachineUndrain(Struct, frozen=True, forbid_unknown_fields=True, tag="machine.undrain"):
    """Let a machine that was drained have something placed on it again; nothing is moved back."""

    machine: str


class MachineLost(Struct, frozen=True, forbid_unknown_fields=True, tag="machine.lost"):
    """Have nobody wait any more for a machine that is gone for good. Machines begin this as one is removed by force;
    nobody else has to."""

    machine: str


class MachineLabel(Struct, frozen=True, forbid_unknown_fields=True, tag="machine.label"):
    """Give a machine labels, by which `place` finds it; one that is given no value is taken away."""

    machine: str
    labels: dict[str, str]


class MachineRm(Struct, frozen=True, forbid_unknown_fields=True, tag="machine.rm"):
    """Take a machine out of the mesh, after everything was moved off it; with `force` one that does not answer.

    `accept_loss` are volumes (NS/VOL) of which something is lost with it that nobody else has.
    """

    machine: str
    force: bool = False
    accept_loss: tuple[str, ...] = ()


class StoreMove(Struct, frozen=True, forbid_unknown_fields=True, tag="store.move"):
    """Have the cluster's records where they belong once the machines `without` are gone: on three, or on one where
    there are fewer. Machines begin this as others come and go; nobody else has to."""

    without: tuple[str, ...] = ()


class MachineLs(Struct, frozen=True, forbid_unknown_fields=True, tag="machine.ls"):
    """The machines of the cluster."""


class MachineInspect(Struct, frozen=True, forbid_unknown_fields=True, tag="machine.inspect"):
    """One machine: what it is, what it has, and what runs on it."""

    machine: str


class MachineRtt(Struct, frozen=True, forbid_unknown_fields=True, tag="machine.rtt"):
    """How long a packet takes from each machine to each of the others, and back."""


class Mesh(Struct, frozen=True):
    """kind `mesh`: a machine's place in its mesh; without one, `network` is empty."""

    network: str
    machine: str
    overlay_ip: str
    subnet: str


class PeerRow(Struct, frozen=True):
    """Another machine: when it last agreed on keys, how long it takes to answer, and the bytes of the largest packet
    that gets there and back, if any does."""

    machine: str
    endpoint: str | None
    handshake_age_s: int | None
    rtt_ms: float | None
    mtu: int | None


class Invited(Struct, frozen=True):
    """kind `invitation`. The `token` is told once, to who asked: no journal has it. `guest` is the address at which
    the machine knocks."""

    id: str
    name: str | None
    subnet: str
    guest: str
    endpoint: str
    fingerprint: str
    expires_at: str
    token: str = ""


class Revoked(Struct, frozen=True):
    """kind `revoked`."""

    id: str


class MachineRemoved(Struct, frozen=True):
    """kind `machine_removed`. One that is not `fenced` was out of reach: it has to be off."""

    id: str
    name: str
    fenced: bool


class MachineMarked(Struct, frozen=True):
    """kind `machine_state`: what may be placed on a machine: on one that is draining nothing new; for one that is lost
    nobody waits any more."""

    machine: str
    state: Literal["active", "draining", "lost"]


class MachineLabels(Struct, frozen=True):
    """kind `machine_labels`: all labels of a machine."""

    machine: str
    labels: dict[str, str]


class Admitted(Struct, frozen=True):
    """kind `admitted`: the cluster's record, the machine's own, and those of all machines, as the store has them."""

    cluster: dict[str, Any]
    machine: dict[str, Any]
    machines: dict[str, dict[str, Any]]


class AdoptedGeneration(Struct, frozen=True):
    """What a machine had in its pool when it joined; `snapshot` is what it held then, `bytes` what it holds alone."""

    namespace: str
    name: str
    generation: str
    snapshot: str
    bytes: int


class JoinedMachine(Struct, frozen=True):
    """A machine that has come, with the generations that it brought along."""

    id: str
    name: str
    overlay_ip: str
    subnet: str
    store: bool
    adopted: list[AdoptedGeneration]


class StoreMachines(Struct, frozen=True):
    """kind `store`: who keeps the records."""

    machines: list[str]
    replicas: int


class Machines(Struct, frozen=True):
    """kind `machines`: the machines that are in now, and who keeps the records."""

    machines: list[JoinedMachine]
    store: StoreMachines


class MachineRow(Struct, frozen=True):
    """`store` says whether it keeps the records, `reachable` whether it answers just now; since `stale_since` it does
    not see them."""

    id: str
    name: str
    state: Literal["joining", "active", "draining"]
    overlay_ip: str
    subnet: str
    store: bool
    reachable: bool
    version: str
    created_at: str
    labels: dict[str, str]
    stale_since: str | None


class MachineCapacity(Struct, frozen=True):
    """How many processors it has, bytes of memory, and those of them that are free for more instances."""

    processors: int
    memory: int
    free: int


class MachinePool(Struct, frozen=True):
    """The dataset below which its volumes are, and bytes of the pool; None where it cannot be asked."""

    root: str
    used: int | None
    size: int | None


class MachineRuntime(Struct, frozen=True):
    """What runs its containers: which engine, how that keeps images (`driver`), and what it cannot limit (`lacks`)."""

    engine: str
    version: str
    driver: str
    lacks: list[str]


class MachineSeen(MachineRow, frozen=True):
    """kind `machine`: one machine, and what of the cluster is on it. Of one that does not answer, which was last heard
    at `heard_at`, there is what the records tell. What cannot be asked is None."""

    heard_at: str | None
    capacity: MachineCapacity | None
    pool: MachinePool
    runtime: MachineRuntime | None
    instances: list[InstanceRow]
    volumes: list[VolumeRow]


class RttRow(Struct, frozen=True, rename={"source": "from"}):
    """Between two machines, in milliseconds; None where the other one did not answer."""

    source: str
    to: str
    median_ms: float | None
    stddev_ms: float | None
