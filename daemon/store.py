"""The records of the cluster, each written by compare-and-set: what decides is the write, never a read."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import structs

from daemon.bucket import Kv, below, change, read, write
from daemon.claims import conflicting, with_claim, without
from daemon.node import CommitLost
from daemon.records import (
    Claim,
    Cluster,
    DeployPoint,
    Head,
    Held,
    Machine,
    Namespace,
    Newest,
    Operation,
    Past,
    Registry,
    Reservation,
    Sealed,
    Token,
)
from daemon.wire import Refused
from dataplane.entry import Moved, StoreDown, key

STORE_DOWN = (
    "the same again in some seconds: its server is started again by itself; if it stays down, "
    "ployzctl doctor, and the end of store/nats-server.log in its machine's data directory"
)
"""What to do about a store that does not answer."""
FREE = Reservation("", "")

T = TypeVar("T")


class Store:
    """All that the cluster agreed on. Implements `daemon.node.Records`, and what the engine needs besides.

    Where the store does not answer, verbs raise Refused `store.down`, and where others write a record all the time
    `record.moved`; but `commit` and `settle` raise StoreDown,
    because then nobody knows yet whether the write happened. A record that makes no sense: `record.unreadable`.
    """

    def __init__(self, kv: Kv) -> None:
        self._kv = kv

    # --------------------------------------------------------------------------------- cluster and machines

    async def found(self, cluster: Cluster, machine: Machine) -> None:
        """Make the records of the cluster and of this machine where there are none."""
        await _answered(change(self._kv, key("cluster"), Cluster, lambda now: now or cluster))
        await _answered(change(self._kv, key("machines", machine.name), Machine, lambda now: now or machine))

    async def incarnation(self) -> int:
        """How often the store was moved or recovered. Raises Refused `cluster.missing` if none was founded."""
        return await _answered(self._incarnation())

    async def _incarnation(self) -> int:
        found, _ = await read(self._kv, key("cluster"), Cluster)
        if not found:
            raise Refused("cluster.missing", "cannot use the records", "no cluster was founded on this store")
        return found.incarnation

    # ------------------------------------------------------------------------------------------ namespaces

    async def namespace(self, name: str) -> Namespace:
        found, _ = await _answered(read(self._kv, key("namespaces", name), Namespace))
        return found or Namespace()

    async def namespaces(self) -> dict[str, Namespace]:
        return await _answered(below(self._kv, Namespace, "namespaces"))

    async def claim(self, namespace: str, claim: Claim) -> Token | Claim:
        """Put the claim into the record and return its token, or the claim of somebody else that it conflicts with.

        A claim of this operation that is there already is written again, so that the revision is its own. After
        Refused `store.down` the claim may still arrive: like any claim without an operation it did nothing.
        """
        incarnation = await self.incarnation()

        def claimed(now: Namespace | None) -> Namespace | None:
            now = now or Namespace()
            if conflicting(now.claims, claim):
                return None
            # With a new token the operation could commit again, so that it was settled is no longer enough.
            settled = now.settled if now.settled != claim.operation else None
            return structs.replace(now, claims=with_claim(now.claims, claim), settled=settled)

        found, revision = await _answered(
            change(self._kv, key("namespaces", namespace), Namespace, claimed, always=True)
        )
        other = conflicting(found.claims, claim) if found else None
        return other or Token(incarnation, revision)

    async def free(self, namespace: str, operation: str) -> None:
        """Take the operation's claim out of the record; without one nothing is written."""

        def freed(now: Namespace | None) -> Namespace | None:
            return structs.replace(now, claims=without(now.claims, operation)) if now else None

        await _answered(change(self._kv, key("namespaces", namespace), Namespace, freed))

    async def commit(self, namespace: str, head: Head | None, by: str, token: Token) -> None:
        """Make `head` the namespace's over the revision in `token`; what `by` wrote already is fine.

        Raises CommitLost if the record moved on, and StoreDown if nobody knows: it must be settled then.
        """
        await self._commit(namespace, lambda now: _committed(now, head, by), by, token)

    async def commit_secret(self, namespace: str, name: str, newest: Newest, by: str, token: Token) -> None:
        """Make this the newest version of a secret, as `commit` does a head."""

        def committed(now: Namespace) -> Namespace:
            return structs.replace(now, secrets={**now.secrets, name: newest}, by=by, settled=None)

        await self._commit(namespace, committed, by, token)

    async def _commit(self, namespace: str, to: Callable[[Namespace], Namespace], by: str, token: Token) -> None:
        where = key("namespaces", namespace)
        now, revision = await read(self._kv, where, Namespace)
        if _is_by(now, by):
            return
        if await self._incarnation() != token.incarnation:
            raise CommitLost(namespace)
        if revision < token.revision:
            raise StoreDown("the store answered with what the record was before the claim")
        try:
            await write(self._kv, where, to(now or Namespace()), token.revision)
        except Moved:
            now, _ = await read(self._kv, where, Namespace)
            if not _is_by(now, by):
                raise CommitLost(namespace) from None

    async def settle(self, namespace: str, by: str) -> bool:
        """Whether `by` committed. If not, the record is written again as it is, so that its commit can only fail."""

        def settled(now: Namespace | None) -> Namespace | None:
            return None if _is_by(now, by) else structs.replace(now or Namespace(), settled=by)

        found, _ = await change(self._kv, key("namespaces", namespace), Namespace, settled)
        return _is_by(found, by)

    # ---------------------------------------------------------------------------------------- reservations

    async def reserve(self, kind: str, what: str, by: str, namespace: str) -> None:
        def reserved(now: Reservation | None) -> Reservation:
            if not now or not now.operation:
                return Reservation(by, namespace)
            if now.namespace == namespace:
                return now
            cannot = f"cannot take the {kind} {what} for {namespace}"
            raise Refused("name.taken", cannot, f"it belongs to {now.namespace}", "another name")

        await _answered(change(self._kv, key("reserved", kind, what), Reservation, reserved))

    async def release(self, kind: str, what: str, namespace: str, by: str | None = None) -> None:
        """Free the name if the namespace, and where given the operation `by`, holds it.

        With `by`, a name that is free is written as free once more, so that a reservation of `by` that is
        still on its way finds the record moved and never arrives.
        """

        def released(now: Reservation | None) -> Reservation | None:
            if not now or not now.operation:
                return FREE if by else None
            return FREE if now.namespace == namespace and by in (None, now.operation) else None

        await _answered(change(self._kv, key("reserved", kind, what), Reservation, released, always=True))

    async def reservations(self, kind: str) -> dict[str, Reservation]:
        found = await _answered(below(self._kv, Reservation, "reserved", kind))
        return {what: record for what, record in found.items() if record.operation}

    # ---------------------------------------------------------------------------------------------- history

    async def point(self, namespace: str, number: int) -> DeployPoint | None:
        found, _ = await _answered(read(self._kv, key("deploys", namespace, str(number)), Past))
        return found.point if found else None

    async def points(self, namespace: str) -> list[DeployPoint]:
        found = await _answered(below(self._kv, Past, "deploys", namespace))
        points = [past.point for past in found.values() if past.point]
        return sorted(points, key=lambda point: point.head.deploy)

    async def has_point(self, namespace: str, number: int) -> bool:
        """Whether it was written into the history, be it forgotten since."""
        found, _ = await _answered(read(self._kv, key("deploys", namespace, str(number)), Past))
        return found is not None

    async def keep_point(self, point: DeployPoint) -> None:
        where = key("deploys", point.head.namespace, str(point.head.deploy))
        await _answered(change(self._kv, where, Past, lambda now: now if now and not now.point else Past(point)))

    async def forget_point(self, namespace: str, number: int, by: str) -> None:
        """Nobody writes a point of this number again, so a tombstone that comes late changes nothing."""

        def forgotten(now: Past | None) -> Past | None:
            return Past(None, by, now.point.data) if now and now.point else None

        await _answered(change(self._kv, key("deploys", namespace, str(number)), Past, forgotten))

    async def forgotten(self, namespace: str) -> list[Held]:
        found = await _answered(below(self._kv, Past, "deploys", namespace))
        return [held for past in found.values() for held in past.data]

    # ---------------------------------------------------------------------------------------------- secrets

    async def versions(self, namespace: str, secret: str) -> dict[int, Sealed]:
        """The versions of a secret that are not forgotten."""
        found = await _answered(below(self._kv, Sealed, "secrets", namespace, secret))
        return {int(version): sealed for version, sealed in sorted(found.items()) if sealed.ciphertext}

    async def keep_version(self, namespace: str, secret: str, version: int, sealed: Sealed) -> None:
        """Write a version down; written already is fine. Nobody but the holder of the namespace's claim does."""
        where = key("secrets", namespace, secret, str(version))
        await _answered(change(self._kv, where, Sealed, lambda _: sealed))

    async def forget_version(self, namespace: str, secret: str, version: int, by: str | None = None) -> None:
        """Leave a tombstone instead of a version; with `by`, only if that operation wrote it, or nobody did yet.

        With `by`, one that is there already is written once more, so that what `by` wrote and is still on its way
        finds the record moved and never arrives.
        """

        def forgotten(now: Sealed | None) -> Sealed | None:
            if by is None:
                return Sealed() if now else None
            return Sealed() if now is None or now.operation in (by, "") else None

        where = key("secrets", namespace, secret, str(version))
        await _answered(change(self._kv, where, Sealed, forgotten, always=by is not None))

    # ------------------------------------------------------------------------------------------- registries

    async def registry(self, host: str) -> tuple[Registry, int]:
        """Who the cluster is at a registry, with the revision of that."""
        found, revision = await _answered(read(self._kv, key("registries", host), Registry))
        return found or Registry(), revision

    async def commit_registry(self, host: str, registry: Registry, revision: int) -> None:
        """Write it over a revision, as the operation `registry.by`; raises as `commit` does."""
        where = key("registries", host)
        try:
            await write(self._kv, where, registry, revision)
        except Moved:
            now, _ = await read(self._kv, where, Registry)
            if not now or now.by != registry.by:
                raise CommitLost(f"the registry {host}") from None

    async def settle_registry(self, host: str, by: str) -> bool:
        """Whether `by` committed, decided for good as `settle` does."""

        def settled(now: Registry | None) -> Registry | None:
            return None if now and now.by == by else structs.replace(now or Registry(), settled=by)

        found, _ = await change(self._kv, key("registries", host), Registry, settled)
        return found is not None and found.by == by

    # ------------------------------------------------------------------------------------------- operations

    async def begin(self, operation: Operation) -> None:
        """Write down what an operation sets out to do; written already is fine.

        Raises Refused `operation.exists` if there is another one of this id.
        """
        where = key("operations", operation.id)
        there, _ = await _answered(change(self._kv, where, Operation, lambda now: now or operation))
        if there != operation:
            cannot = f"cannot begin operation {operation.id}"
            raise Refused("operation.exists", cannot, "there is another one of this id", "another --op-id")

    async def operation(self, id: str) -> Operation | None:
        """What an operation set out to do, and how it ended."""
        found, _ = await _answered(read(self._kv, key("operations", id), Operation))
        return found

    async def operations(self) -> list[Operation]:
        """All of them, oldest first."""
        found = await _answered(below(self._kv, Operation, "operations"))
        return sorted(found.values(), key=lambda operation: (operation.began_at, operation.id))

    async def end(self, id: str, ending: str, at: str) -> None:
        """Write down how an operation ended (a later word counts); of one that never began nothing is written."""

        def ended(now: Operation | None) -> Operation | None:
            return structs.replace(now, ending=ending, ended_at=at) if now and now.ending != ending else None

        await _answered(change(self._kv, key("operations", id), Operation, ended))


def _committed(now: Namespace, head: Head | None, by: str) -> Namespace:
    last = max(now.last_deploy, head.deploy if head else 0)
    return structs.replace(now, head=head, by=by, last_deploy=last, settled=None)


def _is_by(namespace: Namespace | None, operation: str) -> bool:
    return namespace is not None and namespace.by == operation


async def _answered(asking: Awaitable[T]) -> T:
    try:
        return await asking
    except Moved as moved:
        why = f"somebody else has changed {moved} meanwhile, again and again"
        raise Refused("record.moved", "cannot change the cluster's records", why, "the same again") from moved
    except StoreDown as problem:
        raise Refused("store.down", "cannot reach the cluster's records", str(problem), STORE_DOWN) from problem
