"""Secrets, without their values."""

from typing import Any

from msgspec import Struct

from ctl.lines import read
from ctl.quantities import ago, now
from ctl.style import Style, harmless
from ctl.tables import plural, table
from daemon.wire import Secret, SecretRow


class Secrets(Struct):
    secrets: list[SecretRow]


def secret(result: dict[str, Any], _: Style) -> str:
    done = read(result, Secret)
    name = harmless(f"{done.namespace}/{done.name}")
    numbers = ", ".join(map(str, done.kept))
    kept = f"; kept for what names {'it' if len(done.kept) == 1 else 'them'}: {_versions(done.kept)} {numbers}"
    said = f"{name} is removed" if done.version is None else f"{name} is at version {done.version}"
    return said + (kept if done.kept else "") + "."


def secrets(result: dict[str, Any], style: Style) -> str:
    rows = read(result, Secrets).secrets
    if not rows:
        return "There are no secrets."
    headings = ["secret", "version", "set", "by", "used by"]
    return table(headings, [_row(row) for row in rows], style, right="version")


def _row(row: SecretRow) -> list[str]:
    return [row.name, str(row.version), ago(row.set_at, now()), harmless(row.by), ", ".join(map(harmless, row.used_by))]


def _versions(kept: list[int]) -> str:
    return plural(len(kept), "version").partition(" ")[2]
