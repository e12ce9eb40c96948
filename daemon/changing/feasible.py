"""What each machine of a change has to have for it, besides the one that is asked: room, and keys to its secrets."""

from daemon.change import Change
from daemon.changing.secrets import require_opens
from daemon.node import Node
from daemon.planning import NO_TOKEN
from daemon.seeing import require_room


async def feasible(change: Change, node: Node) -> Change:
    """The change, if it is. Raises Refused `pool.full`, `secret.sealed`. What it has chosen is chosen from here on."""
    note(change, node)
    cannot = f"cannot change {change.after.namespace}"
    written = {new.machine for new in change.generations}
    written |= {taken.machine for taken in (*change.snapshot, *change.copied)}
    for machine in sorted(written - {node.machine}):
        await require_room(node.at(machine), cannot)
    for machine in sorted({machine for machine, _, _ in _seen(change)}):
        await require_keys(change, machine, node)
    return change


def note(change: Change, node: Node) -> None:
    """What it has chosen is chosen from here on."""
    if change.token != NO_TOKEN:
        node.choices.note(change.operation, ((name.kind, name.what) for name in change.reserves))


async def require_keys(change: Change, machine: str, node: Node) -> None:
    """Refuse `secret.sealed` unless a machine opens what its part of the change sees."""
    carried = {one.name: one for one in change.carries}
    for at, name, version in sorted(_seen(change)):
        given = carried.get(name)
        what = (given.source, name, given.there) if given else (change.after.namespace, name, version)
        if at == machine:
            await require_opens(machine, what, f"cannot change {change.after.namespace}", node)


def _seen(change: Change) -> set[tuple[str, str, int]]:
    """On which machines candidates and hooks see which secrets, in which versions."""
    candidates = [each for level in change.levels for each in level.candidates]
    hooks = [each for level in change.levels for each in level.hooks]
    seen = [(each.machine, each.secrets) for each in candidates] + [(each.machine, each.secrets) for each in hooks]
    return {(machine, name, version) for machine, secrets in seen for name, version in secrets.items()}
