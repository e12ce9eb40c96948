"""Failures of the world, each brought about in a machine of fakes by what causes it, and what it is called then."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from daemon import problems
from daemon.primitive import NotSo
from daemon.problems import refused
from daemon.records import Reservation
from daemon.store import Store
from daemon.wire import (
    Branch,
    Deploy,
    How,
    Mutation,
    Problem,
    Promote,
    RegistryLogin,
    Rollback,
    Scale,
    SecretSet,
    VolumePurge,
    VolumeSnapshot,
)
from runtime.command import CommandError, run
from tests.fakes.kv import FakeKv
from tests.fakes.zfs import Kept
from tests.law.cases import Case, shop
from tests.law.full import TORN, full, sizes
from tests.law.law import ID, assert_same, prepared, unclaimed
from tests.law.scenarios import GENERATION, _fence_at, case
from tests.law.world import Crash, Cut, Failed, World, ask, boot, ignore, seen

Provoke = Callable[[World], None]
REPLACE = case("replace a writer")
NEW = f"shop-db-1-{ID}"


def ended(effort: Coroutine[Any, Any, object]) -> Problem:
    with pytest.raises(Problem) as caught:
        asyncio.run(effort)
    return caught.value


def asked(world: World, request: Mutation = REPLACE.ask) -> Problem:
    return ended(boot(world).mutate(request, How(op_id=ID), "ann", ignore))


def touches(which: Case) -> list[str]:
    """What the case touches, in order, uncut."""
    world, told = prepared(which).copy(), list[str]()
    witness = world._witness

    def note(what: str) -> None:
        told.append(what)
        witness(what)

    world._witness = note  # type: ignore[method-assign]
    assert ask(world, which.ask, ID) == "done"
    return told


def fails_at(beginning: str) -> Provoke:
    """The first touch whose words begin so fails, in its tool's own way."""

    def provoke(world: World) -> None:
        at = next(at for at, what in enumerate(touches(REPLACE), 1) if what.startswith(beginning))
        world.cut = Cut(at, "before", Failed)

    return provoke


def a_stranger_has_the_name(world: World) -> None:
    world.instances.stranger(NEW)


def a_stranger_has_the_dataset(world: World) -> None:
    world.zfs._add(GENERATION, Kept(0, {"row": b"of another"}, marks={"operation": "op-another"}))


def the_pool_is_gone(world: World) -> None:
    world.zfs.down = True


def another_writes_before_the_commit(world: World) -> None:
    _fence_at(world, 1 + next(at for at, what in enumerate(touches(REPLACE), 1) if what.startswith("zfs clone")))


def the_engine_ignores_a_limit(world: World) -> None:
    world.instances.ignores.add("cap_add")


def never_ready(world: World) -> None:
    world.instances.programs["db:2"] = world.instances.programs["db:666"]


PROVOKED: list[tuple[Provoke, str]] = [
    (a_stranger_has_the_name, "instance.foreign"),
    (never_ready, "instance.not_ready"),
    (a_stranger_has_the_dataset, "volume.foreign"),
    (another_writes_before_the_commit, "commit.lost"),
    (fails_at("zfs clone"), "zfs.failed"),
    (fails_at("engine start"), "engine.failed"),
    (fails_at("nft load"), "serving.failed"),
]


@pytest.mark.parametrize(("provoke", "code"), PROVOKED, ids=[code for _, code in PROVOKED])
def test_what_fails_is_called_by_its_code_and_taken_back(provoke: Provoke, code: str) -> None:
    world = prepared(REPLACE).copy()
    provoke(world)
    before = seen(world)
    failure = asked(world)
    assert (failure.code, failure.state) == (code, "taken_back"), failure
    assert failure.why
    assert_same(seen(world), before, f"{code}, and")


def test_a_setting_that_the_engine_ignores_fails_the_deploy() -> None:
    world = prepared(REPLACE).copy()
    the_engine_ignores_a_limit(world)
    before = seen(world)
    failure = asked(world, shop(web="2", more='cap_add = ["NET_ADMIN"]'))
    assert (failure.code, failure.state) == ("instance.setting", "taken_back")
    assert_same(seen(world), before, "and")


REFUSED: list[tuple[Mutation, str]] = [
    (SecretSet("shop", "no-name", b"x"), "secret.name"),
    (RegistryLogin("http://x/", "ann", b"x"), "registry.name"),
    (RegistryLogin("example.com", "", b"x"), "registry.credentials"),
    (VolumeSnapshot("shop", "data", "No Name"), "name.invalid"),
    (VolumePurge("shop", "data"), "purge.what"),
    (Branch("shop", "shop"), "branch.itself"),
    (Branch("shop", "pr-42", volumes={"dta": "fresh"}), "branch.unknown"),
    (Branch("shop", "pr-42", sets={"wbe.replicas": "2"}), "set.service"),
    (Branch("shop", "pr-42", sets={"web": "2"}), "set.key"),
    (Promote("shop", "shop"), "promote.itself"),
    (VolumePurge("shop", "data", kept="op-none"), "generation.missing"),
]


@pytest.mark.parametrize(("request_", "code"), REFUSED, ids=[code for _, code in REFUSED])
def test_what_makes_no_sense_is_refused_by_its_code(request_: Mutation, code: str) -> None:
    world = prepared(REPLACE).copy()
    before = seen(world)
    failure = asked(world, request_)
    assert (failure.code, failure.state) == (code, "refused"), failure
    assert_same(unclaimed(seen(world)), unclaimed(before), f"{code}, and")


def test_what_has_other_volumes_is_not_promoted() -> None:
    world = prepared(REPLACE).copy()
    more = '[services.db]\nimage = "db:1"\nvolumes = { more = "/data" }\n[volumes.more]\n'
    assert ask(world, Deploy(f'namespace = "blog"\n{more}'), "op-blog") == "done"
    failure = asked(world, Promote("blog", "shop"))
    assert (failure.code, failure.state) == ("promote.volumes", "refused")


def test_a_scale_that_no_manifest_can_say_tells_what_could_not_be_done() -> None:
    failure = asked(prepared(REPLACE).copy(), Scale("shop", "db", 2))
    assert (failure.code, failure.what, failure.state) == ("manifest.volume", "cannot scale shop/db", "refused")


def test_what_lacks_the_port_that_the_target_publishes_is_not_promoted() -> None:
    world = prepared(REPLACE).copy()
    assert ask(world, shop(more='publish = { 8080 = "web" }'), "op-published") == "done"
    assert ask(world, Branch("shop", "pr-42"), "op-branch") == "done"
    renamed = shop(namespace="pr-42").manifest.replace("ports = { web = 80 }", "ports = { http = 80 }")
    assert ask(world, Deploy(renamed), "op-renamed") == "done"
    failure = asked(world, Promote("pr-42", "shop"))
    assert (failure.code, failure.what, failure.state) == ("manifest.reference", "cannot promote pr-42", "refused")
    assert "services.web.publish.8080" in failure.why


def test_a_secret_that_cannot_be_shown_fails_the_deploy() -> None:
    seeing = case("see a secret")
    world = prepared(seeing).copy()
    world.cut = Cut(
        next(at for at, what in enumerate(touches(seeing), 1) if what.startswith("vault")), "before", Failed
    )
    failure = asked(world, seeing.ask)
    assert (failure.code, failure.state) == ("secret.failed", "taken_back")


def test_without_its_pool_everything_is_refused() -> None:
    world = prepared(REPLACE).copy()
    the_pool_is_gone(world)
    failure = asked(world)
    assert (failure.code, failure.state) == ("pool.down", "refused")
    world.zfs.down = False
    assert_same(unclaimed(seen(world)), unclaimed(seen(prepared(REPLACE))), "and")


def test_a_point_whose_snapshot_is_gone_is_not_rolled_back_to() -> None:
    world = prepared(case("roll back")).copy()
    before = seen(world)
    lost = {name: world.zfs.kept.pop(name) for name in list(world.zfs.kept) if "@" in name}
    failure = asked(world, Rollback("shop"))
    assert (failure.code, failure.state) == ("deploy.data_missing", "refused")
    assert "--code-only" in failure.hint
    world.zfs.kept |= lost
    assert_same(seen(world), before, "and")


def test_what_was_cut_short_is_taken_back_and_says_so() -> None:
    world = prepared(REPLACE).copy()
    fails_at("engine create")(world)
    assert world.cut
    world.cut = Cut(world.cut.at, "after", Crash)
    assert ask(world, REPLACE.ask, ID) == "crashed"
    world.cut = None
    failure = ended(boot(world).resume(ID, ignore))
    assert (failure.code, failure.state) == ("operation.cut", "taken_back")


def test_what_cannot_be_taken_back_is_stuck() -> None:
    failing = case("a candidate that never gets ready")
    world = prepared(failing).copy()
    world.zfs.busy.add(GENERATION)
    failure = asked(world, failing.ask)
    assert (failure.code, failure.state) == ("operation.stuck", "stuck")
    assert ID in failure.hint


@pytest.mark.parametrize("line", [0, 3])
def test_a_journal_that_cannot_be_written_is_told(line: int) -> None:
    world = prepared(REPLACE).copy()
    with full(sizes(REPLACE)[line] + TORN):
        failure = asked(world)
    assert (failure.code, failure.state) == ("journal.unwritable", "stuck" if line else "refused")


def test_a_record_that_others_change_all_the_time() -> None:
    class Contested(FakeKv):
        async def put(self, key: str, value: bytes, revision: int) -> int:
            """Somebody else is always a moment faster."""
            now = await super().put(key, msgspec.json.encode(Reservation("", "")), revision)
            assert now > revision
            return await super().put(key, value, revision)

    assert ended(Store(Contested()).reserve("port", "80", "op-1", "shop")).code == "record.moved"


def test_a_program_of_the_machine_that_fails() -> None:
    with pytest.raises(CommandError) as failed:
        asyncio.run(run("false"))
    assert refused(failed.value, "cannot deploy shop").code == "command.failed"


def test_a_promise_that_does_not_hold() -> None:
    world = prepared(REPLACE).copy()

    assert ask(world, REPLACE.ask, ID) == "done"
    operations = boot(world)
    story = operations.story(ID)
    assert story
    world.instances._stop(NEW)
    primitive, node = operations.means.primitives["deploy"], operations.means.engine.node
    plan = msgspec.convert(story.heading.plan, primitive.Plan)
    with pytest.raises(NotSo) as failure:
        asyncio.run(primitive.verify(plan, node, story))
    assert problems.code(failure.value) == "verify.differs"
