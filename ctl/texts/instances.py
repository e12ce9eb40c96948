"""The instances of services."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from ctl.lines import read
from ctl.quantities import ago, now
from ctl.style import Style, harmless
from ctl.tables import table
from daemon.wire import InstanceRow


class Instances(Struct):
    instances: list[InstanceRow]


def instances(result: dict[str, Any], style: Style) -> str:
    rows = read(result, Instances).instances
    if not rows:
        return "There are no instances."
    return listed(rows, style)


def listed(rows: Sequence[InstanceRow], style: Style) -> str:
    """The table of them."""
    headings = ["service", "instance", "machine", "address", "state", "since", "restarts", "image"]
    return table(headings, [_row(row, style) for row in rows], style, right="restarts")


def _row(row: InstanceRow, style: Style) -> list[str]:
    since = ago(row.since, now()) if row.since else ""
    name = harmless(f"{row.namespace}/{row.service}")
    return [name, row.id, row.machine, row.ip, _state(row, style), since, str(row.restarts), harmless(row.image)]


def _state(row: InstanceRow, style: Style) -> str:
    paint = {"running": style.green, "stopped": style.dim, "missing": style.red, "unknown": style.red}
    ended = style.dim(f" (last exit {row.last_exit})") if row.last_exit else ""
    return paint.get(row.state, style.yellow)(row.state) + ended
