"""A pool that is full from some touch of the world on, until somebody makes room."""

from functools import partial
from typing import Any

from daemon.journal import Story
from daemon.wire import NamespaceRm
from tests.law.cases import Case
from tests.law.law import ID, OVER, assert_same, prepared, unclaimed, uncut
from tests.law.sound import require_sound
from tests.law.world import Ending, World, ask, restart, seen

SERVED = ("instances", "addresses", "names", "routes", "views")
"""What its users notice."""


def require_honest(case: Case, at: int) -> None:
    """Full, it is refused or taken back, and everything is as before; or it is committed and served, and stuck until
    there is room."""
    world = prepared(case).copy()
    before, after = seen(world), uncut(case)[2]
    world.meanwhile = partial(_fill, world, at)
    ending = ask(world, case.ask, ID)
    said = f"{case.name}, full from touch {at} on: {ending}"
    assert world.zfs.full, f"{said}, before that"
    assert at > 1 or ending in _from_the_start(case), said
    if ending == "stuck":
        ending = _require_served(world, before, after, said)
    assert ending in OVER, said
    assert_same(seen(world), after if ending == "done" else before, f"{said}, but")
    require_sound(world, f"{said}, but")


def _from_the_start(case: Case) -> tuple[str, ...]:
    """What takes room is refused, what takes none is done. To purge is how room is made; to remove takes a snapshot."""
    if isinstance(case.ask, NamespaceRm):
        return ("done", "stuck") if case.ask.purge else ("taken back",)
    return ("refused", "done")


def _fill(world: World, at: int, touch: int) -> None:
    world.zfs.full = world.zfs.full or touch >= at


def _require_served(world: World, before: dict[str, Any], after: dict[str, Any], said: str) -> Ending:
    """How it ends once there is room."""
    story = Story.read(world.disk / f"operations/{ID}.jsonl")
    assert story
    wanted = after if story.has("committed") else before
    assert restart(world, ID) == "stuck", f"{said}, and then over, though nobody made room"
    now = unclaimed(seen(world))
    served = {what: found for what, found in now.items() if what.startswith(SERVED)}
    assert_same(served, unclaimed(wanted), f"{said}, and")
    world.meanwhile, world.zfs.full = lambda touch: None, False
    ending = restart(world, ID)
    assert (ending == "done") == story.has("committed"), f"{said}, then {ending}"
    return ending
