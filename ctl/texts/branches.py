"""Branches: who came from whom, and what two namespaces differ in."""

from typing import Any

from msgspec import Struct

from ctl.lines import read
from ctl.quantities import ago, now, size
from ctl.style import Style, harmless
from ctl.tables import table
from daemon.wire import BranchDifference, BranchRow


class Branches(Struct):
    branches: list[BranchRow]


def branches(result: dict[str, Any], style: Style) -> str:
    rows = read(result, Branches).branches
    if not rows:
        return "Nothing was branched."
    depth: dict[str, int] = {}
    cells = []
    for row in rows:
        depth[row.namespace] = depth.get(row.source, 0) + 1
        name = "  " * (depth[row.namespace] - 1) + harmless(row.namespace)
        cells.append([name, harmless(row.source), str(row.deploy), ago(row.at, now()), _bytes(row.bytes)])
    return table(["branch", "of", "deploy", "when", "held"], cells, style, right="deploy held")


def difference(result: dict[str, Any], style: Style) -> str:
    told = read(result, BranchDifference)
    heads = ["", harmless(told.source), harmless(told.target)]
    code = [[harmless(one.path), _short(one.source), _short(one.target)] for one in told.code]
    data = [[harmless(one.name), _bytes(one.source), _bytes(one.target)] for one in told.volumes]
    parts = [
        table(["setting", *heads[1:]], code, style) if code else "The code is the same.",
        table(["volume, alone", *heads[1:]], data, style, right=" ".join(heads[1:])) if data else "",
    ]
    return "\n\n".join(filter(None, parts))


def _short(value: str | None) -> str:
    """Of a digest as much as tells it from others."""
    digest = len("sha256:") + 12
    return harmless((value or "")[:digest] if (value or "").startswith("sha256:") else value or "")


def _bytes(held: int | None) -> str:
    return "" if held is None else size(held)
