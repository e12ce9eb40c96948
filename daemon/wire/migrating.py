"""Moving a service to another machine: what can be asked, and what came of it. Sizes are bytes, durations seconds."""

from typing import Literal

from msgspec import Struct, field


class Migrate(Struct, frozen=True, forbid_unknown_fields=True, tag="migrate"):
    """Move a service's instances and volumes to the machine `to`; `rate` is the most bytes a second on the way.

    With `off` only what is on that machine moves, to wherever a deploy would have it. Machines ask this as one is
    drained; nobody else has to. Without a service it is the volumes that no service has.
    """

    namespace: str
    service: str
    to: str = ""
    rate: int | None = None
    off: str = ""


class Expected(Struct, frozen=True):
    """What a preview says of a volume that is to be moved: about how many `bytes` go, in how many `rounds`, how long
    its service is down; and how much is `free` on the target."""

    volume: str
    source: str = field(name="from")
    to: str
    bytes: int
    rounds: int
    free: int
    downtime_s: float


class Supply(Struct, frozen=True):
    """What a preview says of an image that the machine `to` needs: it is `there`, or comes from its `registry`, or from
    a `machine`, `source`."""

    image: str
    to: str
    by: Literal["there", "registry", "machine"]
    source: str | None = field(name="from", default=None)


class Foreseen(Struct, frozen=True):
    """What is expected of a move: of its volumes, of the images that it needs where it goes, and for how long nobody
    reaches its service; null where that goes on."""

    moves: tuple[Expected, ...] = ()
    images: tuple[Supply, ...] = ()
    downtime_s: float | None = None


class MovedVolume(Struct, frozen=True):
    """`bytes_full` went while the service ran, `bytes_last` while it was stopped, in so many `rounds` in all."""

    name: str
    bytes_full: int
    bytes_last: int
    rounds: int
    generation: str


class Migrated(Struct, frozen=True):
    """kind `migrated`. `source` is where its instances were, `downtime_s` how long nobody could reach it."""

    namespace: str
    service: str
    source: str = field(name="from")
    to: str
    volumes: list[MovedVolume]
    downtime_s: float


class Departed(Struct, frozen=True):
    """What has left a machine that is drained, by which operation: a service, or without one the volumes that none has.
    `bytes` went in all."""

    namespace: str
    service: str
    volumes: list[str]
    to: str
    bytes: int
    downtime_s: float
    operation: str


class Drained(Struct, frozen=True):
    """kind `drained`: what has left the machine just now. Nothing is there any more, and nothing new comes there."""

    machine: str
    moved: list[Departed]


class Instead(Struct, frozen=True):
    """What another machine has of a volume that is lost: a snapshot of a generation that was left there, `at` which
    time it was taken."""

    machine: str
    generation: str
    snapshot: str
    at: str


class Loss(Struct, frozen=True):
    """What is lost of a volume with a machine: with `current` the volume itself, but for what there is `instead`; the
    data of these deploy points, and these named snapshots."""

    namespace: str
    name: str
    current: bool
    deploys: list[int]
    snapshots: list[str]
    instead: Instead | None = None

    def __str__(self) -> str:
        """In words, in a refusal and before it is asked whether it may be lost."""
        numbers = ", ".join(map(str, self.deploys))
        what = [
            "what is in it" if self.current else "",
            f"the data of deploy {numbers}" if numbers else "",
            f"the snapshots {', '.join(self.snapshots)}" if self.snapshots else "",
        ]
        since = f", but for what {self.instead.machine} has of {self.instead.at}" if self.instead else ""
        return f"{self.namespace}/{self.name} ({', '.join(filter(None, what))}{since})"


class Forgo(Struct, frozen=True, forbid_unknown_fields=True, tag="forgo"):
    """Have a namespace go on without the volumes that it had on a machine that is gone for good: each goes on from what
    another machine has of it, or is none any more. Machines begin this as one is removed by force; nobody else has to.
    """

    namespace: str
    machine: str


class ForgoneVolume(Struct, frozen=True):
    """A volume that was lost, and what it goes on from; from nothing, if there is nothing of it."""

    name: str
    instead: Instead | None


class Forgone(Struct, frozen=True):
    """kind `forgone`."""

    namespace: str
    machine: str
    volumes: list[ForgoneVolume]


class MachineLosses(Struct, frozen=True, forbid_unknown_fields=True, tag="machine.losses"):
    """What would be lost with a machine, because nobody else has it who answers."""

    machine: str


class Losses(Struct, frozen=True):
    """kind `losses`: of a machine that is not `reachable` only what is in records can be known."""

    machine: str
    reachable: bool
    volumes: list[Loss]
