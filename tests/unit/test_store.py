"""The records over a bucket in memory: claims, tokens, and commits that come late."""

import asyncio
from itertools import product
from typing import Literal

import pytest
from msgspec import structs

from daemon.node import CommitLost, Records
from daemon.records import CLUSTER, Namespace, Token
from daemon.store import Store
from daemon.wire import Refused
from dataplane.entry import StoreDown
from tests.fakes.kv import FakeKv, Late
from tests.fakes.records import claim, head, play, token_of

# ------------------------------------------------------------------------------------------------- claims


@pytest.mark.parametrize(
    ("first", "second", "stands_beside"),
    [("change", "change", False), ("change", "read", False), ("read", "change", False), ("read", "read", True)],
)
def test_only_readers_share(
    first: Literal["change", "read"], second: Literal["change", "read"], stands_beside: bool
) -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        await token_of(store, claim("op-1", first))
        before = kv.revision
        answer = await store.claim("shop", claim("op-2", second))
        if stands_beside:
            assert isinstance(answer, Token)
            assert {one.operation for one in (await store.namespace("shop")).claims} == {"op-1", "op-2"}
        else:
            assert answer == claim("op-1", first)
            assert kv.revision == before

    play(story)


def test_a_token_is_the_incarnation_and_the_revision_of_the_claim() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        token = await token_of(store, claim("op-1"))
        entry = await kv.get("namespaces.shop")
        assert entry
        assert token == Token(1, entry.revision)

    play(story)


def test_claiming_again_gives_a_newer_token_and_one_claim() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        await token_of(store, claim("op-1", "read"))
        first = await token_of(store, claim("op-1"))
        second = await token_of(store, claim("op-1"))
        assert second > first
        assert (await store.namespace("shop")).claims == (claim("op-1"),)
        with pytest.raises(CommitLost):
            await store.commit("shop", head("op-1"), "op-1", first)
        await store.commit("shop", head("op-1"), "op-1", second)

    play(story)


def test_of_many_that_claim_at_once_one_changes_or_all_read() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        changes = await asyncio.gather(*(store.claim("shop", claim(f"op-{n}")) for n in range(20)))
        assert sum(isinstance(answer, Token) for answer in changes) == 1
        reads = await asyncio.gather(*(store.claim("blog", claim(f"op-{n}", "read")) for n in range(20)))
        assert all(isinstance(answer, Token) for answer in reads)
        assert len((await store.namespace("blog")).claims) == 20

    play(story)


def test_freeing_takes_out_that_operations_claim_and_nothing_else() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        for name in ("op-1", "op-2"):
            await token_of(store, claim(name, "read"))
        await store.free("shop", "op-1")
        assert (await store.namespace("shop")).claims == (claim("op-2", "read"),)
        before = kv.revision
        await store.free("shop", "op-1")
        await store.free("never-was", "op-1")
        assert kv.revision == before

    play(story)


def test_a_claim_that_got_no_answer_is_refused() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        late.count = 1
        with pytest.raises(Refused) as refused:
            await store.claim("shop", claim("op-1"))
        assert refused.value.code == "store.down"

    play(story)


def test_nothing_is_claimed_where_no_cluster_was_founded() -> None:
    async def story() -> None:
        with pytest.raises(Refused) as refused:
            await Store(FakeKv()).claim("shop", claim("op-1"))
        assert refused.value.code == "cluster.missing"

    asyncio.run(story())


# -------------------------------------------------------------------------------------- commit and settle


def test_a_commit_keeps_the_claims_and_may_be_repeated() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        token = await token_of(store, claim("op-1"))
        await store.commit("shop", head("op-1"), "op-1", token)
        assert await store.namespace("shop") == Namespace(head("op-1"), (claim("op-1"),), by="op-1", last_deploy=1)
        before = kv.revision
        await store.commit("shop", head("op-1"), "op-1", token)
        assert kv.revision == before

    play(story)


def test_a_commit_is_lost_once_the_record_moved_on() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        token = await token_of(store, claim("op-1"))
        await store.free("shop", "op-1")
        with pytest.raises(CommitLost):
            await store.commit("shop", head("op-1"), "op-1", token)
        assert (await store.namespace("shop")).head is None

    play(story)


def test_a_commit_is_lost_when_the_record_moves_between_its_read_and_its_write() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        token = await token_of(store, claim("op-1"))
        late.count = 1
        with pytest.raises(Refused):
            await store.free("shop", "op-1")
        late.before_next = late.deliver
        with pytest.raises(CommitLost):
            await store.commit("shop", head("op-1"), "op-1", token)
        assert await store.namespace("shop") == Namespace()

    play(story)


def test_a_commit_of_another_incarnation_is_lost() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        token = await token_of(store, claim("op-1"))
        with pytest.raises(CommitLost):
            await store.commit("shop", head("op-1"), "op-1", structs.replace(token, incarnation=2))
        assert (await store.namespace("shop")).head is None

    play(story)


def test_a_commit_without_an_answer_is_not_refused() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        token = await token_of(store, claim("op-1"))
        late.count = 1
        with pytest.raises(StoreDown):
            await store.commit("shop", head("op-1"), "op-1", token)
        kv.kill()
        for asking in (store.commit("shop", head("op-1"), "op-1", token), store.settle("shop", "op-1")):
            with pytest.raises(StoreDown):
                await asking

    play(story)


@pytest.mark.parametrize(("arrives", "existed"), list(product(["before", "between", "after", "never"], [False, True])))
def test_what_settle_says_holds_for_ever_whenever_a_late_commit_arrives(arrives: str, existed: bool) -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        before = None
        if existed:
            before = head("op-0")
            await store.commit("shop", before, "op-0", await token_of(store, claim("op-0")))
            await store.free("shop", "op-0")
        token = await token_of(store, claim("op-1"))
        late.count = 1
        with pytest.raises(StoreDown):
            await store.commit("shop", head("op-1", deploy=2), "op-1", token)
        if arrives == "before":
            late.deliver()
        if arrives == "between":
            late.before_next = late.deliver
        said = await store.settle("shop", "op-1")
        if arrives == "after":
            late.deliver()
        now = await store.namespace("shop")
        assert said is (arrives in ("before", "between"))
        assert now.head == (head("op-1", deploy=2) if said else before)
        assert now.claims == (claim("op-1"),)
        written = kv.revision
        assert await store.settle("shop", "op-1") is said
        assert kv.revision == written
        if not said:
            with pytest.raises(CommitLost):
                await store.commit("shop", head("op-1", deploy=2), "op-1", token)

    play(story)


def test_settle_without_an_answer_can_be_asked_again_until_it_has_won() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        token = await token_of(store, claim("op-1"))
        late.count = 2
        with pytest.raises(StoreDown):
            await store.commit("shop", head("op-1"), "op-1", token)
        with pytest.raises(StoreDown):
            await store.settle("shop", "op-1")
        late.held.reverse()
        late.deliver()
        assert await store.settle("shop", "op-1") is False
        assert (await store.namespace("shop")).head is None

    play(story)


def test_settling_a_namespace_that_never_existed_leaves_a_value_that_no_late_claim_gets_over() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        late.count = 1
        with pytest.raises(Refused):
            await store.claim("new", claim("op-1"))
        assert await store.settle("new", "op-1") is False
        late.deliver()
        assert await store.namespace("new") == Namespace(settled="op-1")

    play(story)


def test_an_operation_that_claims_again_after_it_was_settled_is_settled_anew() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        await token_of(store, claim("op-1"))
        assert await store.settle("shop", "op-1") is False
        again = await token_of(store, claim("op-1"))
        late.count = 1
        with pytest.raises(StoreDown):
            await store.commit("shop", head("op-1"), "op-1", again)
        assert await store.settle("shop", "op-1") is False
        late.deliver()
        assert (await store.namespace("shop")).head is None

    play(story)


def test_the_store_is_what_primitives_know_as_records() -> None:
    records: Records = Store(FakeKv())
    assert records


# ------------------------------------------------------------------------------------- the cluster, and closing it


def test_the_cluster_s_own_record_is_claimed_committed_and_settled_like_a_namespace() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        token = await token_of(store, claim("op-1"), CLUSTER)
        assert await store.claim(CLUSTER, claim("op-2")) == claim("op-1")
        named = structs.replace(await store.cluster(), name="prod", mesh=True, claims=())
        await store.commit_cluster(named, "op-1", token)
        assert await store.settle(CLUSTER, "op-1")
        now = await store.cluster()
        assert (now.name, now.mesh, now.by, now.claims) == ("prod", True, "op-1", (claim("op-1"),))
        await store.free(CLUSTER, "op-1")
        assert (await store.claims())[CLUSTER] == ()

    play(story)


def test_nobody_gets_a_claim_in_a_store_that_is_closed() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        await token_of(store, claim("op-1"))
        await token_of(store, claim("op-9"), CLUSTER)
        await store.close("op-9")
        with pytest.raises(Refused) as refused:
            await store.claim("blog", claim("op-2"))
        assert refused.value.code == "store.closed"
        assert await store.claim(CLUSTER, claim("op-2")) == claim("op-9")
        held = {name: [one.operation for one in claims] for name, claims in (await store.claims()).items()}
        assert held == {"shop": ["op-1"], "blog": [], CLUSTER: ["op-9"]}
        await store.open("op-8")
        assert (await store.cluster()).closed == "op-9"
        await store.open("op-9")
        await token_of(store, claim("op-2"), "blog")

    play(story)


def test_a_close_that_was_undone_never_arrives() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        await token_of(store, claim("op-9"), CLUSTER)
        late.count = 1
        with pytest.raises(Refused):
            await store.close("op-9")
        await store.open("op-9")
        late.deliver()
        assert (await store.cluster()).closed == ""

    play(story)


def test_a_close_that_was_undone_is_not_made_again() -> None:
    """By whom the operation was taken over from, and who does not know yet: nobody else would ever open the store."""

    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        await token_of(store, claim("op-9"), CLUSTER)
        await store.open("op-9")
        with pytest.raises(Refused) as refused:
            await store.close("op-9")
        assert refused.value.code == "operation.over"
        await store.free(CLUSTER, "op-9")
        await store.settle(CLUSTER, "op-1")
        with pytest.raises(Refused) as refused:
            await store.close("op-9")
        assert refused.value.code == "operation.over"

    play(story)
