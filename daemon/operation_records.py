"""The records of operations: who carries one out, in which term, and how it ended."""

from msgspec import structs

from daemon.bucket import Kv, answered, below, change, read
from daemon.records import Operation
from daemon.wire import Refused
from dataplane.entry import key


class OperationRecords:
    """A part of `daemon.store.Store`; verbs raise as those do."""

    def __init__(self, kv: Kv) -> None:
        self._kv = kv

    async def ended_in(self, operation: str) -> int | None:
        """The term in which an operation ended, as its record tells; None if that tells of no ending."""
        record = await self.operation(operation)
        return record.term if record and record.ending else None

    async def begin(self, operation: Operation) -> None:
        """Write down what an operation sets out to do; written already is fine.

        Raises Refused `operation.exists` if there is another one of this id.
        """
        where = key("operations", operation.id)
        there, _ = await answered(change(self._kv, where, Operation, lambda now: now or operation))
        if there != operation:
            cannot = f"cannot begin operation {operation.id}"
            raise Refused("operation.exists", cannot, "there is another one of this id", "another --op-id")

    async def operation(self, id: str) -> Operation | None:
        """What an operation set out to do, and how it ended."""
        found, _ = await answered(read(self._kv, key("operations", id), Operation))
        return found

    async def operations(self) -> list[Operation]:
        """All of them, oldest first."""
        found = await answered(below(self._kv, Operation, "operations"))
        return sorted(found.values(), key=lambda operation: (operation.began_at, operation.id))

    async def take_operation(self, id: str, machine: str) -> Operation | None:
        """Have this machine carry on with an operation from now on, in a new term, unless it is over.

        Returns what is there then; None where there is no such operation.
        """

        def taken(now: Operation | None) -> Operation | None:
            return structs.replace(now, machine=machine, term=now.term + 1) if now and not now.ending else None

        found, _ = await answered(change(self._kv, key("operations", id), Operation, taken))
        return found

    async def forbid(self, operation: Operation) -> Operation:
        """Leave this in the record of an operation that has none yet, so that it never begins; what is there then."""
        found, _ = await answered(
            change(self._kv, key("operations", operation.id), Operation, lambda now: now or operation)
        )
        return found or operation

    async def end(self, ended: Operation) -> bool:
        """Write down how an operation ended (a later word counts), also of one that has no record: should that still
        be on its way, it is not to arrive. Of one that was taken over since the term of `ended` nothing is written.

        Returns whether it is over.
        """

        def over(now: Operation | None) -> Operation | None:
            ours = now is None or (now.term == ended.term and now.ending != ended.ending)
            return ended if ours else None

        found, _ = await answered(change(self._kv, key("operations", ended.id), Operation, over))
        return found is not None and bool(found.ending)
