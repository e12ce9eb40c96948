"""What a mutation did, or would do."""

from typing import Any

from ctl.lines import read
from ctl.quantities import size, span
from ctl.style import Style, harmless
from ctl.tables import pairs, plural, table
from daemon.wire import Branched, Deployed, Preview, PreviewStep, ServiceResult

PAST = {"create": "created", "replace": "replaced", "remove": "removed", "unchanged": "unchanged"}
COMMIT = "── whatever fails before this line is taken back; from here on the way is forward ──"


def deployed(result: dict[str, Any], style: Style) -> str:
    done = read(result, Deployed)
    down = ", ".join(f"{name} for {span(seconds)}" for name, seconds in done.downtime_s.items())
    before = "" if done.previous is None else style.dim(f"  (before: {done.previous})")
    head = style.bold(f"{harmless(done.namespace)} is at deploy {done.deploy}") + before
    return _changed(head, done, ("down meanwhile", down), style)


def branched(result: dict[str, Any], style: Style) -> str:
    done = read(result, Branched)
    head = style.bold(f"{harmless(done.target)} is a branch of {harmless(done.source)}")
    stood = f"writers stood still for {span(done.pause_ms / 1000)}" if done.pause_ms else ""
    return _changed(head, done, ("meanwhile", stood), style)


def _changed(head: str, done: Deployed | Branched, about: tuple[str, str], style: Style) -> str:
    rows = [["service", harmless(row.name), _past(row.action, style), _places(row)] for row in done.services]
    rows += [["volume", harmless(row.name), _volume_past(row.action, style), row.machine] for row in done.volumes]
    shown = table(["", "name", "was", "where"], rows, style) if rows else ""
    routes = ("routes", "  ".join(map(harmless, done.routes)))
    return "\n\n".join(filter(None, [head, shown, pairs([routes, about], style)]))


def preview(result: dict[str, Any], style: Style) -> str:
    plan = read(result, Preview)
    if not plan.steps:
        return f"{style.bold(plan.primitive)} would do nothing: it is so already."
    rows = [[str(at), *_step(step)] for at, step in enumerate(plan.steps, 1)]
    lines = table(["", "step", "machine", "bytes", "down"], rows, style, right=" bytes").split("\n")
    if 0 <= plan.commit < len(rows):
        lines.insert(1 + plan.commit, style.dim(COMMIT))
    return "\n".join([style.bold(f"{plan.primitive} would take {plural(len(rows), 'step')}:"), *lines])


def _past(action: str, style: Style) -> str:
    return style.dim(PAST[action]) if action == "unchanged" else PAST[action]


def _volume_past(action: str, style: Style) -> str:
    """A volume that no name stands for any more is not gone."""
    return "kept aside" if action == "remove" else _past(action, style)


def _places(row: ServiceResult) -> str:
    nowhere = "" if row.action == "remove" else "stopped"
    return ", ".join(f"{one.ip} on {one.machine}" for one in row.instances) or nowhere


def _step(step: PreviewStep) -> list[str]:
    moved = "" if step.bytes is None else size(step.bytes)
    down = ", ".join(step.down)
    return [harmless(step.says), step.machine, moved, down]
