"""The operations of all machines, whichever is asked: listed, shown with their stories, and aborted where they run."""

import asyncio
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

from daemon.emitting import Tell
from daemon.operations import Operations
from daemon.peers.calls import Line, answer_of
from daemon.records import Operation
from daemon.sites import Sites, warnings
from daemon.wire import Event, OperationRow, Refused, Success

AGAIN = 0.3
"""Seconds between looks at a story of another machine that somebody follows."""
ENDINGS: dict[str, Literal["done", "refused", "taken_back"]] = {"done": "done", "taken_back": "taken_back"}


class Records(Protocol):
    """The mirror."""

    def operations(self) -> list[Operation]: ...


class Shown(Struct):
    """What a machine tells of one operation; the rest of it is passed on as it is."""

    operation: OperationRow
    request: Any = None
    events: list[Event] = []
    answer: Any = None


@dataclass(frozen=True)
class AllOperations:
    """`own` are this machine's; of another one's there is a record, and the story is with who carries it out."""

    own: Operations
    records: Records
    sites: Sites
    line: Line

    @property
    def _here(self) -> str:
        return self.own.means.machine

    async def ls(self, *, all: bool) -> Success:
        """kind `operations`: those that are not over, or all, newest first. What a machine that does not answer carries
        out is in a state that nobody knows."""
        told, records = await self.sites.told(), self.records.operations()
        carried = {record.id: record.machine for record in records}
        answered = {row.id: row for each in told.there.values() for row in each.operations if _is_its(row, carried)}
        rows = {row.id: row for row in self.own.rows(all=all) if _is_its(row, carried)} | answered
        for record in records:
            is_wanted = all if record.ending else record.machine not in told.there
            if is_wanted and record.id not in rows:
                rows[record.id] = _row(record)
        found = sorted(rows.values(), key=lambda row: (row.began_at, row.id), reverse=True)
        return Success("operations", {"operations": msgspec.to_builtins(found)}, warnings=warnings(told))

    async def show(self, id: str, tell: Tell, *, follow: bool) -> Success:
        """kind `operation`, as `Operations.show`; of a machine that does not answer only what the record says."""
        record = self._elsewhere(id)
        if not record:
            return await self.own.show(id, tell, follow=follow)
        try:
            shown, heard = await self._asked(record), 0
            while follow:
                for event in shown.events[heard:]:
                    tell(event)
                heard = len(shown.events)
                if shown.operation.state != "running":
                    break
                await asyncio.sleep(AGAIN)
                shown = await self._asked(record)
        except Refused as refused:
            if refused.code != "machine.unreachable":
                raise
            why = f"its story is on {record.machine}, which does not answer: {refused.why}"
            known = Shown(_row(record), record.request)
            return Success("operation", msgspec.to_builtins(known), id, [why])
        return Success("operation", msgspec.to_builtins(shown), id)

    async def abort(self, id: str) -> Success:
        """As `Operations.abort`, on the machine that carries it out."""
        record = self._elsewhere(id)
        if not record or record.ending:
            return await self.own.abort(id)
        try:
            await answer_of(self.line, record.machine, "abort", msgspec.json.encode(id))
        except Refused as refused:
            if refused.code != "machine.unreachable":
                raise
            why = f"it is {record.machine}'s: {refused.why}"
            hint = f"ployzctl op resume {id} --take-over, if that machine is gone for longer"
            raise Refused(refused.code, f"cannot abort {id}", why, hint) from refused
        return Success("aborted", {"id": id}, id)

    def _elsewhere(self, id: str) -> Operation | None:
        """Its record, if another machine carries it out."""
        found = next((record for record in self.records.operations() if record.id == id), None)
        return found if found and found.machine != self._here else None

    async def _asked(self, record: Operation) -> Shown:
        told = await answer_of(self.line, record.machine, "show", msgspec.json.encode(record.id))
        return msgspec.json.decode(told, type=Shown)


def _is_its(row: OperationRow, carried: dict[str, str]) -> bool:
    """Whether who tells of it still carries it out: one that was taken over has a story on both machines."""
    return carried.get(row.id, row.machine) == row.machine


def _row(record: Operation) -> OperationRow:
    return OperationRow(
        id=record.id,
        primitive=record.primitive,
        state=ENDINGS.get(record.ending, "unknown"),
        who=record.who,
        began_at=record.began_at,
        ended_at=record.ended_at or None,
        namespaces=list(record.claims),
        machine=record.machine,
    )
