"""What a mutation did, or would do."""

from typing import Any

from ctl.lines import read
from ctl.quantities import size, span
from ctl.style import Style, harmless
from ctl.tables import pairs, plural, table
from daemon.wire import Branched, Deployed, Migrated, Preview, PreviewStep, ServiceResult, Supply

PAST = {"create": "created", "replace": "replaced", "remove": "removed", "unchanged": "unchanged"}
OF = {
    "instant": "all of one instant",
    "per-machine": "of one instant on each machine",
    "cluster": "of one time on all machines",
}
COMMIT = "── whatever fails before this line is taken back; from here on the way is forward ──"


def deployed(result: dict[str, Any], style: Style) -> str:
    done = read(result, Deployed)
    down = ", ".join(f"{name} for {span(seconds)}" for name, seconds in done.downtime_s.items())
    head = style.bold(f"{harmless(done.namespace)} is at deploy {done.deploy}") + style.dim(_before(done))
    return _changed(head, done, ("down meanwhile", down), style)


def _before(done: Deployed) -> str:
    if done.previous is not None:
        return f"  (before: {done.previous})"
    actions = [row.action for row in done.services] + [row.action for row in done.volumes]
    return "  (nothing was to be changed)" if set(actions) == {"unchanged"} else ""


def branched(result: dict[str, Any], style: Style) -> str:
    done = read(result, Branched)
    head = style.bold(f"{harmless(done.target)} is a branch of {harmless(done.source)}")
    stood = f"; writers stood still for {span(done.pause_ms / 1000)}" if done.pause_ms else ""
    return _changed(head, done, ("data", f"{OF[done.consistency]}{stood}" if done.volumes else ""), style)


def migrated(result: dict[str, Any], style: Style) -> str:
    done = read(result, Migrated)
    head = style.bold(f"{harmless(done.namespace)}/{harmless(done.service)} is on {done.to}")
    before = style.dim(f"  (before: {done.source})")
    cells = [[each.name, size(each.bytes_full), size(each.bytes_last), str(each.rounds)] for each in done.volumes]
    shown = table(["volume", "while it ran", "while it was down", "rounds"], cells, style) if cells else ""
    down = span(done.downtime_s) if done.downtime_s else ""
    return "\n\n".join(filter(None, [head + before, shown, pairs([("down for", down)], style)]))


def _changed(head: str, done: Deployed | Branched, about: tuple[str, str], style: Style) -> str:
    rows = [["service", harmless(row.name), _service_past(row, style), _places(row)] for row in done.services]
    rows += [["volume", harmless(row.name), _volume_past(row.action, style), row.machine] for row in done.volumes]
    shown = table(["", "name", "was", "where"], rows, style) if rows else ""
    routes = ("routes", "  ".join(map(harmless, done.routes)))
    return "\n\n".join(filter(None, [head, shown, pairs([routes, about], style)]))


def preview(result: dict[str, Any], style: Style) -> str:
    plan = read(result, Preview)
    what = style.bold(plan.primitive.replace(".", " "))
    if not plan.steps:
        return f"{what} would do nothing: it is so already."
    rows = [[str(at), *_step(step)] for at, step in enumerate(plan.steps, 1)]
    lines = table(["", "step", "machine", "bytes", "down"], rows, style, right=" bytes").split("\n")
    if 0 <= plan.commit < len(rows):
        lines.insert(1 + plan.commit, style.dim(COMMIT))
    more = [*_moves(plan, style), *_images(plan, style), *_down(plan, style)]
    return "\n".join([f"{what} would take {plural(len(rows), 'step')}:", *lines, *more])


def _moves(plan: Preview, style: Style) -> list[str]:
    """What is to be expected of volumes that go to another machine."""
    if not plan.moves:
        return []
    cells = [
        [one.volume, one.to, size(one.bytes), str(one.rounds), span(one.downtime_s), size(one.free)]
        for one in plan.moves
    ]
    headings = ["volume", "goes to", "about", "rounds", "down for about", "free there"]
    return ["", table(headings, cells, style, right="about")]


def _images(plan: Preview, style: Style) -> list[str]:
    """Where what it needs comes from."""
    cells = [[harmless(one.image), one.to, _comes(one)] for one in plan.images]
    return ["", table(["image", "needed on", "comes from"], cells, style)] if cells else []


def _comes(one: Supply) -> str:
    return one.source or {"there": "it is there", "registry": "its registry"}.get(one.by, one.by)


def _down(plan: Preview, style: Style) -> list[str]:
    """Of volumes that go it is said beside them."""
    said = plan.downtime_s is not None and not plan.moves
    return ["", pairs([("down for about", span(plan.downtime_s or 0.0))], style)] if said else []


def _past(action: str, style: Style) -> str:
    return style.dim(PAST[action]) if action == "unchanged" else PAST[action]


def _service_past(row: ServiceResult, style: Style) -> str:
    return "stopped" if row.action == "replace" and not row.instances else _past(row.action, style)


def _volume_past(action: str, style: Style) -> str:
    """A volume that no name stands for any more is not gone."""
    return "kept aside" if action == "remove" else _past(action, style)


def _places(row: ServiceResult) -> str:
    nowhere = "stopped" if row.action == "unchanged" else ""
    return ", ".join(f"{one.ip} on {one.machine}" for one in row.instances) or nowhere


def _step(step: PreviewStep) -> list[str]:
    moved = "" if step.bytes is None else size(step.bytes)
    lasts = "" if step.downtime_s is None else f" for about {span(step.downtime_s)}"
    down = ", ".join(step.down) + lasts
    return [harmless(step.says), step.machine, moved, down]
