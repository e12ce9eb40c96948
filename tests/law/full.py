"""A disk that is full from some byte of the journal on, until somebody makes room."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import accumulate

from daemon.journal import Story
from tests.law.cases import Case
from tests.law.law import ID, OVER, assert_same, prepared, unclaimed, uncut
from tests.law.sound import require_sound
from tests.law.world import World, ask, restart, seen

TORN = 20
"""Bytes of the line that does not fit which still do."""


@contextmanager
def full(size: int) -> Iterator[None]:
    """No file grows beyond `size` bytes. Journals are the largest, and it is they that the law cuts."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@cache
def sizes(case: Case) -> list[int]:
    """How large the journal is after each line, where nothing is cut; 0 first."""
    world = prepared(case).copy()
    ask(world, case.ask, ID)
    text = (world.disk / f"operations/{ID}.jsonl").read_bytes()
    return list(accumulate((len(line) for line in text.splitlines(keepends=True)), initial=0))


def require_honest(case: Case, size: int) -> None:
    """Full, the world already is as before or as after, and the answer says which or that it is stuck; with room, it
    comes to its ending."""
    world = prepared(case).copy()
    before, after = seen(world), uncut(case)[2]
    said = f"{case.name}, full at {size} bytes:"
    with full(size + TORN):
        ending = ask(world, case.ask, ID)
        again = restart(world, ID) if ending == "stuck" else ending
    assert ending in ("refused", "stuck"), f"{said} {ending}"
    _require_told(world, ending, said)
    assert again == ending, f"{said} {again} after a restart, which made no room"
    now = unclaimed(seen(world))
    if now != unclaimed(after):
        assert_same(now, unclaimed(before), f"{said} {ending}, and")
    over = restart(world, ID)
    assert over in OVER, f"{said} {over}, though there is room again"
    assert_same(seen(world), after if over == "done" else before, f"{said} {over}, but")
    require_sound(world, f"{said} {over}, but")


def _require_told(world: World, ending: str, said: str) -> None:
    """What was written is whole, and nothing that was refused left a journal, or a claim."""
    file = world.disk / f"operations/{ID}.jsonl"
    if ending == "refused":
        assert not file.exists(), f"{said} it left a journal"
        assert ID not in world.holders(), f"{said} it left a claim"
    else:
        story = Story.read(file)
        assert story, f"{said} its journal is gone"
        assert file.read_bytes().endswith(b"\n"), f"{said} its journal ends in half a line"
        assert ID in world.holders() or not story.heading.claims, f"{said} it is stuck without its claim"
