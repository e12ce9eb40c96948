"""A change is refused for what a machine lacks that has a part in it, and for nothing that others lack."""

import asyncio

import pytest

from daemon.wire import Branch, Deploy, How, Mutation, Refused, Success
from tests.law.machines import shop
from tests.law.world import World, boot, founded, ignore


def asked(world: World, request: Mutation) -> Success:
    return asyncio.run(boot(world).mutate(request, How(), "ann", ignore))


def test_a_machine_that_is_full_gets_no_new_data_and_is_in_nobody_elses_way() -> None:
    world = founded(machines=3)
    asked(world, shop())
    world.sites["m2"].zfs.full = True
    with pytest.raises(Refused, match="the pool of m2 is 100 % full") as refused:
        asked(world, shop(db=2))
    assert refused.value.code == "pool.full"
    other = 'namespace = "blog"\n[services.web]\nimage = "web:1"\nreplicas = 3\n'
    assert asked(world, Deploy(other)).kind == "deployed"


def test_a_branch_has_room_for_what_may_be_written_to_it_on_the_machine_that_has_the_volume() -> None:
    world = founded(machines=3)
    asked(world, Deploy(shop().manifest.replace("[volumes.data]", "[volumes.data]\nquota = 5000")))
    world.zfs.limit = world.sites["m3"].zfs.limit = 1000
    assert asked(world, Branch("shop", "pr-1")).kind == "branched"
    world.sites["m2"].zfs.limit = 5000
    with pytest.raises(Refused, match=r"the pool of m2 is .* no room for 4\.9 KiB more") as refused:
        asked(world, Branch("shop", "pr-2"))
    assert (refused.value.code, refused.value.what) == ("pool.full", "cannot branch shop")
    assert asked(world, Branch("shop", "pr-2", volumes={"data": "fresh"})).kind == "branched"
