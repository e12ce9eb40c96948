"""A service that is moved from machine to machine: where its data is then, what else is left, and what is refused."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from daemon import sending
from daemon.members import Members
from daemon.wire import (
    Branch,
    How,
    Migrate,
    Mutation,
    NamespaceRm,
    Problem,
    Refused,
    Rollback,
    Stop,
    Success,
)
from tests.fakes.zfs import Kept
from tests.law import moving
from tests.law.cases import Case
from tests.law.law import assert_same, prepared
from tests.law.leaving import lose
from tests.law.machines import BACK, PR, SECRET, SEEING, THERE, shop
from tests.law.moving import FOLDER, bases, generations, moved
from tests.law.sound import head_of, require_sound
from tests.law.world import ROOT, World, ask, boot, founded, ignore, seen


def world_of(*first: Mutation) -> World:
    return prepared(Case("moving", first or (shop(),), shop(), machines=3)).copy()


def asked(world: World, request: Mutation, id: str = "op-asked", expect: int | None = None) -> Success:
    return asyncio.run(boot(world).mutate(request, How(op_id=id, expect=expect), "ann", ignore))


def refused(world: World, request: Mutation, expect: int | None = None) -> Problem:
    with pytest.raises(Problem) as caught:
        asked(world, request, expect=expect)
    require_sound(world, "refused, but")
    return caught.value


@pytest.mark.parametrize("scenario", moving.ALL, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[], None]) -> None:
    scenario()


def test_what_was_moved_from_its_place_is_branched_and_restored_where_its_data_is() -> None:
    """Its manifest goes on naming the other machine."""
    world = world_of()
    moved(world, "m1")
    asked(world, PR, "op-branch")
    asked(world, NamespaceRm("shop"), "op-rm")
    asked(world, Rollback("shop"), "op-back")
    for namespace in ("shop", "pr-42"):
        head = head_of(world, namespace)
        assert head
        assert head.volumes["data"].machine == head.services["db"].instances[0].machine == "m1"
    require_sound(world, "branched and restored, but")
    elsewhere = Branch("shop", "pr-43", sets={"db.place": '{ machine = "m3" }'})
    assert refused(world, elsewhere).code == "place.none"


def test_each_machine_where_it_was_is_moved_back_to_from_what_it_has() -> None:
    world = world_of()
    moved(world, "m1", "m3", "m1", "m2", "m3")
    assert {name: len(found) for name, found in generations(world).items()} == {"m1": 1, "m2": 1, "m3": 1}
    assert all(1 <= len(found) <= 2 for found in bases(world).values())
    streams = [len(world.iron(name).transfers._came[f"{FOLDER}/op-move-4-m3"]) for name in ("m3",)]
    assert streams[0] <= 3, "what m3 had was not sent again"


def test_a_deploy_of_the_same_manifest_changes_nothing_after_a_move() -> None:
    world = world_of()
    moved(world, "m1")
    assert asked(world, shop()).result["previous"] is None
    assert asked(world, shop(db=2), "op-other").result["volumes"][1]["machine"] == "m1"
    require_sound(world, "deployed after a move, but")


def test_a_connection_that_breaks_costs_one_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "AGAIN", (0.0, 0.0))  # a round that takes long is followed by another one
    world = world_of(shop(), shop(db=2), shop(db=3))
    world.shared.wires.breaks = 2
    told = asked(world, THERE)
    assert told.result["volumes"][0]["rounds"] == 2
    require_sound(world, "moved over a bad line, but")
    assert len(world.iron("m1").transfers.rates) == 0
    assert len(world.iron("m2").transfers.rates) == 4 + 2


def test_what_goes_at_a_time_shares_the_rate() -> None:
    world = world_of()
    asked(world, structs.replace(THERE, rate=1000))
    assert set(world.iron("m2").transfers.rates) == {1000}
    two = shop().manifest.replace('data = "/data" }', 'data = "/data", more = "/more" }') + "[volumes.more]\n"
    world = world_of(structs.replace(shop(), manifest=two))
    asked(world, structs.replace(THERE, rate=1000))
    assert set(world.iron("m2").transfers.rates) == {500}


def test_a_snapshot_with_a_name_goes_along_and_can_be_restored_there() -> None:
    world = world_of(shop())
    world.iron("m2").zfs.kept[f"{FOLDER}/op-0@op-named"] = Kept(
        99, {"row": b"named"}, {"operation": "op-named", "name": "before", "namespace": "shop", "volume": "data"}
    )
    moved(world, "m1")
    [taken] = [one for name, one in world.iron("m1").zfs.kept.items() if name.endswith("@op-named")]
    assert taken.marks["name"] == "before"


@pytest.mark.parametrize("name", ["", "/data", "/data/op-asked"])
def test_a_stranger_in_the_way_is_refused_and_left_alone(name: str) -> None:
    world = world_of()
    there = world.iron("m1").zfs
    for part in ("", "/data", "/data/op-asked"):
        if name.startswith(part):
            there.kept[f"{ROOT}/shop{part}"] = Kept(7, {"a stranger": b"1"})
    before = dict(there.kept)
    with pytest.raises(Problem) as caught:
        asked(world, THERE)
    assert caught.value.code == "volume.foreign"
    assert there.kept == before


def test_what_cannot_be_is_refused() -> None:
    world = world_of()
    assert refused(world, BACK).code == "migrate.there"
    assert refused(world, Migrate("shop", "db", "m9")).code == "machine.missing"
    assert refused(world, Migrate("shop", "nobody", "m1")).code == "service.missing"
    assert refused(world, Migrate("nowhere", "db", "m1")).code == "namespace.missing"
    assert refused(world, THERE, expect=7).code == "namespace.changed"
    assert ask(world, shop(replicas='"global"'), "op-all") == "done"
    assert refused(world, Migrate("shop", "web", "m1")).code == "place.none"
    assert ask(world, Stop("shop", "web"), "op-stop") == "done"
    assert refused(world, Migrate("shop", "web", "m1")).code == "migrate.nothing"


def draining(world: World) -> None:
    members = Members(world.kv)
    asyncio.run(members.amend("m1", lambda now: structs.replace(now, state="draining")))


def full(world: World) -> None:
    world.zfs.full = True


def without_image(world: World) -> None:
    head = head_of(world)
    assert head
    world.instances.unknown.add(head.services["db"].digest)


@pytest.mark.parametrize(
    ("happens", "code"),
    [(draining, "machine.draining"), (full, "pool.full"), (without_image, "image.missing")],
)
def test_a_target_that_cannot_take_it_is_refused(happens: Callable[[World], None], code: str) -> None:
    world = world_of()
    happens(world)
    with pytest.raises(Problem) as caught:
        asked(world, THERE)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("lost", "request_", "why"),
    [
        ("m3", Migrate("shop", "db", "m3"), "m3 does not answer"),
        ("m2", THERE, "its volume data is on m2, which does not answer"),
    ],
    ids=["target", "source"],
)
def test_who_does_not_answer_is_moved_to_or_from_by_nobody(lost: str, request_: Migrate, why: str) -> None:
    world = world_of()
    lose(world, lost)
    before = seen(world)
    with pytest.raises(Refused) as caught:
        asked(world, request_)
    assert (caught.value.code, caught.value.what) == ("machine.unreachable", f"cannot migrate shop/db to {request_.to}")
    assert caught.value.why.startswith(why)
    assert_same(seen(world), before, "refused, but")


def from_registry(*, gone: bool) -> World:
    """The database's image came from a registry, which nobody can ask any more if it is `gone`."""
    world = founded(machines=3)
    for iron in world.irons():
        iron.instances.at_registry["db:9"] = "sha256:9"
    assert ask(world, shop(db=9), "op-first") == "done"
    for iron in world.irons():
        iron.instances.offline = gone
    return world


def supplied(world: World, request: Migrate = THERE) -> list[dict[str, Any]]:
    """What a preview says of images."""
    told = asyncio.run(boot(world).mutate(request, How(preview=True), "ann", ignore))
    return [dict(each) for each in told.result["images"]]


def test_an_image_comes_from_its_registry_else_from_a_machine_that_has_it() -> None:
    wanted = {"image": "db:9", "to": "m1"}
    world = from_registry(gone=False)
    assert supplied(world) == [{**wanted, "by": "registry", "from": None}]
    world = from_registry(gone=True)
    assert supplied(world) == [{**wanted, "by": "machine", "from": "m2"}]
    moved(world, "m1")
    assert "db@sha256:9" in world.instances.fetched
    assert supplied(world, Migrate("shop", "db", "m2")) == [{**wanted, "to": "m2", "by": "there", "from": None}]


def test_an_image_that_nobody_can_give_is_refused_before_anything_is_done() -> None:
    world = from_registry(gone=True)
    world.iron("m2").instances.fetched.clear()
    before = seen(world)
    failure = refused(world, THERE)
    assert failure.code == "image.missing"
    assert "m1 lacks the image db:9, and no machine that answers has it" in failure.why
    assert_same(seen(world), before, "refused, but")


def test_a_target_that_cannot_open_what_it_sees_is_refused() -> None:
    world = world_of(SECRET, SEEING)
    told(world, "m1", "another key")
    assert refused(world, THERE).code == "secret.sealed"
    told(world, "m1", world.vault.recipient)
    moved(world, "m1")


def told(world: World, machine: str, recipient: str) -> None:
    """The machine's record says so from now on."""
    world.operations = None
    members = Members(world.kv)
    asyncio.run(members.amend(machine, lambda now: structs.replace(now, recipient=recipient)))
