"""Secrets, without their values, and registries, without their passwords."""

from typing import Any

from msgspec import Struct

from ctl.lines import read
from ctl.quantities import ago, now
from ctl.style import Style, harmless
from ctl.tables import plural, table
from daemon.wire import Registry, RegistryRow, Resealed, Rotated, Secret, SecretRow


class Secrets(Struct):
    secrets: list[SecretRow]


class Registries(Struct):
    registries: list[RegistryRow]


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


def rotated(result: dict[str, Any], _: Style) -> str:
    done = read(result, Rotated)
    sealed = [*map(_resealed, done.secrets), *(f"the password at {harmless(host)}" for host in done.registries)]
    if not sealed:
        return f"All that is sealed is sealed for {_listed(done.machines)}."
    lines = [f"Sealed for {_listed(done.machines)}: {_listed(sealed)}."]
    if done.closed:
        lines.append(f"No machine opens {_listed(done.closed)}: what is to be seen of that has to be set anew.")
    return "\n".join(lines)


def _resealed(one: Resealed) -> str:
    numbers = ", ".join(map(str, one.versions))
    return f"{_versions(one.versions)} {numbers} of {harmless(f'{one.namespace}/{one.name}')}"


def _listed(names: list[str]) -> str:
    return ", ".join(map(harmless, names))


def _row(row: SecretRow) -> list[str]:
    return [row.name, str(row.version), ago(row.set_at, now()), harmless(row.by), ", ".join(map(harmless, row.used_by))]


def _versions(kept: list[int]) -> str:
    return plural(len(kept), "version").partition(" ")[2]


def registry(result: dict[str, Any], _: Style) -> str:
    done = read(result, Registry)
    return f"The cluster is {harmless(done.user or 'nobody')} at {harmless(done.host)}."


def registries(result: dict[str, Any], style: Style) -> str:
    rows = read(result, Registries).registries
    if not rows:
        return "The cluster is nobody at any registry."
    shown = [[harmless(row.host), harmless(row.user), ago(row.set_at, now()), harmless(row.by)] for row in rows]
    return table(["registry", "user", "set", "by"], shown, style)
