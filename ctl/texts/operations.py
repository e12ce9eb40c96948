"""Operations, and their stories."""

from typing import Any

from msgspec import Struct

from ctl.lines import read
from ctl.quantities import ago, both, moment, now, since, span
from ctl.steps import story
from ctl.style import Style, harmless
from ctl.tables import pairs, table
from daemon.wire import Event, OperationRow


class Operations(Struct):
    operations: list[OperationRow]


class Operation(Struct):
    operation: OperationRow
    events: list[Event] = []


def operations(result: dict[str, Any], style: Style) -> str:
    rows = read(result, Operations).operations
    return listed(rows, style) if rows else "There are no operations."


def listed(rows: list[OperationRow], style: Style) -> str:
    """Lines of a table of operations."""
    headings = ["operation", "what", "machine", "state", "who", "began", "took"]
    return table(headings, [_row(row, style) for row in rows], style, right="took")


def operation(result: dict[str, Any], style: Style) -> str:
    shown = read(result, Operation)
    row = shown.operation
    about = [
        ("state", _state(row, style)),
        ("machine", harmless(row.machine)),
        ("who", harmless(row.who)),
        ("began", both(row.began_at, now())),
        ("took", span(_seconds(row)) if row.ended_at else ""),
    ]
    parts = [style.bold(f"{_what(row)}  {row.id}"), pairs(about, style), story(shown.events, style), _next(row)]
    return "\n\n".join(filter(None, parts))


def _row(row: OperationRow, style: Style) -> list[str]:
    took = span(_seconds(row))
    return [
        row.id,
        _what(row),
        harmless(row.machine),
        _state(row, style),
        harmless(row.who),
        ago(row.began_at, now()),
        took,
    ]


def _what(row: OperationRow) -> str:
    if row.code:
        return f"its journal cannot be read ({row.code})"
    return harmless(row.says or " ".join([row.primitive.replace(".", " "), *row.namespaces]))


def _state(row: OperationRow, style: Style) -> str:
    paint = {"running": style.cyan, "done": style.green, "stuck": style.red}
    return paint.get(row.state, style.yellow)(row.state.replace("_", " "))


def _seconds(row: OperationRow) -> float:
    return since(row.began_at, moment(row.ended_at) if row.ended_at else now())


def _next(row: OperationRow) -> str:
    commands = {
        "stuck": f"Carry on with: ployzctl op resume {row.id}",
        "running": f"Watch: ployzctl op show {row.id} -f",
    }
    return commands.get(row.state, "")
