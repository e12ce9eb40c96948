"""The law of joining: the machine is one of the cluster's in the end, with all that it had, or everything is as it was.

Whichever of both is cut, or what goes between them; see `tests.law.coming`.
"""

import asyncio
from collections.abc import Callable
from functools import cache, partial
from typing import Any, TypeVar

import pytest

from daemon.wire import (
    Admitted,
    How,
    Join,
    MachineAdmit,
    MachineRevoke,
    MachineRm,
    Refused,
)
from runtime.command import CommandError
from tests.fakes.mesh import Knocked
from tests.fakes.zfs import Kept
from tests.law.coming import AFTER, INVITES, JOINS, Coming, cluster_of, invited, machines, seen_here, seen_there, token
from tests.law.law import FAILURES, OVER, WHENS, assert_same
from tests.law.sound import require_sound
from tests.law.world import (
    ROOT,
    Crash,
    Cut,
    Ending,
    Failed,
    Iron,
    ask,
    ignore,
)

T = TypeVar("T")

KNOCKS, ADOPTS = 5, 24
"""The touch at which it asks to be let in, and one of those between that and its becoming a member."""


@cache
def uncut(openzfs: bool = False) -> tuple[int, dict[str, Any]]:
    """After how many touches it has joined when nothing cuts it, and what is seen of the cluster then."""
    it = invited(openzfs).copy()
    assert asyncio.run(it.ends()) == "done"
    return it.world.touches, seen_there(it)


def require_law(
    cut: Cut,
    *,
    openzfs: bool = False,
    second: Cut | None = None,
    off: int = 0,
    lag: int = 0,
    doubled: bool = False,
) -> Ending:
    """Raise AssertionError unless it holds; say how the join ended. `second` and `off` are as `Coming.ends` has them;
    what is late arrives `lag` touches later, or in the end; with `doubled` it knocks twice each time.
    """
    it = invited(openzfs).copy()
    it.world.cut, it.world.arrives, it.world.doubled = cut, cut.at + lag if lag else None, doubled
    try:
        ending = asyncio.run(it.ends(second, off))
        said = f"{cut}, second {second}, off {off}, lag {lag}: {ending}, but"
        assert ending in OVER, said
        asyncio.run(it.settle_down())
        require_either(it, ending, invited(openzfs), said)
        it.world.deliver()
        asyncio.run(it.settle_down())  # a claim that came late is freed by whoever meets it
        require_either(it, ending, invited(openzfs), f"{said} after what came late")
        if ending != "done":
            assert asyncio.run(it.ends(id="op-later")) == "done", f"{said} the invitation is good for nothing"
            require_member(it, invited(openzfs), f"{said} asked again it is done, but", "op-later")
        return ending
    finally:
        it.close()


def require_either(it: Coming, ending: Ending, before: Coming, said: str) -> None:
    """It is one of the machines, or nothing has happened to anybody."""
    if ending == "done":
        require_member(it, before, said)
        assert_same(seen_there(it), uncut(before.guest.zfs.datasets.abilities.several_snapshots)[1], said)
    else:
        assert_same(seen_there(it), seen_there(before), said)
        assert_same(seen_here(it), seen_here(before), said)
    require_sound(it.world, said)


def require_member(it: Coming, before: Coming, said: str, id: str = JOINS) -> None:
    """It came as who it was, with all that it had, and knows and is known; its own records are out of use for good."""
    guest, there = it.guest, machines(it.world)
    assert set(there) == {"m1", "m2", AFTER}, said
    now = there[AFTER]
    assert (now.state, now.id) == ("active", before.guest.mesh.membership.here.id), said
    assert (now.invitation, now.recipient, now.root) == (INVITES, guest.vault.recipient, ROOT), said
    membership = guest.mesh.membership
    assert (membership.cluster.id, membership.name, membership.here.subnet) == ("the-mesh", AFTER, now.subnet), said
    assert cluster_of(guest.own).closed == id, f"{said} its own records can be written"
    require_adopted(guest, before.guest)
    [again] = asyncio.run(guest.start_and(lambda there: there.resume(id, ignore))).result["machines"]
    assert (again["id"], again["name"]) == (now.id, AFTER), said
    with pytest.raises(Refused) as caught:
        asyncio.run(guest.start_and(lambda there: there.mutate(Join(it.token), How(op_id="op-again"), "ann", ignore)))
    assert caught.value.code == "join.member", said


def generations(iron: Iron) -> dict[str, Kept]:
    return {
        name: one for name, one in iron.zfs.kept.items() if name.count("/") == ROOT.count("/") + 3 and "@" not in name
    }


def newest(iron: Iron, generation: str) -> str:
    return iron.zfs.snapshots(generation)[-1]


def _snapshots(iron: Iron) -> dict[str, dict[str, bytes]]:
    """What they hold, by guid."""
    return {one.guid: one.content for name, one in iron.zfs.kept.items() if "@" in name}


def require_adopted(iron: Iron, before: Iron) -> None:
    """All that was there is there, can be restored, and is written by nobody."""
    held, now = _snapshots(iron), generations(iron)
    for guid, content in _snapshots(before).items():
        assert held.get(guid) == content, f"a snapshot that was there is gone: {guid}"
    for name, one in generations(before).items():
        assert name in now, f"{name} is gone"
        assert (now[name].marks["state"], now[name].mounted) == ("adopted", False), f"{name} is not adopted"
        assert iron.zfs.kept[newest(iron, name)].content == one.content, f"what {name} held cannot be restored"
    assert not iron.instances.instances.keys() & before.instances.instances.keys(), "what ran there before runs on"
    assert not iron.vault.shown.keys() & before.vault.shown.keys(), "what ran there before left its secrets"


# ------------------------------------------------------------------------------------------------------- scenarios


def it_has_joined_or_nothing_has_happened() -> None:
    """At every touch of both machines, cut in a third of all ways."""
    endings = set()
    for at in range(1, uncut()[0] + 1):
        for number, when in enumerate(WHENS):
            endings.add(require_law(Cut(at, when, FAILURES[(at + number) % 3])))  # type: ignore[arg-type]
    assert {"done", "taken back"} <= endings


def whoever_was_let_in_is_not_sent_away_because_the_door_is_stuck() -> None:
    """m1 has committed that it is one of the machines, and can do nothing that follows, however often it is asked."""
    it, before = invited().copy(), invited()
    works = it.world.mesh.touch
    it.world.mesh.touch = _broken
    assert asyncio.run(it.ends()) == "stuck"
    assert machines(it.world)[AFTER].state == "joining"
    assert cluster_of(it.guest.own).closed == JOINS
    it.world.mesh.touch = works
    assert asyncio.run(it.go_on()) == "crashed", "it starts anew"
    assert asyncio.run(it.go_on()) == "done"
    require_member(it, before, "once the door went on")
    require_sound(it.world, "once the door went on")


def two_knocks_at_once_let_in_one_machine() -> None:
    """A question that was given up is still being answered when it is asked again; the door fails at one of both."""
    before = invited()
    for at in range(6, 18):
        it = before.copy()
        it.world.cut, it.guest.mesh.door = Cut(at, "before", Failed), partial(_twice, it.guest._knock)
        assert asyncio.run(it.ends()) == "done", at
        asyncio.run(it.settle_down())
        require_either(it, "done", before, f"knocked twice at once, and failed at touch {at}, but")
        it.close()


async def _twice(knock: Knocked, letter: bytes, asked: MachineAdmit, *, preview: bool) -> Admitted | None:
    """An answer, if one of both comes."""
    both = await asyncio.gather(*(knock(letter, asked, preview=preview) for _ in range(2)), return_exceptions=True)
    told = sorted(both, key=lambda one: isinstance(one, BaseException))[0]
    if isinstance(told, BaseException):
        raise told
    return told


async def _broken(what: str, effect: Callable[[], T]) -> T:
    raise CommandError(f"cannot {what}")


def an_invitation_that_is_revoked_meanwhile_is_good_for_whoever_is_in() -> None:
    """One of both dies, once or twice, and the invitation is revoked before they go on: unless it has been let in."""
    crashes = [(at, 0) for at in range(1, uncut()[0] + 1)] + [(KNOCKS, again) for again in range(1, 14)]
    endings = {_revoked_meanwhile(at, again) for at, again in crashes}
    assert {(True, "taken back"), (False, "done")} <= endings


def _revoked_meanwhile(at: int, again: int) -> tuple[bool, Ending]:
    it, before = invited().copy(), invited()
    it.world.cut = Cut(at, WHENS[at % 3], Crash)  # type: ignore[arg-type]
    asyncio.run(it.join())
    if again:
        it.world.cut = Cut(it.world.touches + again, "after", Crash)
        asyncio.run(it.go_on())
    it.world.cut = None
    revoked = ask(it.world, MachineRevoke(INVITES), "op-revoke") == "done"
    ending = asyncio.run(it.go_on_to_the_end())
    it.world.deliver()
    asyncio.run(it.settle_down())
    said = f"cut at touch {at}, and {again} later, {'' if revoked else 'not '}revoked: {ending}, but"
    if revoked:
        assert ending in ("refused", "taken back"), said
        assert set(machines(it.world)) == {"m1", "m2"}, said
        assert_same(seen_here(it), seen_here(before), said)
    else:
        assert ending == "done", said
        require_member(it, before, said)
    it.close()
    return revoked, ending


def one_that_is_removed_before_it_has_come_can_come_anew() -> None:
    """Somebody thought that it never would. It says what has become of it, and everything is still there."""
    it, before = invited().copy(), invited()
    it.world.cut = Cut(ADOPTS, "after", Crash)
    assert asyncio.run(it.join()) == "crashed"
    it.world.mesh.away.add(AFTER)
    assert ask(it.world, MachineRm(AFTER, force=True), "op-rm") == "done"
    assert asyncio.run(it.go_on_to_the_end()) == "stuck"
    story = it.world.daemons[it.guest.name].story(JOINS)
    assert story
    assert "it had been let in, and was removed since" in story.events[-1].why
    assert set(machines(it.world)) == {"m1", "m2"}
    require_sound(it.world, "removed, but")
    it.guest.forget()
    it.guest.dead = True
    anew = Coming(it.world, it.guest, token(it.world, "op-anew"))
    assert asyncio.run(anew.ends(id="op-later")) == "done"
    assert machines(it.world)[AFTER].state == "active"
    require_adopted(it.guest, before.guest)
    require_sound(it.world, "come anew, but")


ALL: tuple[Callable[[], None], ...] = (
    it_has_joined_or_nothing_has_happened,
    whoever_was_let_in_is_not_sent_away_because_the_door_is_stuck,
    two_knocks_at_once_let_in_one_machine,
    an_invitation_that_is_revoked_meanwhile_is_good_for_whoever_is_in,
    one_that_is_removed_before_it_has_come_can_come_anew,
)
