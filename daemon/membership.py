"""What this machine is, written down where it is found without the store: in one file, read at each start."""

import uuid
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from daemon import addressing
from daemon.records import Cluster, Machine
from daemon.wire import Problem
from dataplane.secret_file import write_secret


class Membership(Struct, frozen=True):
    """This machine's cluster and its place there: both records as they were last known, and those of all members.

    A machine is a cluster of one from its first start on; with `cluster.mesh` it has others, or waits for them.
    """

    cluster: Cluster
    name: str
    machines: dict[str, Machine]

    @property
    def here(self) -> Machine:
        return self.machines[self.name]

    def is_as(self, other: "Membership") -> bool:
        """Whether a daemon that runs as one of the two runs as the other: what it is is the same, whatever it knows."""
        return self._place() == other._place()

    def _place(self) -> tuple[object, ...]:
        return self.cluster.id, self.cluster.mesh, self.cluster.cidr, self.name, self.here.subnet

    @property
    def is_founder(self) -> bool:
        """Whether this machine keeps the first store that its cluster had, alone."""
        return self.cluster.incarnation == 1 and self.cluster.store == (self.name,)

    @property
    def keeps_records(self) -> bool:
        """Whether this machine is one of those that hold the store."""
        return self.name in self.cluster.store


def alone(name: str, at: str, version: str) -> Membership:
    """A cluster of one machine, which begins now."""
    subnet = addressing.subnets(addressing.DEFAULT)[0]
    here = Machine(uuid.uuid4().hex, name, subnet, addressing.address(subnet), at, version)
    cluster = Cluster(name, addressing.DEFAULT, 1, at, id=uuid.uuid4().hex, store=(name,))
    return Membership(cluster, name, {name: here})


def left(now: Membership, at: str) -> Membership:
    """A cluster of its own for a machine that is no member any more: with its name and addresses, and nothing else."""
    here = structs.replace(
        now.here, id=uuid.uuid4().hex, created_at=at, state="active", key="", nkey="", endpoint=None, invitation=""
    )
    cluster = Cluster(now.name, now.cluster.cidr, 1, at, id=uuid.uuid4().hex, store=(now.name,))
    return Membership(cluster, now.name, {now.name: here})


def load(file: Path) -> Membership | None:
    """What the file says; None where there is none. Raises Problem `membership.unreadable`."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Membership)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as problem:
        cannot, why = f"cannot read {file}", f"{problem}; a newer ployz may have written it"
        raise Problem("membership.unreadable", cannot, why, "ployzctl version") from None


def save(file: Path, membership: Membership) -> None:
    """Write it, at once and for good. Raises OSError."""
    write_secret(file, msgspec.json.encode(membership) + b"\n")
