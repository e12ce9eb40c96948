"""What holds of a machine that is removed, as scenarios for tests and for the hunt."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import cycle
from typing import Any

import pytest
from msgspec import structs

from daemon.draining import Draining, burdens
from daemon.journal import Story
from daemon.keepers import Keepers
from daemon.members import Members
from daemon.wire import (
    How,
    Loss,
    MachineInvite,
    MachineRm,
    Migrate,
    Mutation,
    NamespaceRm,
    Problem,
    Refused,
    StoreMove,
    Success,
)
from tests.law.cases import Case
from tests.law.law import FAILURES, ID, WHENS, assert_same, prepared, uncut
from tests.law.machines import THERE, shop
from tests.law.members import GUEST
from tests.law.moving import EVERY, case
from tests.law.sound import head_of, heads_of, require_sound
from tests.law.taking_over import HERE, Play
from tests.law.world import ROOT, Crash, Cut, World, ask, boot, ignore, restart, seen

BACK = Migrate("shop", "db", "m2")


def world_of(*first: Mutation) -> World:
    return prepared(Case("leaving", first or (shop(),), shop(), machines=3)).copy()


def keepers(world: World) -> Keepers:
    operations = boot(world)
    members: Any = operations.means.engine.node.members
    return Keepers(world.mesh, members, operations, None, Draining(operations))  # type: ignore[arg-type]


def removed(
    world: World,
    machine: str = "m2",
    *,
    force: bool = False,
    accept: tuple[str, ...] = (),
    preview: bool = False,
    id: str = "op-rm",
) -> Success:
    async def asked() -> Success:
        how = How(preview=True) if preview else How(op_id=id)
        return await keepers(world).remove(MachineRm(machine, force, accept), how, "ann", ignore)

    return asyncio.run(asked())


def refused(world: World, machine: str = "m2", *, force: bool = False, accept: tuple[str, ...] = ()) -> Problem:
    with pytest.raises(Refused) as caught:
        removed(world, machine, force=force, accept=accept)
    return caught.value


def names(world: World) -> set[str]:
    return set(asyncio.run(Members(world.kv).machines()))


def lose(world: World, machine: str = "m2") -> None:
    """It burns down."""
    del world.sites[machine]
    world.mesh.away.add(machine)


SHARE = int(os.environ.get("PLOYZ_LAW_EVERY", "5")) * 14
"""Of the touches of a whole emptying so many is cut, each time in another way (PLOYZ_LAW_EVERY=1 tries more): they are
many operations."""


def shared(touches: int, failure: type[BaseException]) -> Iterator[Cut]:
    """A share of the touches, another one for each kind of failure; one after the other cut before, after, and late."""
    first = 1 + FAILURES.index(failure) * SHARE // len(FAILURES)
    for at, when in zip(range(first, touches, SHARE), cycle(WHENS)):
        yield Cut(at, when, failure)  # type: ignore[arg-type]


@contextmanager
def cut_short(world: World, cut: Cut) -> Iterator[None]:
    """What is done inside is cut, and its daemon started again; what came late comes, and all other machines follow."""
    world.cut = cut
    with suppress(Problem, Crash, BaseExceptionGroup):
        yield
    assert world.was_cut, cut
    world.cut = None
    restart(world, "op-begun")
    world.deliver()
    world.come_back()
    world.catch_up()


def losses(world: World, machine: str = "m2") -> dict[str, Loss]:
    return {f"{one.namespace}/{one.name}": one for one in asyncio.run(keepers(world)._lost(machine))}


def rows(world: World) -> set[str]:
    head = head_of(world)
    assert head
    volume = head.volumes["data"]
    return set(world.iron(volume.machine).zfs.kept[f"{ROOT}/shop/data/{volume.generation}"].content)


def what_is_kept_there_alone_keeps_it_until_it_is_accepted() -> None:
    """A namespace was removed, and can be rolled back to as long as its data is there."""
    world = world_of(shop(), shop(namespace="other"), NamespaceRm("shop"))
    failure = refused(world)
    assert failure.code == "machine.data"
    assert "shop/data (the data of deploy 1)" in failure.why
    assert "--accept-loss shop/data" in failure.hint
    assert [burden for head in heads_of(world) for burden in burdens(head, "m2")] == []
    require_sound(world, "drained, and refused, but")
    assert removed(world, accept=("shop/data",)).result["fenced"]


def what_only_a_lost_machine_had_is_named_before_anything_is_done() -> None:
    world = world_of()
    lose(world)
    before = seen(world)
    assert refused(world).code == "machine.unreachable"
    failure = refused(world, force=True)
    assert failure.code == "machine.data"
    assert "shop/data (what is in it)" in failure.why
    assert_same(seen(world), before, "refused, but")
    assert removed(world, force=True, preview=True).warnings[0] == "lost: shop/data (what is in it)"


def what_was_left_elsewhere_is_what_it_goes_on_from() -> None:
    """It was moved there from another machine, which has kept what it was then."""
    world = world_of(shop(), THERE, BACK)
    lose(world)
    found = losses(world)["shop/data"]
    assert found.instead
    assert found.instead.machine == "m1"
    assert "but for what m1 has of" in refused(world, force=True).why
    removed(world, force=True, accept=("shop/data",))
    assert rows(world) == {"row 0", "row 1"}, "what was written since is lost, and nothing else"
    head = head_of(world)
    assert head
    assert head.volumes["data"].epoch == 4, "whoever comes back late has an older one"
    again = shop(db=2)
    assert ask(world, structs.replace(again, manifest=again.manifest.replace('"m2"', '"m1"')), "op-anew") == "done"
    assert rows(world) == {"row 0", "row 1"}
    require_sound(world, "deployed again, but")


def what_was_on_its_way_is_what_it_goes_on_from() -> None:
    """Its machine is lost at any moment of a move. What had come is what is left of it; and that is all of it, once the
    last had been sent. Nothing waits for that machine any more."""
    for moving in (FRESH, case("move a database")):
        endings = {_lost_on_the_way(moving, at) for at in range(1, uncut(moving)[1] + 1, EVERY)}
        assert {("stuck", False), ("stuck", True)} <= endings


FRESH = Case("move a database without a past", (shop(),), THERE, machines=3)


def _lost_on_the_way(moving: Case, at: int) -> tuple[str, bool]:
    """How the move ended, and whether all had come. A deploy point of which nothing had come is lost too."""
    world = prepared(moving).copy()
    written = rows(world)
    world.meanwhile = partial(_burns, world, at)
    ending = ask(world, THERE, ID)
    world.meanwhile = lambda touch: None
    if "m2" in world.sites:  # it was over before
        lose(world)
    journal = world.disk / "operations" / f"{ID}.jsonl"
    events = story.events if journal.exists() and (story := Story.read(journal)) else []
    whole = any("send the last of" in event.step and event.kind == "done" for event in events)
    said = f"{moving.name}, lost at touch {at}, {ending}, {'whole' if whole else 'not whole'}:"
    removed(world, force=True, accept=("shop/data",))
    assert names(world) == {"m1", "m3"}, said
    assert world.holders() == [], said
    head = head_of(world)
    assert head
    assert not whole or rows(world) == written, said
    if whole or moving is FRESH:
        require_sound(world, said)
    world.close()
    return ending, whole


def it_may_have_carried_the_move_out_itself() -> None:
    """Another machine takes over what it had begun, and keeps what had come."""
    touches = range(1, uncut(ITSELF)[1] + 1, EVERY * 2)
    assert {True, False} <= {asyncio.run(_lost_with_its_move(at)) for at in touches}


ITSELF = Case("move a database off who carries that out", (HERE, StoreMove()), Migrate("shop", "db", "m2"), machines=3)


async def _lost_with_its_move(at: int) -> bool:
    """Whether all had come."""
    play = Play(ITSELF, at, "is off")
    world = play.world
    written, journal = rows(world), world.disk / "operations" / f"{ID}.jsonl"
    assert await play.stops()
    events = story.events if journal.exists() and (story := Story.read(journal)) else []
    whole = any("send the last of" in event.step and event.kind == "done" for event in events)
    assert await _without_m1(play) == {"m2", "m3"}
    world.look_for_store(world)
    assert not whole or rows(world) == written, f"lost at touch {at}"
    world.close()
    return whole


async def _without_m1(play: Play) -> set[str]:
    """m2 removes m1, which is gone for good, and nobody has a claim then. The machines that are left."""
    m2 = play.world.sites["m2"]
    m2.mesh.away.add("m1")
    members: Any = play.second.means.engine.node.members
    seen_to = Keepers(m2.mesh, members, play.second, None, Draining(play.second))  # type: ignore[arg-type]
    await seen_to.remove(MachineRm("m1", True, ("shop/data",)), How(op_id="op-rm"), "ann", ignore)
    assert [claims for claims in (await members.claims()).values() if claims] == []
    return set(await members.machines())


HOST = Case("let a machine in, and be lost", (MachineInvite(), StoreMove()), GUEST, machines=3)


def it_may_have_been_letting_a_machine_in() -> None:
    """Its claim is on the cluster itself, which its own removal needs."""
    for at in range(1, uncut(HOST)[1] + 1):
        asyncio.run(_lost_as_a_host(at))


async def _lost_as_a_host(at: int) -> None:
    play = Play(HOST, at, "is off")
    assert await play.stops()
    left = await _without_m1(play)
    assert left - {"m9"} == {"m2", "m3"}, f"lost at touch {at}"
    play.world.close()


def _burns(world: World, at: int, touch: int) -> None:
    if touch >= at and "m2" in world.sites:
        lose(world)


ALL: tuple[Callable[[], None], ...] = (
    what_is_kept_there_alone_keeps_it_until_it_is_accepted,
    what_only_a_lost_machine_had_is_named_before_anything_is_done,
    what_was_left_elsewhere_is_what_it_goes_on_from,
    what_was_on_its_way_is_what_it_goes_on_from,
    it_may_have_carried_the_move_out_itself,
    it_may_have_been_letting_a_machine_in,
)
