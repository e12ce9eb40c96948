"""Images on three machines: who has which, and bringing one to those that lack it."""

import asyncio

import pytest

from daemon.image_rows import images
from daemon.records import Machine
from daemon.wire import How, ImageDistribute, Refused, Success
from tests.fakes.engine import digest
from tests.fakes.seen import AT
from tests.law.world import World, boot, founded, ignore

IMAGE = "web:of-m2"
MACHINES = {f"m{n}": Machine(str(n), f"m{n}", f"10.210.{n}.0/24", f"10.210.{n}.1", AT, "0.1.0") for n in (1, 2, 3)}


def distributed(world: World, *to: str, image: str = IMAGE, away: str = "", preview: bool = False) -> Success:
    operations = boot(world)
    for name in filter(None, [away]):
        world.sites[name].dead = True
    how = How(preview=preview)
    return asyncio.run(operations.mutate(ImageDistribute(image, list(to)), how, "ann", ignore))


def having(world: World) -> set[str]:
    return {iron.name for iron in world.irons() if digest(IMAGE) in iron.instances.fetched}


def listed(world: World, machine: str | None, *, away: str = "") -> Success:
    node = boot(world).means.engine.node
    for name in filter(None, [away]):
        world.sites[name].dead = True
    return asyncio.run(images(machine, MACHINES, node))


def test_all_get_it_from_the_one_that_has_it_and_then_nothing_is_done() -> None:
    world = founded(machines=3)
    told = distributed(world)
    wanted = {"image": IMAGE, "digest": digest(IMAGE), "brought": ["m1", "m3"], "there": ["m2"]}
    assert (told.kind, told.result, told.warnings) == ("distributed", wanted, [])
    assert having(world) == {"m1", "m3"}
    assert distributed(world, preview=True).result["steps"] == []
    assert distributed(world).result == {**wanted, "brought": [], "there": ["m1", "m2", "m3"]}


def test_a_preview_says_from_where_to_where_and_brings_nothing() -> None:
    world = founded(machines=3)
    steps = distributed(world, preview=True).result["steps"]
    said = [(step["says"], step["machine"]) for step in steps[:-1]]
    assert said == [(f"have the image {IMAGE} from m2", "m1"), (f"have the image {IMAGE} from m2", "m3")]
    assert having(world) == set()


def test_only_those_that_are_named_get_it() -> None:
    world = founded(machines=3)
    assert distributed(world, "m3", "m3", "m2").result["brought"] == ["m3"]
    assert having(world) == {"m3"}


def test_a_machine_that_does_not_answer_is_a_warning_or_if_it_is_named_a_refusal() -> None:
    world = founded(machines=3)
    told = distributed(world, away="m3")
    assert told.result["brought"] == ["m1"]
    assert [warning.startswith("m3 does not answer, and gets nothing: ") for warning in told.warnings] == [True]
    assert distributed(world, "m1", away="m3").warnings == [], "nobody wanted it there"
    with pytest.raises(Refused) as refused:
        distributed(world, "m1", "m3", away="m3")
    assert refused.value.code == "machine.unreachable"
    assert refused.value.what == f"cannot distribute {IMAGE} to m3"


def test_what_nobody_has_and_where_nobody_is_are_refused() -> None:
    world = founded(machines=3)
    for iron in world.irons():
        iron.instances.unknown.add("web:of-nobody")
    for image, to, code in (("web:of-nobody", "m1", "image.missing"), (IMAGE, "m4", "machine.missing")):
        with pytest.raises(Refused) as refused:
            distributed(world, to, image=image)
        assert refused.value.code == code
    assert having(world) == set()


def test_the_images_of_each_machine() -> None:
    world = founded(machines=3)
    world.sites["m3"].instances.fetched.add("web@sha256:ab")
    row = {"name": IMAGE, "digest": digest(IMAGE), "bytes": 1000}
    assert listed(world, "m2").result == {"images": [{"machine": "m2", **row}]}
    told = listed(world, None)
    assert [found["machine"] for found in told.result["images"]] == ["m1", "m2", "m3"]
    assert (told.kind, told.warnings) == ("images", [])


def test_a_machine_that_cannot_tell_its_images_is_a_warning_or_if_it_is_named_a_refusal() -> None:
    world = founded(machines=3)
    told = listed(world, None, away="m2")
    assert {found["machine"] for found in told.result["images"]} == {"m1"}
    assert [warning.startswith("cannot list the images of m2: ") for warning in told.warnings] == [True]
    for machine, code in (("m2", "machine.unreachable"), ("m4", "machine.missing")):
        with pytest.raises(Refused) as refused:
            listed(world, machine, away="m2")
        assert refused.value.code == code
