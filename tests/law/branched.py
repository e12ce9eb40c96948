"""What is true of a branch and of what is promoted from it, besides that every cut leaves it whole or not at all."""

import asyncio

from daemon.store import Store
from daemon.wire import Branch, Deploy, NamespaceRm, Promote
from runtime.instance import Specification
from tests.fakes.engine import Program
from tests.law.cases import DATA, GIVES, PR, PR2, SCRUB, SEES, secret, shop
from tests.law.machines import shop as on_three
from tests.law.sound import head_of, require_sound
from tests.law.world import ROOT, World, ask, founded


def data(world: World, namespace: str) -> dict[str, bytes]:
    """What is in its volume now."""
    head = head_of(world, namespace)
    assert head
    return world.zfs.kept[f"{ROOT}/{namespace}/data/{head.volumes['data'].generation}"].content


def sees(world: World, namespace: str) -> list[dict[str, bytes]]:
    """The secrets that each of its instances which sees any sees."""
    return [held for id, held in sorted(world.vault.shown.items()) if id.startswith(f"{namespace}-")]


def set_for(world: World, namespace: str, value: bytes, id: str) -> None:
    asked = secret(value)
    assert ask(world, type(asked)(namespace, asked.name, value), id) == "done"


def nobody_writes_while_what_is_copied_is_snapshotted() -> None:
    world = founded()
    assert ask(world, shop(), "op-0") == "done"
    paused: list[bool] = []
    witness = world._witness

    def note(what: str) -> None:
        if what.startswith("zfs snapshot"):
            paused.append(world.instances.instances["shop-db-1-op-0"].paused)
        witness(what)

    world._witness = note  # type: ignore[method-assign]
    assert ask(world, Branch("shop", "pr-42", freeze=True), "op-1") == "done"
    assert paused
    assert all(paused)
    assert not world.instances.instances["shop-db-1-op-0"].paused


def nobody_writes_on_any_machine_while_what_is_copied_is_snapshotted() -> None:
    world = founded(machines=3)
    assert ask(world, on_three(), "op-0") == "done"
    found: list[dict[str, bool]] = []
    witness = world._witness

    def note(what: str) -> None:
        if what.startswith("zfs snapshot"):
            found.append(_writers(world))
        witness(what)

    world._witness = note  # type: ignore[method-assign]
    assert ask(world, Branch("shop", "pr-42", freeze=True), "op-1") == "done"
    assert found == [{"m2 shop-db-1-op-0": True, "m3 shop-cache-1-op-0": True}] * 2
    assert not any(one.paused for iron in world.irons() for one in iron.instances.instances.values())


def _writers(world: World) -> dict[str, bool]:
    """Who can write to a volume, by machine and name, and whether it stands still."""
    there = {f"{iron.name} {id}": one for iron in world.irons() for id, one in iron.instances.instances.items()}
    return {
        at: one.paused
        for at, one in there.items()
        if any(mount.source.startswith("/fake/") and not mount.read_only for mount in one.specification.mounts)
    }


def a_branch_is_scrubbed_and_its_source_is_not() -> None:
    world = founded()
    assert ask(world, shop(more=SCRUB), "op-0") == "done"
    world.write_row("row")
    assert ask(world, PR, "op-1") == "done"
    assert (data(world, "pr-42"), data(world, "shop")) == ({"row": b"scrubbed"}, {"row": b"committed"})


def nobody_of_a_branch_begins_before_it_is_scrubbed_but_who_is_needed_for_that() -> None:
    """Be it by an instance of its own, or inside the database: a worker that waits for nobody waits for that."""
    worker = '[services.worker]\nimage = "web:1"\n'
    beside = shop(more=f"{SCRUB}\n{worker}")
    inside = Deploy(shop(more=worker).manifest.replace('image = "db:1"', f'image = "db:1"\n{SCRUB}'))
    for asked, hook in ((beside, {"pr-42-web-hook-op-1"}), (inside, set[str]())):
        world = founded()
        assert ask(world, asked, "op-0") == "done"
        found: list[set[str]] = []

        def look(_: Specification, world: World = world, found: list[set[str]] = found) -> None:
            there = world.instances.instances.items()
            found.append({id for id, one in there if id.startswith("pr-42-") and one.up})

        world.instances.programs["scrub",] = Program(exits=0, on_run=look)
        assert ask(world, PR, "op-1") == "done"
        assert found == [{"pr-42-db-1-op-1"} | hook]
        assert world.instances.instances["pr-42-worker-1-op-1"].up


def a_promote_takes_code_and_where_it_is_asked_data_and_leaves_the_rest() -> None:
    for ask_for, rows in ((Promote("pr-42", "shop"), {"first"}), (DATA, {"first", "of the branch"})):
        world = founded()
        assert ask(world, shop(), "op-0") == "done"
        world.write_row("first")
        assert ask(world, PR, "op-1") == "done"
        assert ask(world, PR2, "op-2") == "done"
        head = head_of(world, "pr-42")
        assert head
        place = f"{ROOT}/pr-42/data/{head.volumes['data'].generation}"
        world.zfs.write(place, "of the branch", b"committed")
        assert ask(world, ask_for, "op-3") == "done"
        after = head_of(world)
        assert after
        assert (set(data(world, "shop")), after.services["db"].image) == (rows, "db:2")
        assert after.services["web"].routes == ("shop.example.com",)
        require_sound(world, "promoted, but")


def a_branch_sees_its_sources_secret_only_where_the_manifest_gives_it() -> None:
    world = founded()
    set_for(world, "shop", b"one", "op-0")
    assert ask(world, shop(more=SEES), "op-1") == "done"
    assert ask(world, PR, "op-2") == "refused"
    assert ask(world, shop(more=GIVES), "op-3") == "done"
    assert ask(world, PR, "op-4") == "done"
    assert sees(world, "pr-42") == [{"PASSWORD": b"one"}]
    set_for(world, "shop", b"two", "op-5")
    assert ask(world, shop(more=GIVES), "op-6") == "done"
    assert sees(world, "pr-42") == [{"PASSWORD": b"one"}]
    assert ask(world, NamespaceRm("pr-42"), "op-7") == "done"
    assert ask(world, PR, "op-8") == "done"
    assert sees(world, "pr-42") == [{"PASSWORD": b"two"}]
    require_sound(world, "branched anew, but")


def what_was_set_for_a_branch_is_its_own_and_a_promote_takes_no_secret_along() -> None:
    world = founded()
    for number, namespace, value in ((0, "shop", b"live"), (1, "pr-42", b"test")):
        set_for(world, namespace, value, f"op-{number}")
    assert ask(world, shop(more=GIVES), "op-2") == "done"
    assert ask(world, PR, "op-3") == "done"
    assert sees(world, "pr-42") == [{"PASSWORD": b"test"}]
    assert ask(world, shop(db=2, namespace="pr-42", more=GIVES), "op-4") == "done"
    assert ask(world, DATA, "op-5") == "done"
    assert sees(world, "shop") == [{"PASSWORD": b"live"}]
    assert ask(world, NamespaceRm("pr-42", purge=True), "op-6") == "done"
    assert asyncio.run(Store(world.kv).versions("pr-42", "PASSWORD")) == {}
    assert sees(world, "pr-42") == []
    require_sound(world, "promoted and purged, but")


ALL = (
    nobody_writes_while_what_is_copied_is_snapshotted,
    nobody_writes_on_any_machine_while_what_is_copied_is_snapshotted,
    a_branch_is_scrubbed_and_its_source_is_not,
    nobody_of_a_branch_begins_before_it_is_scrubbed_but_who_is_needed_for_that,
    a_promote_takes_code_and_where_it_is_asked_data_and_leaves_the_rest,
    a_branch_sees_its_sources_secret_only_where_the_manifest_gives_it,
    what_was_set_for_a_branch_is_its_own_and_a_promote_takes_no_secret_along,
)
