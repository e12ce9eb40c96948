"""Operations as those who ask for them see them: ids, aborts, timeouts, resuming, previews, and what is told."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from daemon.operations import Operations
from daemon.undertaking import PLANS
from daemon.wire import Event, How, Refused, Stuck, Success, TakenBack
from tests.law.cases import Case, shop
from tests.law.law import prepared
from tests.law.scenarios import GENERATION, case
from tests.law.world import Crash, Cut, Halt, World, ask, boot, ignore, restart, seen

ID = "op-cut"
REPLACE = shop(db=2)
Test = Callable[[World, Operations], Coroutine[Any, Any, None]]


def scenario(test: Test, beginning: Case | None = None) -> None:
    """In a world where shop is deployed, under a daemon that has just started."""
    world = prepared(beginning or case("replace a writer")).copy()

    async def whole() -> None:
        async with asyncio.timeout(20):
            await test(world, boot(world))

    asyncio.run(whole())


def asked(operations: Operations, request: Any = REPLACE, **how: Any) -> asyncio.Task[Success]:
    return asyncio.create_task(operations.mutate(request, How(op_id=ID, **how), "uid 0", ignore))


async def halted(world: World, operations: Operations, at: str, **how: Any) -> tuple[Halt, asyncio.Task[Success]]:
    halt = world.halt = Halt(at)
    task = asked(operations, **how)
    await halt.reached.wait()
    return halt, task


def test_the_same_request_under_the_same_id_attaches() -> None:
    async def test(world: World, operations: Operations) -> None:
        halt, first = await halted(world, operations, "engine create")
        heard: list[Event] = []
        second = asyncio.create_task(operations.mutate(REPLACE, How(op_id=ID), "uid 0", heard.append))
        await asyncio.sleep(0)
        halt.go.set()
        assert await first == await second
        assert [heard[0].kind, heard[-1].kind] == ["planned", "finished"]
        assert len(operations.rows(all=True)) == 2  # the first deploy, and this one

    scenario(test)


def test_another_request_under_the_same_id_is_refused() -> None:
    async def test(world: World, operations: Operations) -> None:
        halt, first = await halted(world, operations, "engine create")
        with pytest.raises(Refused, match="another request has it"):
            await asked(operations, shop(db=3))
        halt.go.set()
        await first
        with pytest.raises(Refused, match="another request has it"):
            await asked(operations, shop(db=3))

    scenario(test)


@pytest.mark.parametrize("again", [lambda world, operations: operations, lambda world, operations: boot(world)])
def test_after_its_end_the_same_answer_is_given(again: Callable[[World, Operations], Operations]) -> None:
    async def test(world: World, operations: Operations) -> None:
        done = await asked(operations)
        touches = world.touches
        assert await asked(again(world, operations)) == done
        assert world.touches == touches

    scenario(test)


def test_after_it_was_taken_back_the_same_failure_is_told() -> None:
    async def test(world: World, operations: Operations) -> None:
        with pytest.raises(TakenBack) as first:
            await asked(operations, shop(db=666))
        with pytest.raises(TakenBack) as second:
            await asked(boot(world), shop(db=666))
        assert (second.value.error, second.value.operation) == (first.value.error, ID)

    scenario(test)


@pytest.mark.parametrize("id", ["Op", "-op", "a/b", "op.1", "x" * 41, ".."])
def test_an_id_that_is_no_name_is_refused(id: str) -> None:
    async def test(world: World, operations: Operations) -> None:
        with pytest.raises(Refused, match="cannot use this operation id"):
            await operations.mutate(REPLACE, How(op_id=id), "uid 0", ignore)
        assert world.touches == 0

    scenario(test)


@pytest.mark.parametrize("at", ["put operations", "engine stop", "zfs clone", "engine create", "engine start"])
def test_an_abort_before_the_commit_takes_it_back(at: str) -> None:
    async def test(world: World, operations: Operations) -> None:
        before = seen(world)
        _, task = await halted(world, operations, at)
        assert (await operations.abort(ID)).kind == "aborted"
        with pytest.raises(TakenBack) as ending:
            await task
        assert ending.value.code == "operation.aborted"
        assert seen(world) == before
        with pytest.raises(Refused, match="it is not running"):
            await operations.abort(ID)

    scenario(test)


def test_a_second_abort_does_not_cut_what_takes_it_back() -> None:
    async def test(world: World, operations: Operations) -> None:
        before = seen(world)
        _, task = await halted(world, operations, "engine create")
        both = [asyncio.create_task(operations.abort(ID)) for _ in range(2)]
        first, second = await asyncio.gather(*both, return_exceptions=True)
        assert isinstance(first, Success)
        assert isinstance(second, Refused)
        with pytest.raises(TakenBack):
            await task
        assert seen(world) == before

    scenario(test)


def test_an_abort_before_it_even_began() -> None:
    async def test(world: World, operations: Operations) -> None:
        before = seen(world)
        task = asked(operations)
        while ID not in operations.running:
            await asyncio.sleep(0)
        assert (await operations.abort(ID)).kind == "aborted"
        with pytest.raises(Refused) as ending:
            await task
        assert ending.value.code == "operation.aborted"
        assert (seen(world), operations.running) == (before, {})

    scenario(test)


def test_an_abort_while_it_is_claiming() -> None:
    async def test(world: World, operations: Operations) -> None:
        before = seen(world)
        _, task = await halted(world, operations, "put namespaces")
        assert (await operations.abort(ID)).kind == "aborted"
        with pytest.raises(Refused):
            await task
        assert seen(world) == before
        assert operations.story(ID) is None

    scenario(test)


def test_an_abort_after_the_commit_is_refused() -> None:
    async def test(world: World, operations: Operations) -> None:
        halt, task = await halted(world, operations, "engine remove")
        with pytest.raises(Refused) as refused:
            await operations.abort(ID)
        assert refused.value.code == "operation.committed"
        halt.go.set()
        assert (await task).kind == "deployed"

    scenario(test)


def test_what_is_being_resumed_cannot_be_aborted() -> None:
    async def test(world: World, operations: Operations) -> None:
        world.zfs.busy.add(GENERATION)
        with pytest.raises(Stuck):
            await asked(operations, shop(db=666))
        world.zfs.busy.clear()
        halt = world.halt = Halt("zfs destroy")
        task = asyncio.create_task(operations.resume(ID, ignore))
        await halt.reached.wait()
        with pytest.raises(Refused, match="on its way back already"):
            await operations.abort(ID)
        halt.go.set()
        with pytest.raises(TakenBack):
            await task

    scenario(test)


def test_a_deploy_that_changes_nothing_is_done_even_if_it_is_aborted() -> None:
    async def test(world: World, operations: Operations) -> None:
        before = seen(world)
        _, task = await halted(world, operations, "put operations", request=shop())
        with pytest.raises(Refused, match="it was done before"):
            await operations.abort(ID)
        assert (await task).kind == "deployed"
        assert seen(world) == before

    scenario(test)


def test_its_time_is_over_before_the_commit() -> None:
    async def test(world: World, operations: Operations) -> None:
        before = seen(world)
        _, task = await halted(world, operations, "engine create")
        with pytest.raises(TakenBack):
            await asked(operations, timeout=0.01)
        with pytest.raises(TakenBack):
            await task
        assert seen(world) == before

    scenario(test)


def test_its_time_is_over_after_the_commit() -> None:
    async def test(world: World, operations: Operations) -> None:
        halt, _ = await halted(world, operations, "engine remove")
        with pytest.raises(Stuck) as detached:
            await asked(operations, timeout=0.01)
        assert (detached.value.code, detached.value.operation) == ("operation.detached", ID)
        halt.go.set()
        assert (await operations.resume(ID, ignore)).kind == "deployed"

    scenario(test)


def test_resuming_what_is_stuck() -> None:
    async def test(world: World, operations: Operations) -> None:
        before = seen(world)
        world.zfs.busy.add(GENERATION)
        for attempt in (asked(operations, shop(db=666)), operations.resume(ID, ignore)):
            with pytest.raises(Stuck) as stuck:
                await attempt
            assert stuck.value.operation == ID
        assert [row.state for row in operations.rows(all=False)] == ["stuck"]
        with pytest.raises(Refused, match="it is not running"):
            await operations.abort(ID)
        world.zfs.busy.clear()
        for attempt in (operations.resume(ID, ignore), operations.resume(ID, ignore)):
            with pytest.raises(TakenBack, match="was not ready"):
                await attempt
        assert operations.rows(all=False) == []
        assert seen(world) == before

    scenario(test)


def test_what_met_a_machine_before_it_was_back_goes_on_by_itself_once_it_is_stuck() -> None:
    async def test(world: World, operations: Operations) -> None:
        before = seen(world)
        world.zfs.busy.add(GENERATION)
        halt = world.halt = Halt("engine take back")
        effort = asked(operations, shop(db=666))
        await halt.reached.wait()
        operations.carry_on()
        await asyncio.sleep(0.01)
        assert not effort.done()
        halt.go.set()
        with pytest.raises(Stuck):
            await effort
        world.zfs.busy.clear()
        while operations.rows(all=False):
            await asyncio.sleep(0.01)
        assert seen(world) == before

    scenario(test)


def test_resuming_what_never_was() -> None:
    async def test(world: World, operations: Operations) -> None:
        with pytest.raises(Refused) as refused:
            await operations.resume("op-never", ignore)
        assert refused.value.code == "operation.missing"

    scenario(test)


def test_two_who_resume_one_whose_journal_is_lost_resume_it_once() -> None:
    async def test(world: World, operations: Operations) -> None:
        world.zfs.busy.add(GENERATION)
        with pytest.raises(Stuck):
            await asked(operations, shop(db=666))
        world.zfs.busy.clear()
        (world.disk / f"operations/{ID}.jsonl").unlink()
        both = await asyncio.gather(*(operations.resume(ID, ignore) for _ in range(2)), return_exceptions=True)
        assert [type(each) for each in both] == [TakenBack, TakenBack]
        assert (world.disk / f"operations/{ID}.jsonl").read_bytes().count(b'"request"') == 1

    scenario(test)


def test_an_id_whose_journal_is_lost_is_not_used_again() -> None:
    async def test(world: World, operations: Operations) -> None:
        await asked(operations)
        after = seen(world)
        (world.disk / f"operations/{ID}.jsonl").unlink()
        with pytest.raises(Refused) as refused:
            await asked(operations)
        assert refused.value.code == "operation.exists"
        assert seen(world) == after

    scenario(test)


def test_an_id_that_is_used_again_leaves_the_claim_of_the_first() -> None:
    async def test(world: World, operations: Operations) -> None:
        world.zfs.busy.add(GENERATION)
        with pytest.raises(Stuck):
            await asked(operations, shop(db=666))
        (world.disk / f"operations/{ID}.jsonl").unlink()
        with pytest.raises(Refused):
            await asked(operations, shop(db=666))
        record = await operations.means.store.namespace("shop")
        assert [claim.operation for claim in record.claims] == [ID]

    scenario(test)


def test_a_preview_touches_nothing() -> None:
    async def test(world: World, operations: Operations) -> None:
        before, journals = seen(world), list(world.disk.rglob("*"))
        shown = await operations.mutate(shop(db=2), How(preview=True), "uid 0", ignore)
        assert (shown.kind, shown.operation) == ("preview", None)
        says = [step["says"] for step in shown.result["steps"]]
        assert any(words.startswith("stop shop-db-1") for words in says)
        assert says[shown.result["commit"]] == "commit deploy 2 of shop"
        assert (world.touches, seen(world), list(world.disk.rglob("*"))) == (0, before, journals)

    scenario(test)


def test_a_preview_is_refused_as_the_change_would_be() -> None:
    async def test(world: World, operations: Operations) -> None:
        world.instances.unknown.add("web:9")
        for how in (How(preview=True), How(op_id=ID)):
            with pytest.raises(Refused) as refused:
                await operations.mutate(shop(web="9"), how, "uid 0", ignore)
            assert refused.value.code == "image.missing"
        with pytest.raises(Refused, match="deploy 7 was expected, and it is at deploy 1"):
            await operations.mutate(shop(web="9"), How(preview=True, expect=7), "uid 0", ignore)

    scenario(test)


def test_what_is_told_of_one_that_runs_and_of_one_that_is_over() -> None:
    async def test(world: World, operations: Operations) -> None:
        halt, task = await halted(world, operations, "engine create")
        [row] = operations.rows(all=False)
        assert (row.id, row.state, row.namespaces, row.ended_at) == (ID, "running", ["shop"], None)
        assert row.says.endswith("and see it ready")
        heard: list[Event] = []
        following = asyncio.create_task(operations.show(ID, heard.append, follow=True))
        await asyncio.sleep(0)
        halt.go.set()
        await task
        shown = (await following).result
        assert shown["operation"]["state"] == "done"
        assert [event["kind"] for event in shown["events"]] == [event.kind for event in heard]
        assert shown["answer"]["answer"]["kind"] == "deployed"
        assert operations.rows(all=False) == []
        with pytest.raises(Refused) as refused:
            await operations.show("op-never", ignore, follow=False)
        assert refused.value.code == "operation.missing"

    scenario(test)


NEWER = [
    ({"plans": PLANS + 1}, "format 2"),
    ({"plan": {"operation": ID}}, "missing required field"),
    ({"request": {"type": "levitate"}}, "cannot levitate"),
    ({"claims": "all of them"}, r"Expected `object`"),
]


def rewritten(world: World, **heading: Any) -> bytes:
    """Make the journal one of version 9.9, and return what is in it now."""
    file = world.disk / f"operations/{ID}.jsonl"
    first, rest = file.read_bytes().split(b"\n", 1)
    file.write_bytes(msgspec.json.encode({**msgspec.json.decode(first), "version": "9.9", **heading}) + b"\n" + rest)
    return file.read_bytes()


@pytest.mark.parametrize(("heading", "why"), NEWER)
def test_what_another_version_planned_is_stuck_until_that_version_is_there(heading: dict[str, Any], why: str) -> None:
    world = prepared(case("replace a writer")).copy()
    world.cut = Cut(8, "after", Crash)
    assert ask(world, REPLACE, ID) == "crashed"
    world.cut, cut = None, seen(world)
    mine = (world.disk / f"operations/{ID}.jsonl").read_bytes()
    theirs = rewritten(world, **heading)

    async def started() -> None:
        operations = boot(world)
        await operations.bring_to_an_end()
        await asyncio.gather(*(each.task for each in operations.running.values() if each.task), return_exceptions=True)
        with pytest.raises(Stuck, match=why) as stuck:
            await operations.resume(ID, ignore)
        assert (stuck.value.code, "ployz 9.9" in stuck.value.hint) == ("operation.unreadable", True)
        with pytest.raises(Refused) as refused:
            await operations.mutate(shop(web="2"), How(op_id="op-second"), "uid 0", ignore)
        assert refused.value.code == "claim.stuck"

    asyncio.run(started())
    file = world.disk / f"operations/{ID}.jsonl"
    assert (seen(world), file.read_bytes()) == (cut, theirs)
    file.write_bytes(mine)
    assert restart(world, ID) == "taken back"


def test_what_another_version_planned_in_the_same_way_is_carried_on() -> None:
    world = prepared(case("replace a writer")).copy()
    before, world.cut = seen(world), Cut(8, "after", Crash)
    assert ask(world, REPLACE, ID) == "crashed"
    world.cut = None
    rewritten(world)
    assert restart(world, ID) == "taken back"
    assert seen(world) == before
