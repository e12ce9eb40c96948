"""The deploy points of a namespace, and manifests."""

from typing import Any

from msgspec import Struct

from ctl.lines import read
from ctl.quantities import ago, both, now
from ctl.style import Style, harmless
from ctl.tables import indent, pairs, table
from daemon.wire import DeployRow


class Points(Struct):
    deploys: list[DeployRow]


class Point(Struct):
    deploy: DeployRow
    manifest: str


class Manifest(Struct):
    manifest: str


def points(result: dict[str, Any], style: Style) -> str:
    rows = read(result, Points).deploys
    return deploys_table(rows, style) if rows else "There are no deploy points."


def deploys_table(rows: list[DeployRow], style: Style) -> str:
    headings = ["", "deploy", "when", "who", "operation", "data", "images"]
    return table(headings, [_row(row, style) for row in rows], style, right="deploy")


def point(result: dict[str, Any], style: Style) -> str:
    shown = read(result, Point)
    row = shown.deploy
    about = [
        ("id", row.id),
        ("when", both(row.at, now())),
        ("who", harmless(row.who)),
        ("operation", row.operation),
        *((f"image of {name}", harmless(image)) for name, image in sorted(row.images.items())),
        *((f"data of {name}", held) for name, held in sorted(row.snapshots.items())),
    ]
    head = style.bold(f"deploy {row.number}") + (style.green("  current") if row.current else "")
    return "\n\n".join([head, pairs(about, style), indent(harmless(shown.manifest).rstrip())])


def manifest(result: dict[str, Any], _: Style) -> str:
    """As it is, since it may go into a file."""
    return read(result, Manifest).manifest


def _row(row: DeployRow, style: Style) -> list[str]:
    images = "  ".join(harmless(f"{name}={_short(image)}") for name, image in sorted(row.images.items()))
    data = style.dim("in use") if row.current else ", ".join(sorted(row.snapshots))
    mark = style.green("▸") if row.current else ""
    return [mark, str(row.number), ago(row.at, now()), harmless(row.who), row.operation, data, images]


def _short(image: str) -> str:
    """The image with as much of its digest as tells a tag that moved."""
    name, _, digest = image.partition("@sha256:")
    return f"{name}@{digest[:8]}" if digest else image
