"""The records of the cluster's machines and of its invitations, written by compare-and-set like all others."""

from collections.abc import Callable

from msgspec import structs

from daemon.bucket import Kv, answered, below, change, read, write
from daemon.node import CommitLost
from daemon.records import CLUSTER, Claim, Cluster, Invitation, Machine, Token
from daemon.store import Store
from dataplane.entry import Moved, key


class Members:
    """Implements `daemon.belonging.Members`; verbs raise as those of `daemon.store.Store` do."""

    def __init__(self, kv: Kv) -> None:
        self._kv, self._store = kv, Store(kv)

    async def cluster(self) -> Cluster:
        return await self._store.cluster()

    async def commit_cluster(self, cluster: Cluster, by: str, token: Token) -> None:
        await self._store.commit_cluster(cluster, by, token)

    async def settle_cluster(self, by: str) -> bool:
        return await self._store.settle(CLUSTER, by)

    async def close(self, by: str) -> None:
        await self._store.close(by)

    async def open(self, by: str) -> None:
        await self._store.open(by)

    async def claims(self) -> dict[str, tuple[Claim, ...]]:
        return await self._store.claims()

    async def machines(self) -> dict[str, Machine]:
        """All that are there, by name."""
        found = await answered(below(self._kv, Machine, "machines"))
        return {name: machine for name, machine in sorted(found.items()) if machine.state != "removed"}

    async def machine(self, name: str) -> tuple[Machine | None, int]:
        """The record of that name, a tombstone too, with its revision."""
        return await answered(read(self._kv, key("machines", name), Machine))

    async def commit_machine(self, machine: Machine, revision: int) -> None:
        """Write it over a revision, as the operation `machine.by`. Raises CommitLost, and StoreDown if nobody knows."""
        where = key("machines", machine.name)
        try:
            await write(self._kv, where, machine, revision)
        except Moved:
            now, _ = await read(self._kv, where, Machine)
            if not now or now.by != machine.by:
                raise CommitLost(f"the machine {machine.name}") from None

    async def settle_machine(self, machine: Machine) -> bool:
        """Whether `machine.by` committed. If not, its record is won: by a tombstone where there was none."""

        def settled(now: Machine | None) -> Machine | None:
            if now and now.by == machine.by:
                return None
            gone = structs.replace(machine, state="removed", by="")
            return structs.replace(now or gone, settled=machine.by)

        found, _ = await change(self._kv, key("machines", machine.name), Machine, settled)
        return found is not None and found.by == machine.by

    async def amend(self, name: str, to: Callable[[Machine], Machine]) -> None:
        """Change what is no commit: where it is reached, what it runs, that it has come. A removed one stays so."""

        def amended(now: Machine | None) -> Machine | None:
            return to(now) if now and now.state != "removed" else None

        await answered(change(self._kv, key("machines", name), Machine, amended))

    async def invitations(self) -> dict[str, Invitation]:
        return await answered(below(self._kv, Invitation, "invitations"))

    async def commit_invitation(self, invitation: Invitation) -> None:
        """Write it where there is none; what its operation wrote already is fine. Raises as `commit_machine` does."""
        found, _ = await change(self._kv, key("invitations", invitation.id), Invitation, lambda now: now or invitation)
        if not found or found.by != invitation.by or found.revoked:
            raise CommitLost(f"the invitation {invitation.id}")

    async def settle_invitation(self, invitation: Invitation) -> bool:
        """Whether it was committed; if not it is revoked before it ever was there."""
        gone = structs.replace(invitation, revoked=invitation.by)
        where = key("invitations", invitation.id)
        found, _ = await change(self._kv, where, Invitation, lambda now: now or gone)
        return found is not None and not found.revoked

    async def revoke(self, id: str, by: str) -> None:
        """Nobody gets in by it any more; none is fine: a founder came by none. One that is revoked stays as it is."""

        def revoked(now: Invitation | None) -> Invitation | None:
            return structs.replace(now, revoked=now.revoked or by) if now else None

        if id:
            await answered(change(self._kv, key("invitations", id), Invitation, revoked))
