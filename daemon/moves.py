"""What a machine may be asked while the store moves: the part of `daemon.node` that is about servers and stores.

The new store's servers run beside the old ones until everybody has gone over. Whoever carries a move out is the only
one who writes into the new store before it is committed there, and the old one is sealed before it is read.
"""

from typing import Protocol

from msgspec import Struct

from daemon.records import Cluster, Machine


class Move(Struct, frozen=True):
    """The cluster's record as it will be, and the machines that the new store is for."""

    cluster: Cluster
    machines: dict[str, Machine]


class Moves(Protocol):
    """One machine's part of a move. Each verb may be repeated, and raises CommandError or StoreDown, or a kind of
    them."""

    def password(self, operation: str) -> str:
        """What the holders of the store that `operation` forms know each other by. Nobody keeps it."""

    async def prepare(self, move: Move, password: str) -> None:
        """Have a server of the new store run, beside the one that is used."""

    async def discard(self, move: Move) -> None:
        """Remove that server, with all that it keeps; never the one that this machine goes by."""

    async def form(self, move: Move) -> None:
        """Make the new store, empty, once its servers found each other."""

    async def sealed(self) -> bool:
        """Whether nobody can write into the store that this machine goes by."""

    async def seal(self) -> None:
        """Have nobody write into the old store any more: what was sent before is in it, or refused."""

    async def unseal(self) -> None:
        """Have the old store written to again."""

    async def carry(self, move: Move) -> None:
        """Write every record of the old store into the new one."""

    async def compare(self, move: Move) -> None:
        """Make sure that the new store has exactly what the old one has, and that nobody writes into that."""

    async def commit(self, move: Move, by: str) -> None:
        """Have the new store be the cluster's. Raises CommitLost if it was settled that it is not."""

    async def prepared(self, move: Move) -> bool:
        """Whether this machine has a server of the new store. As long as one who should keep that has none, it is not
        formed."""

    async def settle(self, move: Move, by: str) -> bool:
        """Decide for good whether it is, as Records' `settle` does; it is not where it was never formed."""

    async def turn(self, move: Move) -> None:
        """Go over to the new store, in a moment: the answer to this still goes the old way. Whoever has is fine."""

    async def turned(self, move: Move) -> bool:
        """Whether this machine has gone over."""

    async def tidy(self) -> None:
        """Remove the servers of the stores before the one that this machine goes by, with what they keep."""
