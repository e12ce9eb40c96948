"""The records of the cluster, each written by compare-and-set: what decides is the write, never a read."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from msgspec import structs

from daemon.bucket import Kv, While, answered, below, change, read, replace, write
from daemon.claims import conflicting, with_claim, without
from daemon.node import CommitLost
from daemon.operation_records import OperationRecords
from daemon.records import (
    CLUSTER,
    Claim,
    Cluster,
    DeployPoint,
    Head,
    Held,
    Machine,
    Namespace,
    Newest,
    Past,
    Reservation,
    Sealed,
    Token,
)
from daemon.registry_records import RegistryRecords
from daemon.wire import Refused
from dataplane.entry import Closed, Moved, StoreDown, key

T = TypeVar("T")

AFTER = "--wait SECONDS, or the same again in some seconds"
"""What to do while the store moves."""


class Store(OperationRecords, RegistryRecords):
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
        await answered(change(self._kv, key("cluster"), Cluster, lambda now: now or cluster))
        await answered(change(self._kv, key("machines", machine.name), Machine, lambda now: now or machine))

    async def cluster(self) -> Cluster:
        """Raises Refused `cluster.missing` if none was founded."""
        return await answered(self._cluster())

    async def _cluster(self) -> Cluster:
        found, _ = await read(self._kv, key("cluster"), Cluster)
        if not found:
            raise Refused("cluster.missing", "cannot use the records", "no cluster was founded on this store")
        return found

    async def commit_cluster(self, cluster: Cluster, by: str, token: Token) -> None:
        """Make this the cluster's record, claims aside, as `commit` does a head."""

        def committed(now: Cluster) -> Cluster:
            return structs.replace(cluster, claims=now.claims, by=by, settled=None)

        await self._commit(CLUSTER, committed, by, token)

    async def close(self, by: str) -> None:
        """From now on nobody gets a claim in this store, and who has one already is found in it. Closed by another
        operation: Refused `store.closed`. Without a claim of `by`, or after `open`: Refused `operation.over`."""

        def closed(now: Cluster | None) -> Cluster | None:
            if not now:
                return None
            if now.closed not in ("", by):
                raise _closed("close the store", now)
            if now.settled == by or not _has_claim(now, by):
                raise _is_over(by, "cannot close the store")
            return structs.replace(now, closed=by)

        await answered(change(self._kv, key("cluster"), Cluster, closed))

    async def open(self, by: str) -> None:
        """Undo `close`, if `by` closed it; win the record in any case, so that a close on its way never arrives, nor
        one of somebody from whom the operation was taken over, and who tries again."""

        def opened(now: Cluster | None) -> Cluster | None:
            if not now:
                return None
            settled = by if _has_claim(now, by) else now.settled
            return structs.replace(now, closed="" if now.closed == by else now.closed, settled=settled)

        await answered(change(self._kv, key("cluster"), Cluster, opened, always=True))

    async def commit_move(self, cluster: Cluster, by: str) -> None:
        """Have this store, which is closed by `by` that formed it, be the cluster's. What `by` wrote already is fine.

        Raises as `commit` does.
        """
        now, revision = await read(self._kv, key("cluster"), Cluster)
        if _is_by(now, by):
            return
        if not now or now.closed != by or now.settled == by:
            raise CommitLost(CLUSTER)
        committed = structs.replace(cluster, claims=now.claims, by=by, closed="", settled=None)
        try:
            await write(self._kv, key("cluster"), committed, revision)
        except Moved:
            raise CommitLost(CLUSTER) from None

    async def settle_move(self, cluster: Cluster, by: str) -> bool:
        """Whether `by` committed that. If not it never will: its record is won, be it with one that is closed, also
        where it was not carried over yet."""

        def settled(now: Cluster | None) -> Cluster | None:
            return None if _is_by(now, by) else structs.replace(now or cluster, by="", closed=by, settled=by)

        found, _ = await change(self._kv, key("cluster"), Cluster, settled)
        return _is_by(found, by)

    async def claims(self) -> dict[str, tuple[Claim, ...]]:
        """Every claim there is, by what it is a claim of."""
        found = {name: record.claims for name, record in (await self.namespaces()).items()}
        return {**found, CLUSTER: (await self.cluster()).claims}

    # ------------------------------------------------------------------------------------------ namespaces

    async def namespace(self, name: str) -> Namespace:
        found, _ = await answered(read(self._kv, key("namespaces", name), Namespace))
        return found or Namespace()

    async def namespaces(self) -> dict[str, Namespace]:
        return await answered(below(self._kv, Namespace, "namespaces"))

    async def claim(self, name: str, claim: Claim) -> Token | Claim:
        """Put the claim into the record of a namespace, or of the CLUSTER, and return its token, or the claim of
        somebody else that it conflicts with.

        A claim of this operation that is there already is written again, so that the revision is its own. After
        Refused `store.down` the claim may still arrive: like any claim without an operation it did nothing.
        Refused `store.closed`, with no claim left, while another operation takes the store out of use.
        """
        where, shape = _protected(name)

        def claimed(now: Any) -> Any:
            now = now or shape()
            if conflicting(now.claims, claim):
                return None
            # With a new token the operation could commit again, so that it was settled is no longer enough.
            settled = now.settled if now.settled != claim.operation else None
            return structs.replace(now, claims=with_claim(now.claims, claim), settled=settled)

        found, revision = await answered(_while_open(name, change(self._kv, where, shape, claimed, always=True)))
        if found and (other := conflicting(found.claims, claim)):
            return other
        # Only now: whoever closes the store looks for claims after that, so one of the two sees the other.
        cluster = await self.cluster()
        if cluster.closed not in ("", claim.operation):
            await self.free(name, claim.operation)
            raise _closed(f"change {name}", cluster)
        return Token(cluster.incarnation, revision)

    async def free(self, name: str, operation: str) -> None:
        """Take the operation's claim out of the record; without one nothing is written."""
        where, shape = _protected(name)

        def freed(now: Any) -> Any:
            return structs.replace(now, claims=without(now.claims, operation)) if now else None

        await answered(change(self._kv, where, shape, freed))

    async def commit(
        self, namespace: str, head: Head | None, by: str, token: Token, secrets: Mapping[str, Newest] | None = None
    ) -> None:
        """Make `head` the namespace's over the revision in `token`; what `by` wrote already is fine.

        Raises CommitLost if the record moved on, and StoreDown if nobody knows: it must be settled then.
        """
        await self._commit(namespace, lambda now: _committed(now, head, by, secrets or {}), by, token)

    async def commit_secret(self, namespace: str, name: str, newest: Newest, by: str, token: Token) -> None:
        """Make this the newest version of a secret, as `commit` does a head."""

        def committed(now: Namespace) -> Namespace:
            return structs.replace(now, secrets={**now.secrets, name: newest}, by=by, settled=None)

        await self._commit(namespace, committed, by, token)

    async def _commit(self, name: str, to: Callable[[Any], Any], by: str, token: Token) -> None:
        where, shape = _protected(name)
        now, revision = await read(self._kv, where, shape)
        if _is_by(now, by):
            return
        if (await self._cluster()).incarnation != token.incarnation:
            raise CommitLost(name)
        if revision < token.revision:
            raise StoreDown("the store answered with what the record was before the claim")
        try:
            await write(self._kv, where, to(now or shape()), token.revision)
        except Moved:
            now, _ = await read(self._kv, where, shape)
            if not _is_by(now, by):
                raise CommitLost(name) from None

    async def settle(self, name: str, by: str) -> bool:
        """Whether `by` committed. If not, the record is written again as it is, so that its commit can only fail."""
        where, shape = _protected(name)

        def settled(now: Any) -> Any:
            return None if _is_by(now, by) else structs.replace(now or shape(), settled=by)

        found, _ = await change(self._kv, where, shape, settled)
        return _is_by(found, by)

    # ---------------------------------------------------------------------------------------- reservations

    async def reserve(self, kind: str, what: str, by: str, namespace: str) -> None:
        def reserved(now: Reservation | None) -> Reservation:
            if now and now.settled == by:
                raise _is_over(by, f"cannot take the {kind} {what} for {namespace}")
            if not now or not now.operation:
                return Reservation(by, namespace)
            if now.namespace == namespace:
                return now
            cannot = f"cannot take the {kind} {what} for {namespace}"
            hint = "the same again: another one is chosen" if kind in ("address", "service") else "another name"
            raise Refused("name.taken", cannot, f"it belongs to {now.namespace}", hint)

        await answered(change(self._kv, key("reserved", kind, what), Reservation, reserved))

    async def release(self, kind: str, what: str, namespace: str, by: str) -> None:
        """Free the name if the namespace and the operation hold it.

        Also a name that is free is settled, so that a reservation of `by` that is still on its way never arrives, and
        nobody who carries on with `by` unaware makes it again.
        """

        def released(now: Reservation | None) -> Reservation | None:
            ours = not now or not now.operation or (now.namespace == namespace and now.operation == by)
            return Reservation("", "", by) if ours else None

        await answered(change(self._kv, key("reserved", kind, what), Reservation, released, always=True))

    async def let_go(self, kind: str, what: str, namespace: str, by: str, claimed: str | None = None) -> None:
        """Free the name if the namespace holds it.

        Raises Refused `operation.over` where `by` has no claim on that, or on what is `claimed` instead.
        """

        def free(now: Reservation | None) -> Reservation | None:
            return Reservation("", "") if now and now.operation and now.namespace == namespace else None

        kv = self._while_claimed(claimed or namespace, by, f"cannot let go of the {kind} {what} of {namespace}")
        await answered(change(kv, key("reserved", kind, what), Reservation, free))

    async def reservations(self, kind: str) -> dict[str, Reservation]:
        found = await answered(below(self._kv, Reservation, "reserved", kind))
        return {what: record for what, record in found.items() if record.operation}

    # ---------------------------------------------------------------------------------------------- history

    async def point(self, namespace: str, number: int) -> DeployPoint | None:
        found, _ = await answered(read(self._kv, key("deploys", namespace, str(number)), Past))
        return found.point if found else None

    async def points(self, namespace: str) -> list[DeployPoint]:
        found = await answered(below(self._kv, Past, "deploys", namespace))
        points = [past.point for past in found.values() if past.point]
        return sorted(points, key=lambda point: point.head.deploy)

    async def has_point(self, namespace: str, number: int) -> bool:
        """Whether it was written into the history, be it forgotten since."""
        found, _ = await answered(read(self._kv, key("deploys", namespace, str(number)), Past))
        return found is not None

    async def keep_point(self, point: DeployPoint) -> None:
        where = key("deploys", point.head.namespace, str(point.head.deploy))
        await answered(change(self._kv, where, Past, lambda now: now if now and not now.point else Past(point)))

    async def forget_point(self, namespace: str, number: int, by: str) -> None:
        """Nobody writes a point of this number again, so a tombstone that comes late changes nothing."""

        def forgotten(now: Past | None) -> Past | None:
            return Past(None, by, now.point.data) if now and now.point else None

        await answered(change(self._kv, key("deploys", namespace, str(number)), Past, forgotten))

    async def forgotten(self, namespace: str) -> list[Held]:
        found = await answered(below(self._kv, Past, "deploys", namespace))
        return [held for past in found.values() for held in past.data]

    # ---------------------------------------------------------------------------------------------- secrets

    async def versions(self, namespace: str, secret: str) -> dict[int, Sealed]:
        """The versions of a secret that are not forgotten."""
        found = await answered(below(self._kv, Sealed, "secrets", namespace, secret))
        return {int(version): sealed for version, sealed in sorted(found.items()) if sealed.ciphertext}

    async def keep_version(self, namespace: str, secret: str, version: int, sealed: Sealed) -> None:
        """Write a version down; written already is fine. Nobody but the holder of the namespace's claim does.

        Raises Refused `operation.over` where `sealed.operation` holds none, or took this version back.
        """
        by, cannot = sealed.operation, f"cannot keep version {version} of {secret} for {namespace}"

        def kept(now: Sealed | None) -> Sealed:
            if now and now.operation == by and not now.ciphertext:
                raise _is_over(by, cannot)
            return sealed

        kv = self._while_claimed(namespace, by, cannot)
        await answered(change(kv, key("secrets", namespace, secret, str(version)), Sealed, kept))

    def _while_claimed(self, name: str, by: str, cannot: str) -> While:
        """The bucket, written only while an operation has its claim: whoever has one later must not be disturbed."""

        async def claimed() -> None:
            now, _ = await read(self._kv, *_protected(name))
            if not now or not _has_claim(now, by):
                raise _is_over(by, cannot)

        return While(self._kv, claimed)

    async def forget_version(self, namespace: str, secret: str, version: int, by: str | None = None) -> None:
        """Leave a tombstone instead of a version; with `by`, only if that operation wrote it, or nobody did yet.

        With `by`, one that is there already is written once more, so that what `by` wrote and is still on its way
        finds the record moved and never arrives.
        """

        def forgotten(now: Sealed | None) -> Sealed | None:
            if by is None:
                return Sealed() if now else None
            return Sealed(operation=by) if now is None or now.operation == by or not now.ciphertext else None

        where = key("secrets", namespace, secret, str(version))
        await answered(change(self._kv, where, Sealed, forgotten, always=by is not None))

    async def seal_version_anew(self, namespace: str, secret: str, version: int, before: Sealed, anew: Sealed) -> None:
        await answered(replace(self._kv, key("secrets", namespace, secret, str(version)), before, anew))


def _is_over(operation: str, cannot: str) -> Refused:
    return Refused("operation.over", cannot, f"{operation} is over", f"ployzctl op show {operation}")


def _committed(now: Namespace, head: Head | None, by: str, secrets: Mapping[str, Newest]) -> Namespace:
    last = max(now.last_deploy, head.deploy if head else 0)
    replaced = {name: volume.epoch for name, volume in now.head.volumes.items()} if now.head else {}
    now = structs.replace(now, epochs=now.epochs | replaced, secrets={**now.secrets, **secrets})
    return structs.replace(now, head=head, by=by, last_deploy=last, settled=None)


def _is_by(record: Namespace | Cluster | None, operation: str) -> bool:
    return record is not None and record.by == operation


def _protected(name: str) -> tuple[str, type[Any]]:
    """The record that a claim on this name lies in, and its shape."""
    return (key("cluster"), Cluster) if name == CLUSTER else (key("namespaces", name), Namespace)


def _has_claim(record: Cluster | Namespace, operation: str) -> bool:
    return any(claim.operation == operation for claim in record.claims)


async def _while_open(name: str, asking: Awaitable[T]) -> T:
    """Raises Refused `store.closed` once the store that moves takes nothing at all any more."""
    try:
        return await asking
    except Closed as closed:
        raise Refused("store.closed", f"cannot change {name}", str(closed), AFTER) from closed


def _closed(what: str, cluster: Cluster) -> Refused:
    why = f"the operation {cluster.closed} lets nobody begin anything until it is over"
    return Refused("store.closed", f"cannot {what}", why, f"{AFTER}; ployzctl op show {cluster.closed} -f")
