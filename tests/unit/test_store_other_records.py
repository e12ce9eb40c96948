"""The records over a bucket in memory: who may take which name, history, operations, and what cannot be read."""

import asyncio
from collections.abc import Awaitable

import pytest
from msgspec import structs

from daemon.records import DeployPoint, Held, Namespace, Operation, Reservation
from daemon.store import Store
from daemon.wire import Problem, Refused
from tests.fakes.kv import FakeKv, Late
from tests.fakes.records import CLUSTER, MACHINE, claim, head, operation, play, token_of

# ------------------------------------------------------------------------------------------- reservations


def test_a_name_belongs_to_the_namespace_that_took_it_first() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        await store.reserve("hostname", "shop.example.com", "op-1", "shop")
        await store.reserve("hostname", "shop.example.com", "op-2", "shop")
        with pytest.raises(Refused) as refused:
            await store.reserve("hostname", "shop.example.com", "op-3", "blog")
        assert refused.value.code == "name.taken"
        assert "shop" in refused.value.why
        await store.reserve("address", "10.210.1.5", "op-1", "shop")
        assert await store.reservations("hostname") == {"shop.example.com": Reservation("op-1", "shop")}
        assert await store.reservations("address") == {"10.210.1.5": Reservation("op-1", "shop")}

    play(story)


def test_only_whoever_holds_a_name_frees_it() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        await store.reserve("address", "10.210.1.5", "op-1", "shop")
        await store.release("address", "10.210.1.5", "blog", "op-1")
        await store.release("address", "10.210.1.5", "shop", "op-2")
        assert await store.reservations("address") == {"10.210.1.5": Reservation("op-1", "shop")}
        await store.release("address", "10.210.1.5", "shop", "op-1")
        assert await store.reservations("address") == {}
        await store.release("address", "10.210.1.5", "shop", "op-1")
        await store.reserve("address", "10.210.1.5", "op-3", "blog")
        await store.release("address", "10.210.1.5", "blog", "op-3")
        assert await store.reservations("address") == {}

    play(story)


def test_a_name_is_let_go_by_whoever_has_the_claim_of_its_namespace() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        await store.reserve("address", "10.210.1.5", "op-1", "shop")
        with pytest.raises(Refused) as refused:
            await store.let_go("address", "10.210.1.5", "shop", "op-2")
        assert refused.value.code == "operation.over"
        for namespace in ("blog", "shop"):
            await store.claim(namespace, claim("op-2"))
        await store.let_go("address", "10.210.1.5", "blog", "op-2")
        assert await store.reservations("address") == {"10.210.1.5": Reservation("op-1", "shop")}
        for _ in range(2):
            await store.let_go("address", "10.210.1.5", "shop", "op-2")
        assert await store.reservations("address") == {}

    play(story)


@pytest.mark.parametrize("was_held_once", [False, True])
def test_a_reservation_that_was_taken_back_never_arrives(was_held_once: bool) -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        if was_held_once:
            await store.reserve("address", "10.210.1.5", "op-0", "blog")
            await store.release("address", "10.210.1.5", "blog", "op-0")
        late.count = 1
        with pytest.raises(Refused):
            await store.reserve("address", "10.210.1.5", "op-1", "shop")
        await store.release("address", "10.210.1.5", "shop", "op-1")
        late.deliver()
        assert await store.reservations("address") == {}

    play(story)


def test_of_many_that_reserve_at_once_one_namespace_wins() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        asking = [store.reserve("service", "10.210.224.1", f"op-{n}", f"ns-{n}") for n in range(20)]
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert sum(answer is None for answer in answers) == 1

    play(story)


# ---------------------------------------------------------------------------- history, operations, cluster


def test_history_is_told_oldest_first_also_beyond_nine() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        points = [DeployPoint(head("op-1", deploy=n), (Held("data", "op-2", "77"),), "op-2", "at") for n in range(12)]
        for point in reversed(points):
            await store.keep_point(point)
        await store.keep_point(DeployPoint(head("op-1", "shop-2"), (), "op-2", "at"))
        assert await store.points("shop") == points
        assert await store.point("shop", 11) == points[11]
        assert await store.point("shop", 12) is None
        before = kv.revision
        await store.keep_point(points[3])
        assert kv.revision == before

    play(story)


def test_a_forgotten_point_is_told_no_more_but_its_snapshots_are() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        points = [DeployPoint(head("op-1", deploy=n), (Held("data", f"op-{n}", f"{n}"),), "op-9", "at") for n in (1, 2)]
        for point in points:
            await store.keep_point(point)
        for _ in range(2):
            await store.forget_point("shop", 1, "op-8")
        await store.forget_point("shop", 7, "op-8")
        assert (await store.points("shop"), await store.point("shop", 1)) == (points[1:], None)
        assert await store.forgotten("shop") == [Held("data", "op-1", "1")]
        await store.keep_point(points[0])
        assert await store.point("shop", 1) is None, "forgotten is for good"

    play(story)


def test_an_operation_begins_once_and_its_later_ending_counts() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        for id in ("op-2", "op-1"):
            await store.begin(operation(id))
        await store.begin(operation("op-1"))
        with pytest.raises(Refused) as refused:
            await store.begin(structs.replace(operation("op-1"), who="bob"))
        assert refused.value.code == "operation.exists"
        assert await store.operations() == [operation("op-1"), operation("op-2")]
        assert await store.end(ended("op-1", "done", "then"))
        assert await store.end(ended("op-1", "taken_back", "later"))
        before = kv.revision
        assert await store.end(ended("op-1", "taken_back", "later still"))
        assert kv.revision == before
        assert await store.operation("op-1") == ended("op-1", "taken_back", "later")

    play(story)


def ended(id: str, ending: str, at: str) -> Operation:
    return structs.replace(operation(id), ending=ending, ended_at=at)


def test_an_operation_that_is_over_never_begins_afterwards() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        late.count = 1
        with pytest.raises(Refused):
            await store.begin(operation("op-1"))
        assert await store.end(ended("op-1", "taken_back", "then"))
        late.deliver()
        assert await store.operation("op-1") == ended("op-1", "taken_back", "then")

    play(story)


def test_who_was_taken_over_does_not_say_how_it_ended() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        assert await store.take_operation("op-1", "m2") is None
        await store.begin(operation("op-1"))
        taken = await store.take_operation("op-1", "m2")
        assert taken == structs.replace(operation("op-1"), machine="m2", term=1)
        assert not await store.end(ended("op-1", "done", "then"))
        assert await store.operation("op-1") == taken
        over = structs.replace(taken, ending="taken_back", ended_at="then")
        assert await store.end(over)
        assert await store.take_operation("op-1", "m3") == over
        assert await store.end(ended("op-1", "done", "then"))
        assert await store.operation("op-1") == over

    play(story)


def test_one_that_is_forbidden_never_begins() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        never = ended("op-1", "taken_back", "then")
        assert await store.forbid(never) == never
        with pytest.raises(Refused) as refused:
            await store.begin(operation("op-1"))
        assert refused.value.code == "operation.exists"
        await store.begin(operation("op-2"))
        assert await store.forbid(ended("op-2", "taken_back", "then")) == operation("op-2")
        assert await store.operation("op-2") == operation("op-2")

    play(story)


def test_founding_again_changes_nothing() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        before = kv.revision
        await store.found(structs.replace(CLUSTER, incarnation=9), structs.replace(MACHINE, id="other"))
        assert kv.revision == before
        assert (await store.cluster()).incarnation == 1

    play(story)


def test_namespaces_are_told_by_name() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        for name in ("shop", "blog"):
            await store.commit(name, head("op-1", name), "op-1", await token_of(store, claim("op-1"), name))
        assert {name: one.head for name, one in (await store.namespaces()).items()} == {
            name: head("op-1", name) for name in ("shop", "blog")
        }
        assert await store.namespace("none") == Namespace()

    play(story)


# ------------------------------------------------------------------------------------------ what goes wrong


def test_without_a_store_everything_that_only_looks_or_begins_is_refused() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        kv.kill()
        asking: list[Awaitable[object]] = [
            store.namespace("shop"),
            store.namespaces(),
            store.claim("shop", claim("op-1")),
            store.free("shop", "op-1"),
            store.reserve("address", "10.210.1.5", "op-1", "shop"),
            store.release("address", "10.210.1.5", "shop", "op-1"),
            store.let_go("address", "10.210.1.5", "shop", "op-1"),
            store.reservations("address"),
            store.point("shop", 1),
            store.points("shop"),
            store.keep_point(DeployPoint(head("op-1"), (), "op-2", "at")),
            store.begin(operation("op-1")),
            store.operation("op-1"),
            store.operations(),
            store.end(ended("op-1", "done", "then")),
            store.take_operation("op-1", "m2"),
            store.forbid(operation("op-1")),
            store.cluster(),
            store.found(CLUSTER, MACHINE),
        ]
        for one in asking:
            with pytest.raises(Refused) as refused:
                await one
            assert refused.value.code == "store.down"

    play(story)


@pytest.mark.parametrize("value", [b"", b"not json", b'{"head": 5}', b"\xff", b"null"])
def test_a_record_that_makes_no_sense_is_named_and_left_alone(value: bytes) -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        revision = await kv.put("namespaces.shop", value, 0)
        for asking in (store.namespace("shop"), store.namespaces(), store.claim("shop", claim("op-1"))):
            with pytest.raises(Problem) as problem:
                await asking
            assert problem.value.code == "record.unreadable"
            assert "namespaces.shop" in str(problem.value)
        assert kv.entries["namespaces.shop"].revision == revision

    play(story)


def test_a_head_that_does_not_fit_is_refused_and_not_written() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        token = await token_of(store, claim("op-1"))
        with pytest.raises(Refused) as refused:
            await store.commit("shop", structs.replace(head("op-1"), manifest="x" * (9 << 20)), "op-1", token)
        assert refused.value.code == "record.too_large"
        await store.commit("shop", head("op-1"), "op-1", token)

    play(story)
