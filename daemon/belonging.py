"""What a primitive may do about machines: the part of `daemon.node` that is about the others, and one's place there."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from msgspec import Struct

from daemon.membership import Membership
from daemon.records import Claim, Cluster, Invitation, Machine, Token
from daemon.wire import Admitted, MachineAdmit, Refused


class Members(Protocol):
    """The records of the cluster itself, of its machines and of its invitations. Verbs raise as those of Records."""

    async def cluster(self) -> Cluster:
        """Raises Refused `cluster.missing` if none was founded."""

    async def commit_cluster(self, cluster: Cluster, by: str, token: Token) -> None:
        """Make this the cluster's record, claims aside, as `commit` does a head."""

    async def settle_cluster(self, by: str) -> bool:
        """Decide for good whether `by` committed that, as `settle` does."""

    async def close(self, by: str) -> None:
        """From now on nobody gets a claim in this store."""

    async def open(self, by: str) -> None:
        """Undo that, if `by` did it."""

    async def claims(self) -> dict[str, tuple[Claim, ...]]:
        """Every claim there is, by what it is a claim of."""

    async def machines(self) -> dict[str, Machine]:
        """All that are there, by name."""

    async def machine(self, name: str) -> tuple[Machine | None, int]:
        """The record of that name, a tombstone too, with its revision."""

    async def commit_machine(self, machine: Machine, revision: int) -> None:
        """Write it over a revision, as the operation `machine.by`. Raises CommitLost if the record moved on."""

    async def settle_machine(self, machine: Machine) -> bool:
        """Decide for good whether `machine.by` committed, as `settle` does."""

    async def amend(self, name: str, to: Callable[[Machine], Machine]) -> None:
        """Change what is no commit: where it is reached, what it runs, that it has come. A removed one stays so."""

    async def invitations(self) -> dict[str, Invitation]:
        """All that ever were, by id."""

    async def commit_invitation(self, invitation: Invitation) -> None:
        """Write it where there is none. Raises CommitLost if its operation was settled."""

    async def settle_invitation(self, invitation: Invitation) -> bool:
        """Decide for good whether it was committed."""

    async def revoke(self, id: str, by: str) -> None:
        """Nobody gets in by it any more."""


async def is_lost(machine: str, members: Members) -> bool:
    """Whether nobody waits for a machine any more: somebody has said that it is gone for good, or it was removed.

    Raises Refused `store.down`.
    """
    now, _ = await members.machine(machine)
    return now is not None and now.state in ("lost", "removed")


async def require_ports(mesh: "Mesh", code: str, cannot: str) -> None:
    """Whoever is made a member while somebody has one of its ports could not start again.

    Raises Refused with the code.
    """
    if strangers := await mesh.strangers():
        taken = ", ".join(f"{port} is {who}'s" for port, who in strangers.items())
        raise Refused(code, cannot, f"ports that the mesh needs are taken: {taken}", "end who has them")


@asynccontextmanager
async def unless_lost(machine: str, members: Members) -> AsyncIterator[None]:
    """What is asked of a machine inside is not asked if nobody waits for it any more."""
    try:
        yield
    except Refused as refused:
        if refused.code != "machine.unreachable" or not await is_lost(machine, members):
            raise


class Keys(Struct, frozen=True):
    """By which others know a machine: its public keys on the mesh and on the bus."""

    mesh: str
    bus: str


class Mesh(Protocol):
    """This machine's place among the others. Each verb raises CommandError or one of its kinds."""

    @property
    def membership(self) -> Membership:
        """What this machine runs as: its cluster, and its place there."""

    async def keys(self) -> Keys:
        """Made where they are missing; they never change while the machine is a member."""

    async def endpoint(self, towards: str | None = None) -> str | None:
        """Where others most likely reach this machine (host:port), seen from `towards`; None if it cannot say."""

    async def guest(self, invitation: str) -> str:
        """The one-time public key of an invitation of this machine: the same one each time."""

    async def networks(self) -> dict[str, str]:
        """The networks (CIDR) that this machine has routes to, with their interfaces; none of its own cluster's."""

    async def strangers(self) -> dict[str, str]:
        """The ports that a member needs and that somebody else has, with who that is."""

    async def open_operations(self, by: str) -> list[str]:
        """Those of this machine that are not over, `by` itself excluded."""

    async def knock(self, letter: bytes, ask: MachineAdmit, *, preview: bool) -> Admitted | None:
        """Ask at the door of a sealed letter to be let in; with `preview` only whether one would be: None.

        Raises what the door refuses, and Unreached if nobody answers there.
        """

    async def become(self, wanted: Membership) -> None:
        """Be that from now on, and after each start. The daemon starts anew for it: this only returns once it is so."""

    async def apply(self) -> None:
        """Have exactly the machines of the records as peers, and their guests, and read that back."""

    async def answers(self, machine: str) -> bool:
        """Whether the daemon of another machine answers just now."""

    async def at_work(self) -> list[str]:
        """The operations that this machine carries out just now."""

    async def gather(self) -> None:
        """Have one of those who keep the records see that this machine opens what is sealed, and that the right ones
        keep them, now that it has come.

        Whatever comes of it, this machine is in: what is not done now is with the next that comes or goes.
        """

    async def dismiss(self, machine: str) -> None:
        """Have a machine that was removed be a cluster of its own. One that does not answer finds out by itself."""

    async def differs(self) -> str:
        """Ask the world whether this machine is on the mesh as its membership says: empty if so, else what differs."""
