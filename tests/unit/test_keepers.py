"""Who keeps the records as machines come and go, and who removes the machine that is asked to remove itself."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from daemon.draining import Draining
from daemon.keepers import Keepers
from daemon.membership import Membership, alone
from daemon.planning.holders import holders
from daemon.records import Claim, Machine
from daemon.store import Store
from daemon.wire import (
    Call,
    Event,
    Failure,
    How,
    MachineRemoved,
    MachineRm,
    Problem,
    Refused,
    StoreMove,
    Success,
    encode,
)
from dataplane.calls import Unanswered
from tests.fakes.mesh import FakeMesh
from tests.law.world import NOW, World, boot, founded, ignore


def machine(name: str, state: Any = "active") -> Machine:
    number = name.removeprefix("m")
    return Machine(number, name, f"10.210.{number}.0/24", f"10.210.{number}.1", f"2026-01-0{number}", "0.1.0", state)


def machines(count: int, **states: str) -> dict[str, Machine]:
    return {f"m{n}": machine(f"m{n}", states.get(f"m{n}", "active")) for n in range(1, count + 1)}


WHO = [
    # how many there are, who keeps them, who is away, who leaves, who is to keep them
    (1, "m1", "", "", "m1"),
    (2, "m1", "", "", "m1"),
    (2, "m1", "", "m1", "m2"),
    (3, "m1", "", "", "m1 m2 m3"),
    (3, "m1", "m3", "", "m1"),
    (3, "m1 m2 m3", "m3", "", "m1 m2 m3"),
    (3, "m1 m2 m3", "", "m2", "m1"),
    (3, "m1 m2 m3", "m1", "m2", "m3"),
    (4, "m1 m2 m3", "", "m1", "m2 m3 m4"),
    (4, "m1 m2 m3", "m4", "m1", "m2"),
    (5, "m1 m2 m3", "m4", "m1", "m2 m3 m5"),
    (5, "m2 m4 m5", "", "", "m2 m4 m5"),
    (5, "m5", "", "", "m1 m2 m5"),
    (2, "m1", "m2", "m1", ""),
    (1, "m1", "", "m1", ""),
]


@pytest.mark.parametrize(("count", "now", "away", "without", "wanted"), WHO)
def test_who_is_to_keep_the_records(count: int, now: str, away: str, without: str, wanted: str) -> None:
    there = machines(count)
    assert holders(now.split(), there, there.keys() - {*away.split()}, without.split()) == tuple(wanted.split())


def test_who_has_not_come_yet_or_is_leaving_keeps_nothing() -> None:
    there = machines(4, m2="joining", m3="leaving")
    assert holders(("m1",), there, there, ()) == ("m1",)


def moved(world: World, ask: StoreMove, id: str = "op-1") -> Success:
    return asyncio.run(boot(world).mutate(ask, How(op_id=id), "ann", ignore))


def refused(world: World, ask: StoreMove) -> str:
    with pytest.raises(Problem) as caught:
        moved(world, ask, "op-9")
    assert caught.value.state == "refused"
    return caught.value.code


def test_the_store_goes_to_three_and_back_to_one_and_keeps_what_it_had() -> None:
    world = founded(machines=3)
    before = {where: entry for where, entry in world.kv.entries.items() if where.startswith("machines.")}
    assert moved(world, StoreMove(), "op-1").result == {"machines": ["m1", "m2", "m3"], "replicas": 3}
    assert moved(world, StoreMove(("m1",)), "op-2").result == {"machines": ["m2"], "replicas": 1}
    cluster = asyncio.run(Store(world.kv).cluster())
    assert (cluster.incarnation, cluster.moved, cluster.closed, cluster.claims) == (3, "op-2", "", ())
    for where, entry in before.items():
        assert world.kv.entries[where].value == entry.value
        assert world.kv.entries[where].revision > entry.revision
    assert {iron.moves.at for iron in world.irons()} == {"op-2"}
    assert [sorted(iron.moves.servers) for iron in world.irons()] == [["op-2"]] * 3
    assert world.stores.of("").sealed
    assert world.stores.of("op-1").sealed


def test_a_store_that_is_where_it_belongs_is_not_moved() -> None:
    world = founded(machines=2)
    assert moved(world, StoreMove()).result["machines"] == ["m1"]
    assert asyncio.run(Store(world.kv).cluster()).incarnation == 1


def test_a_store_is_not_moved_under_who_is_at_work() -> None:
    world = founded(machines=3)
    claim = Claim("op-other", "m2", "change", "deploy", "ann", NOW)
    asyncio.run(Store(world.kv).claim("shop", claim))
    world.sites["m2"].mesh.working = ["op-other"]
    assert refused(world, StoreMove()) == "store.busy"
    assert not world.kv.sealed
    world.sites["m2"].mesh.working = []
    assert moved(world, StoreMove()).result["replicas"] == 3, "what is stuck is carried along"
    assert asyncio.run(Store(world.kv).namespace("shop")).claims == (claim,)


def test_a_store_needs_somebody_to_keep_it() -> None:
    assert refused(founded(), StoreMove(("m1",))) == "store.nowhere"


# ----------------------------------------------------------------------------------- asked to remove itself


@dataclass
class Answers:
    """Another machine that is called; `said` is its answer, None if none comes."""

    said: Success | Failure | None
    mesh: FakeMesh
    told: list[Call] = field(default_factory=list)

    async def request(self, subject: str, data: bytes, within: float, heard: Any = None) -> bytes:
        self.told.append(msgspec.json.decode(data, type=Call))
        heard(encode(Event("op-1", NOW, "doing", "0 commit that m1 leaves")))
        if self.said is None:
            raise Unanswered("the connection was lost")
        if isinstance(self.said, Success) and self.said.kind == "left":
            self.mesh.left.set()
            await asyncio.sleep(60)
        return encode(self.said)


def asked_itself(
    said: Success | Failure | None, *, machines: int = 2, away: tuple[str, ...] = (), preview: bool = False
) -> tuple[Any, Any]:
    world = founded(machines=machines)
    if machines > 1:
        moved(world, StoreMove(("m1",)), "op-0")
    one = alone("m1", NOW, "0.1.0")
    mesh = FakeMesh(Membership(one.cluster, "m1", {"m1": one.here, **({"m2": machine("m2")} if machines > 1 else {})}))
    mesh.away.update(away)
    answers, operations = Answers(said, mesh), boot(world)
    events: list[Event] = []

    async def removed() -> Success:
        members = operations.means.engine.node.members
        keepers = Keepers(mesh, members, operations, answers, Draining(operations))  # type: ignore[arg-type]
        how = How(preview=True) if preview else How(op_id="op-1")
        return await keepers.remove(MachineRm("m1"), how, "ann", events.append)

    try:
        return asyncio.run(removed()), events
    except Problem as failure:
        return failure, answers.told


def test_another_machine_removes_the_one_that_is_asked() -> None:
    done = Success("machine_removed", msgspec.to_builtins(MachineRemoved("1", "m1", fenced=True)), "op-1")
    assert asked_itself(done)[0] == done
    said, events = asked_itself(Success("left", {}))
    assert said.result["name"] == "m1", "it was told that it left, and no answer can come after that"
    assert [event.step for event in events] == ["0 commit that m1 leaves"]


def test_another_machine_shows_what_it_would_do() -> None:
    shown = Success("preview", {"primitive": "machine.rm", "steps": [], "commit": 0})
    assert asked_itself(shown, preview=True)[0].kind == "preview"


def test_what_the_other_machine_refuses_is_refused_here() -> None:
    failure, told = asked_itself(Failure(Refused("machine.occupied", "cannot remove m1", "it has instances").error))
    assert failure.code == "machine.occupied"
    assert [call.request for call in told] == [MachineRm("m1")]


def test_a_machine_that_nobody_removes_stays() -> None:
    assert asked_itself(None)[0].code == "machine.unanswered"
    failure, told = asked_itself(None, away=("m2",))
    assert (failure.code, told) == ("machine.unreachable", [])
    assert asked_itself(None, machines=1)[0].code == "machine.last"
