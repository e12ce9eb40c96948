"""What was examined: a mark a line, and what to do below what is not well."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from ctl.lines import read
from ctl.style import Style, harmless
from ctl.tables import indent, plural
from daemon.wire import Check


class Checks(Struct):
    checks: list[Check]


def checks(result: dict[str, Any], style: Style) -> str:
    found = read(result, Checks).checks
    widest = max((len(check.name) for check in found), default=0)
    return "\n".join([*(_check(check, widest, style) for check in found), "", _sum(found, style)])


def _check(check: Check, widest: int, style: Style) -> str:
    marks = {"ok": style.green("✓"), "warning": style.yellow("!"), "failure": style.red("✗")}
    says, *more = harmless(check.says).split("\n")
    lines = [f"{marks[check.state]} {check.name.ljust(widest)}  {says}"]
    margin = " " * (widest + 4)
    lines += [margin + line for line in more]
    if check.state != "ok" and check.hint:
        lines.append(f"{margin}{style.cyan('try:')} {indent(harmless(check.hint), margin).lstrip()}")
    return "\n".join(lines)


def _sum(found: Sequence[Check], style: Style) -> str:
    failures, warnings = (sum(check.state == state for check in found) for state in ("failure", "warning"))
    if not failures and not warnings:
        return style.green(f"All is well: {plural(len(found), 'check')}.")
    said = f"{plural(failures, 'failure')} and {plural(warnings, 'warning')} in {plural(len(found), 'check')}."
    return style.red(said) if failures else style.yellow(said)
