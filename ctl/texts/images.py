"""Images of machines, and where one was brought."""

from typing import Any

from msgspec import Struct

from ctl.lines import read
from ctl.quantities import size
from ctl.style import Style, harmless
from ctl.tables import table
from daemon.wire import Distributed, ImageRow


class Images(Struct):
    images: list[ImageRow]


def images(result: dict[str, Any], style: Style) -> str:
    rows = read(result, Images).images
    if not rows:
        return "There are no images."
    cells = [[row.machine, harmless(row.name or "none"), _short(row.digest), size(row.bytes)] for row in rows]
    return table(["machine", "image", "digest", "bytes"], cells, style, right="bytes")


def distributed(result: dict[str, Any], _: Style) -> str:
    done = read(result, Distributed)
    brought = f"was brought to {_list(done.brought)}" if done.brought else ""
    there = f"was there already on {_list(done.there)}" if done.there else ""
    return f"{harmless(done.image)} {'; it '.join(filter(None, (brought, there)))}."


def _short(digest: str) -> str:
    """As much of it as tells it from others."""
    return harmless(digest.rpartition("@")[2])[: len("sha256:") + 12]


def _list(machines: list[str]) -> str:
    return ", ".join(map(harmless, machines))
