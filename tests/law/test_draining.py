"""A machine is emptied: what moves where, what cannot, and what is left of it wherever that is cut."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec import structs

from daemon import draining
from daemon.draining import Draining, burdens
from daemon.emitting import Tell
from daemon.members import Members
from daemon.migrating import STARTS
from daemon.records import Claim
from daemon.store import Store
from daemon.undertaking import Undertaking
from daemon.wire import (
    Branch,
    Departed,
    Deploy,
    Event,
    How,
    MachineDrain,
    MachineUndrain,
    Migrate,
    Mutation,
    NamespaceRm,
    Problem,
    Success,
    VolumeFork,
    VolumeImport,
    VolumeRestore,
    VolumeSend,
)
from tests.law.cases import Case
from tests.law.law import FAILURES, assert_same, prepared
from tests.law.leaving import cut_short, shared
from tests.law.machines import NAMED, SECRET, SEEING, SEND, WITHOUT_DB, shop
from tests.law.sound import head_of, heads_of, require_sound
from tests.law.world import NOW, ROOT, World, ask, boot, ignore, seen

OTHER = shop(namespace="other", db=2)
PINNED = Deploy(
    'namespace = "pinned"\n[services.web]\nimage = "web:1"\nplace = { machine = "m2" }\n'
    '[services.each]\nimage = "web:1"\nreplicas = "global"\n'
)
SEND_ON = VolumeSend("shop", "data", "m3")
RECREATED = Deploy('namespace = "alone"\n[services.web]\nimage = "web:1"\nupdate = "recreate"\nreplicas = 3\n')


def world_of(*first: Mutation) -> World:
    return prepared(Case("draining", first or (shop(), OTHER), shop(), machines=3)).copy()


def drained(
    world: World, id: str = "op-drain", *, preview: bool = False, tell: Callable[[Event], None] = ignore
) -> Success:
    async def asked() -> Success:
        how = How(preview=True) if preview else How(op_id=id)
        return await Draining(boot(world)).drain(MachineDrain("m2"), how, "ann", tell)

    return asyncio.run(asked())


def unfinished(world: World) -> Problem:
    with pytest.raises(Problem) as caught:
        drained(world)
    assert (caught.value.code, caught.value.state) == ("drain.unfinished", "stuck")
    return caught.value


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "WAIT", 0.0)


def amend(world: World, *machines: str, **to: str) -> None:
    """The machines' records say so from now on."""
    world.operations = None
    for machine in machines:
        asyncio.run(Members(world.kv).amend(machine, lambda now: structs.replace(now, **to)))


def state(world: World) -> str:
    return asyncio.run(Members(world.kv).machines())["m2"].state


def there(world: World, machine: str = "m2") -> list[str]:
    """What is on a machine."""
    return sorted(str(one) for head in heads_of(world) for one in burdens(head, machine))


def rows(world: World, namespace: str = "shop") -> set[str]:
    """What is in the database now."""
    head = head_of(world, namespace)
    assert head
    volume = head.volumes["data"]
    return set(world.iron(volume.machine).zfs.kept[f"{ROOT}/{namespace}/data/{volume.generation}"].content)


def test_everything_leaves_a_machine_with_its_data() -> None:
    world, told = world_of(), list[Event]()
    assert there(world) == ["other/db", "other/web", "shop/db", "shop/web"]
    moved = drained(world, tell=told.append).result["moved"]
    assert sorted(f"{one['namespace']}/{one['service']}" for one in moved) == [
        *("other/db", "other/web", "shop/db", "shop/web")
    ]
    assert (there(world), state(world)) == ([], "draining")
    require_sound(world, "drained, but")
    assert {len(head.services["web"].instances) for head in heads_of(world)} == {3}, "as many as before"
    assert {"row 0", "row 1"} <= rows(world)
    assert {one["operation"] for one in moved} == {event.operation for event in told} - {"op-drain"}
    assert "copy data to m1 while it is in use" in {event.step.partition(": ")[2] for event in told}
    assert drained(world, "op-again").result["moved"] == []


def test_nothing_new_comes_until_it_is_undrained() -> None:
    world = world_of(OTHER)
    drained(world)
    assert ask(world, shop(db=3, namespace="other"), "op-deploy") == "done"
    assert there(world) == []
    assert ask(world, shop(), "op-there") == "refused", "its manifest names m2"
    assert ask(world, MachineUndrain("m2"), "op-undrain") == "done"
    assert state(world) == "active"
    assert ask(world, shop(), "op-here") == "done"
    assert "shop/db" in there(world)


@pytest.mark.parametrize(
    ("machine", "request_"),
    [
        ("m2", VolumeFork("shop", "data", "lab", "copy")),
        ("m2", VolumeRestore("shop", "data", "before", "lab", "copy")),
        ("m2", Branch("shop", "lab")),
        ("m1", VolumeImport("shop", "more")),
    ],
    ids=["fork", "restore", "branch", "import"],
)
def test_nor_is_data_doubled_there(machine: str, request_: Mutation) -> None:
    world = world_of(shop(), NAMED)
    amend(world, machine, state="draining")
    before = seen(world)
    with pytest.raises(Problem) as caught:
        asyncio.run(boot(world).mutate(request_, How(op_id="op-new"), "ann", ignore))
    assert (caught.value.code, caught.value.state) == ("machine.draining", "refused")
    assert_same(seen(world), before, "refused, but")


def test_a_volume_that_no_service_has_is_made_where_something_new_is_taken() -> None:
    world = world_of(shop())
    amend(world, "m1", state="draining")
    more = structs.replace(shop(), manifest=shop().manifest + "[volumes.lodger]\n")
    assert ask(world, more, "op-more") == "done"
    head = head_of(world)
    assert head
    assert head.volumes["lodger"].machine == "m2"


def test_what_cannot_go_is_named_and_the_same_again_goes_on() -> None:
    world = world_of(shop(), PINNED)
    why = unfinished(world).why
    assert "moved: " in why
    assert "shop/db" in why
    assert "pinned/web stays: no machine fits: m1: place names m2" in why
    assert there(world) == ["pinned/web"]
    require_sound(world, "drained in part, but")
    assert ask(world, NamespaceRm("pinned", purge=True), "op-rm") == "done"
    assert drained(world, "op-again").result["moved"] == []


def test_volumes_that_no_service_has_go_along() -> None:
    world = world_of(shop(), WITHOUT_DB)
    assert there(world) == ["shop/data"]
    assert drained(world).result["moved"][0]["volumes"] == ["data"]
    assert rows(world) == {"row 0"}
    require_sound(world, "drained of a volume alone, but")


def full(*machines: str) -> Callable[[World], None]:
    def fill(world: World) -> None:
        for name in machines:
            world.iron(name).zfs.full = True

    return fill


def down(*machines: str) -> Callable[[World], None]:
    def end(world: World) -> None:
        for name in machines:
            world.iron(name).zfs.down = True

    return end


def keyless(*machines: str) -> Callable[[World], None]:
    """They open nothing that was sealed before."""
    return lambda world: amend(world, *machines, recipient="another key")


def crowded(*machines: str) -> Callable[[World], None]:
    """They have no address left."""
    return lambda world: amend(world, *machines, subnet="10.210.9.0/31")


@pytest.mark.parametrize(
    ("unfit", "why"),
    [
        (full, "the pool of {0} is 100 % full"),
        (down, "the pool does not answer"),
        (keyless, "{0} cannot open version 1 of the secret shop/token"),
        (crowded, "all of 10.210.9.0/31 are taken"),
    ],
)
def test_it_goes_to_who_can_take_it(unfit: Callable[..., Callable[[World], None]], why: str) -> None:
    for cannot, can in (("m1", "m3"), ("m3", "m1")):
        world = world_of(SECRET, SEEING)
        unfit(cannot)(world)
        drained(world)
        assert "shop/db" in there(world, can)
    world = world_of(SECRET, SEEING)
    unfit("m1", "m3")(world)
    said = unfinished(world).why
    for machine in ("m1", "m3"):
        assert re.search(f"{machine}: [^;]*{re.escape(why.format(machine))}", said), said
    assert "m2: it is to be left" in said
    assert "shop/db" in there(world)


@pytest.mark.parametrize(
    ("then", "to"),
    [
        ((SEND_ON,), "m3"),
        ((Migrate("shop", "db", "m3"), Migrate("shop", "db", "m2")), "m3"),
        ((SEND, WITHOUT_DB), "m1"),
        ((SEND, SEND_ON), "m3"),
    ],
    ids=["a copy", "left by a move", "of no service", "a newer copy"],
)
def test_it_goes_where_most_of_its_data_is(then: tuple[Mutation, ...], to: str) -> None:
    """Though less runs on the other machine; if there is no room, it goes there."""
    world = world_of(shop(), *then)
    [move] = drained(world, preview=True).result["moves"]
    assert (move["to"], move["bytes"]) == (to, len(b"committed")), "what was written since"
    drained(world)
    assert place(world) == to
    require_sound(world, "drained to where its data is, but")
    world = world_of(shop(), *then)
    full(to)(world)
    drained(world)
    assert place(world) == {"m1": "m3", "m3": "m1"}[to]


def place(world: World) -> str:
    """The machine that has the database's volume."""
    head = head_of(world)
    assert head
    return head.volumes["data"].machine


def test_where_nobody_has_any_of_it_it_goes_where_the_least_runs() -> None:
    for then, to in ((), "m1"), ((WITHOUT_DB,), "m3"):
        [move] = drained(world_of(shop(), *then), preview=True).result["moves"]
        assert move["to"] == to


def test_who_planned_before_is_waited_for_and_named() -> None:
    world = world_of(shop())
    asyncio.run(Store(world.kv).claim("late", Claim("op-late", "m3", "change", "deploy", "bea", NOW)))
    asyncio.run(Store(world.kv).claim("read", Claim("op-reads", "m3", "read", "branch", "bea", NOW)))
    assert unfinished(world).why.endswith("late is being changed by op-late, which may have been planned before")
    assert there(world) == []


def test_what_one_that_planned_before_places_there_goes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "WAIT", 30.0)
    monkeypatch.setattr(draining, "LOOK_AGAIN", 0.0)
    world = world_of(OTHER)
    kv, claim = Store(world.kv), Claim("op-late", "m3", "change", "deploy", "bea", NOW)
    asyncio.run(kv.claim("late", claim))
    operations, looked = boot(world), list[int]()
    emptying = Draining(operations)
    found = emptying.burdens

    async def burdens_then(machine: str) -> list[draining.Burden]:
        """Others look on, and the late one ends with the second look."""
        looked.append(1)
        if len(looked) == 4:
            await kv.free("late", "op-late")
        return await found(machine)

    monkeypatch.setattr(emptying, "burdens", burdens_then)
    done = asyncio.run(emptying.drain(MachineDrain("m2"), How(op_id="op-drain"), "ann", ignore))
    assert (done.kind, there(world)) == ("drained", [])
    assert len(looked) >= 4


def test_a_namespace_that_is_being_changed_stays_and_the_others_go() -> None:
    world = world_of()
    asyncio.run(Store(world.kv).claim("shop", Claim("op-late", "m1", "change", "deploy", "bea", NOW)))
    operations = boot(world)
    operations.running["op-late"] = Undertaking("op-late", {}, "bea", NOW, operations.means)

    async def asked() -> Success:
        return await Draining(operations).drain(MachineDrain("m2"), How(op_id="op-drain"), "ann", ignore)

    with pytest.raises(Problem) as caught:
        asyncio.run(asked())
    assert "shop/db stays: it is being changed by bea" in caught.value.why
    assert there(world) == ["shop/db", "shop/web"]


def test_a_preview_shows_all_of_it_and_changes_nothing() -> None:
    world = world_of(shop(), PINNED)
    before = seen(world)
    told = drained(world, preview=True)
    says = [step["says"] for step in told.result["steps"]]
    assert says[0] == "commit that m2 is draining"
    assert [one.rpartition(" to ")[0] for one in says[1:]] == ["move pinned/each", "move shop/db", "move shop/web"]
    assert [step.get("down", []) for step in told.result["steps"][1:]] == [[], ["db"], []]
    [move] = told.result["moves"]
    assert (move["volume"], move["from"]) == ("shop/data", "m2")
    assert ("db:1", "there") in {(each["image"], each["by"]) for each in told.result["images"]}
    assert told.warnings[0].startswith("pinned/web cannot be moved: no machine fits")
    assert_same(seen(world), before, "after a preview,")


def test_a_preview_tells_for_how_long_each_is_down_and_who_is_at_it() -> None:
    """Also of what has no volume, and cannot run twice; what runs on beside the new one is not down."""
    steps = drained(world_of(RECREATED), preview=True).result["steps"]
    [alone] = [step for step in steps if step["says"].startswith("move alone/web")]
    assert (alone["down"], alone["downtime_s"]) == (["web"], STARTS)
    world = world_of(shop())
    asyncio.run(Store(world.kv).claim("shop", Claim("op-late", "m1", "change", "deploy", "bea", NOW)))
    told = drained(world, preview=True)
    [held] = [warning for warning in told.warnings if "being changed by bea" in warning]
    assert held.startswith("shop: ")
    down = {step["says"].split()[1]: step.get("downtime_s") for step in told.result["steps"][1:]}
    assert down["shop/db"] == told.result["moves"][0]["downtime_s"] >= STARTS
    assert down["shop/web"] is None


def test_whoever_aborts_it_has_nothing_more_begun() -> None:
    world = world_of()
    operations = boot(world)
    emptying = Draining(operations)

    def tell(event: Event) -> None:
        if "stop shop-db" in event.step and event.kind == "doing":
            assert emptying.abort("op-drain")

    async def asked() -> Success:
        return await emptying.drain(MachineDrain("m2"), How(op_id="op-drain"), "ann", tell)

    with pytest.raises(Problem) as caught:
        asyncio.run(asked())
    assert "shop/db stays: it was aborted" in caught.value.why
    assert "it was not begun: the drain was aborted" in caught.value.why
    assert "shop/db" in there(world)
    require_sound(world, "aborted, but")
    assert not emptying.abort("op-drain")


def test_one_that_waits_for_another_is_aborted_too() -> None:
    world = world_of()
    emptying, second = Draining(boot(world)), list[asyncio.Task[list[Departed]]]()

    def empty(id: str, tell: Tell) -> Coroutine[Any, Any, list[Departed]]:
        return emptying.empty("m2", How(op_id=id), "ann", tell)

    def tell(event: Event) -> None:
        if not second:
            second.append(asyncio.create_task(empty("op-second", ignore)))
        elif emptying.abort("op-second"):
            emptying.abort("op-first")

    async def asked() -> list[list[Departed] | BaseException]:
        first = await asyncio.gather(empty("op-first", tell), return_exceptions=True)
        return [*first, *await asyncio.gather(*second, return_exceptions=True)]

    for told in asyncio.run(asked()):
        assert isinstance(told, Problem)
        assert "it was not begun: the drain was aborted" in told.why
    require_sound(world, "aborted, but")


@pytest.mark.parametrize(
    ("machine", "code"), [("m9", "machine.missing"), ("m2", "machine.state")], ids=["missing", "joining"]
)
def test_what_cannot_be_drained(machine: str, code: str) -> None:
    world = world_of()
    amend(world, "m2", state="joining")
    with pytest.raises(Problem) as caught:
        asyncio.run(boot(world).mutate(MachineDrain(machine), How(), "ann", ignore))
    assert caught.value.code == code


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
def test_wherever_it_is_cut_the_same_again_goes_on(failure: type[BaseException]) -> None:
    world = world_of()
    drained(world)
    for cut in shared(world.touches, failure):
        world = world_of()
        with cut_short(world, cut):
            drained(world)
        require_sound(world, f"{cut}, and up again, but")
        drained(world, "op-again")
        assert there(world) == []
        require_sound(world, f"{cut}, and drained again, but")
        assert {"row 0", "row 1"} <= rows(world)
        world.close()


def test_so_many_services_go_at_a_time() -> None:
    """From the first word of an operation to its last it has one of the turns."""
    names = [f"n{number}" for number in range(5)]
    world, told = world_of(*(lone(name) for name in names)), list[Event]()
    moved = drained(world, tell=told.append).result["moved"]
    assert sorted(one["namespace"] for one in moved) == names
    children = [event.operation for event in told if event.operation != "op-drain"]
    spans = [(children.index(id), len(children) - children[::-1].index(id)) for id in {*children}]
    assert max(sum(first <= at < last for first, last in spans) for at in range(len(children))) == 3
    assert there(world) == []


def lone(namespace: str) -> Deploy:
    """Nothing but a database on m2."""
    service = '[services.db]\nimage = "db:1"\nvolumes = { data = "/data" }\nplace = { machine = "m2" }\n'
    return Deploy(f'namespace = "{namespace}"\n{service}[volumes.data]\n')
