"""What no cut alone brings about: strangers in the way, undos that fail, others who write, clients who go on."""

import asyncio
import base64
from collections.abc import Callable
from itertools import product

import msgspec
from msgspec.structs import replace

from daemon.journal import Story
from daemon.records import Namespace, Sealed
from daemon.wire import NamespaceRm, Run, VolumeFork, VolumeImport, VolumePurge
from dataplane.dataset import Layout
from dataplane.entry import Entry
from tests.fakes.engine import Instance
from tests.fakes.zfs import Kept
from tests.law.cases import CASES, Case, shop
from tests.law.law import FAILURES, ID, OVER, WHENS, assert_same, prepared, resolved, unclaimed, uncut
from tests.law.sound import head_of, points_of, require_sound
from tests.law.world import ROOT, Crash, Cut, Failed, Iron, World, ask, boot, founded, restart, run, seen

GENERATION = f"{ROOT}/shop/data/{ID}"


def case(name: str) -> Case:
    [found] = [case for case in CASES if case.name == name]
    return found


def an_undo_that_fails_stops_no_other_and_is_told() -> None:
    failing = case("a candidate that never gets ready")
    world = prepared(failing).copy()
    before = seen(world)
    world.zfs.busy.add(GENERATION)
    assert ask(world, failing.ask, ID) == "stuck"
    now = unclaimed(seen(world))
    assert now.pop("datasets of m1") != before["datasets of m1"]
    assert_same(now, unclaimed(before), "an undo fails, and of the others")
    assert restart(world, ID) == "stuck"
    assert ID in world.holders(), "it is stuck, but its claim is gone"
    world.zfs.busy.clear()
    assert restart(world, ID) == "taken back"
    assert_same(seen(world), before, "the undo succeeds at last, but")


def a_dataset_of_another_operation_in_the_way_is_left_alone() -> None:
    replacing = case("replace a writer")
    world = prepared(replacing).copy()
    world.zfs._add(GENERATION, Kept(0, {"row": b"of another"}, marks={"operation": "op-another"}))
    before = seen(world)
    assert ask(world, replacing.ask, ID) == "taken back"
    assert_same(seen(world), before, "a stranger is in the way, and")


def a_strangers_instance_in_the_way_is_left_alone() -> None:
    replacing = case("replace a writer")
    world = prepared(replacing).copy()
    world.instances.stranger(f"shop-db-1-{ID}")
    before = seen(world)
    assert ask(world, replacing.ask, ID) == "taken back"
    assert_same(seen(world), before, "a stranger is in the way, and")


def one_that_was_fenced_never_commits() -> None:
    replacing = case("replace both")
    for at in range(1, uncut(replacing)[1] + 1):
        world = prepared(replacing).copy()
        before, fenced = seen(world), _fence_at(world, at)
        ending = ask(world, replacing.ask, ID)
        assert ending == ("taken back" if fenced else "done"), f"another wrote the record at touch {at}: {ending}"
        if fenced:
            assert_same(seen(world), before, f"fenced at touch {at}, and")


def _fence_at(world: World, at: int) -> list[int]:
    """Have another write the record between the claim and the commit, as one that takes over does. Whether it did."""
    done: list[int] = []

    def write(touch: int) -> None:
        head = head_of(world)
        if touch == at and ID in world.holders() and not (head and head.operation == ID):
            record = msgspec.json.decode(world.kv.entries["namespaces.shop"].value, type=Namespace)
            world.kv.revision += 1
            value = msgspec.json.encode(replace(record, settled=ID))
            world.kv.entries["namespaces.shop"] = Entry(value, world.kv.revision)
            done.append(touch)

    world.meanwhile = write
    return done


def an_instance_that_dies_after_the_commit_is_told() -> None:
    replacing = case("replace a writer")
    world, id = prepared(replacing).copy(), f"shop-db-1-{ID}"

    def die(_touch: int) -> None:
        head = head_of(world)
        if head and head.operation == ID and world.instances.instances[id].up:
            world.instances._stop(id)

    world.meanwhile = die
    assert ask(world, replacing.ask, ID) == "stuck"
    world.meanwhile = lambda touch: None
    world.instances._start(world.instances.instances[id])
    assert restart(world, ID) == "done"
    assert_same(seen(world), uncut(replacing)[2], "it was put right, but")


def whoever_comes_next_resolves_first() -> None:
    replacing, then = case("replace a writer"), shop(db=3, web="9")
    worlds = {"before": prepared(replacing).copy(), "after": prepared(replacing).copy()}
    ask(worlds["after"], replacing.ask, ID)
    wanted = {}
    for name, world in worlds.items():
        assert ask(world, then, "op-next") == "done"
        wanted[name] = seen(world)
    for at in range(1, uncut(replacing)[1] + 1):
        world = prepared(replacing).copy()
        world.cut = Cut(at, "after", Crash)
        assert ask(world, replacing.ask, ID) == "crashed"
        world.cut = None
        assert ask(world, then, "op-next") == "done", f"after a crash at touch {at}"
        file = world.disk / "operations" / f"{ID}.jsonl"
        story = Story.read(file) if file.exists() else None
        name = "after" if story and story.has("committed") else "before"
        assert_same(seen(world), wanted[name], f"crashed at touch {at}, then another:")
        require_sound(world, f"crashed at touch {at}, then another:")


def a_lost_journal_is_made_up_from_the_record() -> None:
    replacing = case("replace both")
    before, after = seen(prepared(replacing)), uncut(replacing)[2]
    for at in range(1, uncut(replacing)[1] + 1):
        world = prepared(replacing).copy()
        world.cut = Cut(at, "after", Crash)
        assert ask(world, replacing.ask, ID) == "crashed"
        world.cut = None
        (world.disk / f"operations/{ID}.jsonl").unlink(missing_ok=True)
        ending, head = restart(world, ID), head_of(world)
        assert ending in OVER
        wanted = after if head and head.operation == ID else before
        assert_same(seen(world), wanted, f"crashed at touch {at}, its journal lost: {ending}, but")
        require_sound(world, f"crashed at touch {at}, its journal lost: {ending}, but")


def no_row_that_a_client_was_promised_is_lost() -> None:
    for name in ("replace a writer", "a hook that changes the data", "a hook that fails after changing the data"):
        require_no_row_lost(case(name))


def require_no_row_lost(writing: Case, every: int = 1) -> None:
    """Wherever it is cut while a client writes."""
    for at in range(0, uncut(writing)[1] + 1, every):
        for failure in (Failed, Crash):
            _require_rows(writing, Cut(at, "before", failure))


def _require_rows(writing: Case, cut: Cut) -> None:
    world = prepared(writing).copy()
    client = Client(world)
    world.meanwhile = client.write
    ending = resolved(world, writing, cut, 0)
    assert ending in OVER
    head = head_of(world)
    assert head
    volume = head.volumes["data"]
    there = world.iron(volume.machine).zfs.kept[f"{ROOT}/shop/data/{volume.generation}"].content
    lost = set(client.promised) - set(there)
    assert client.promised, "nobody wrote anything"
    assert not lost, f"{writing.name}, {cut}: {ending}, and these rows are lost: {sorted(lost)}"


def a_branch_keeps_its_data_when_its_source_is_purged() -> None:
    """A clone in another namespace of what is kept: it takes over what it came from, wherever the purge is cut."""
    purging = case("remove and purge")
    clone = f"{ROOT}/branch/data/op-branch"

    def branched() -> World:
        world = prepared(purging).copy()
        kept = [name for name in world.zfs.kept if "@" in name]
        asyncio.run(
            boot(world).means.engine.node.datasets.clone(kept[0], clone, "op-branch", {"state": "current"}, Layout())
        )
        world.touches = 0
        return world

    content = dict(branched().zfs.kept[clone].content)
    world = branched()
    assert ask(world, purging.ask, ID) == "done"
    for at in range(1, world.touches + 1):
        world = branched()
        world.cut = Cut(at, "after", Crash)
        ending = ask(world, purging.ask, ID)
        world.cut = None
        if restart(world, ID) != "done":
            assert head_of(world), f"crashed at touch {at}: {ending}, and the namespace is gone"
            continue
        left = [
            name for name in world.zfs.kept if name.startswith(f"{ROOT}/") and not name.startswith(f"{ROOT}/branch")
        ]
        assert left == [], f"crashed at touch {at}: {left} of the namespace is left"
        assert world.zfs.kept[clone].content == content, f"crashed at touch {at}: the branch has lost its data"
        assert [name for name in world.zfs.kept if "@" in name] == [], "what only the purged namespace needed is left"


def a_point_beyond_keep_is_gone() -> None:
    world = prepared(case("a deploy that forgets")).copy()
    assert ask(world, case("a deploy that forgets").ask, ID) == "done"
    assert [point.head.deploy for point in points_of(world)] == [2]


def what_was_removed_is_there_no_more() -> None:
    removing = case("remove")
    world = prepared(removing).copy()
    assert ask(world, removing.ask, ID) == "done"
    record = msgspec.json.decode(world.kv.entries["namespaces.shop"].value, type=Namespace)
    assert (record.head, record.last_deploy) == (None, 1)
    assert not world.names.hosts
    assert not world.gateway.loaded
    assert not world.firewall.maps.everybody
    assert ask(world, NamespaceRm("shop"), "op-again") == "refused"
    assert ask(world, shop(), "op-anew") == "done"
    head = head_of(world)
    assert head
    assert (head.deploy, world.zfs.kept[f"{ROOT}/shop/data/op-anew"].content) == (2, {})


def an_epoch_never_comes_again() -> None:
    """Also where nothing of the volume is left, and whoever gives it its name again."""
    back = (shop(), VolumeImport("shop", "data"), VolumeFork("other", "data", "shop", "data"))
    for request in back:
        world = founded()
        assert ask(world, shop(namespace="other"), "op-other") == "done"
        for turn, again in enumerate((shop(), request, shop()), 1):
            assert ask(world, again, f"op-{turn}") == "done"
            head = head_of(world)
            assert head
            assert head.volumes["data"].epoch == turn
            assert ask(world, NamespaceRm("shop", purge=True), f"op-rm-{turn}") == "done"
            require_sound(world, f"purged {turn} times:")
        world.close()


class Client:
    """It connects to the database at its stable address, and stays connected to who answered while that runs."""

    def __init__(self, world: World) -> None:
        self.world, self.promised = world, list[str]()
        self.connected: set[str] = set()

    def write(self, touch: int) -> None:
        """Write a row wherever it is connected to; it is promised once it is written."""
        self.connected |= self._answering()
        self.connected = {id for id in self.connected if id in self._running()}
        row = f"written at touch {touch}"
        for id in self.connected:
            there, instance = self._running()[id]
            for mount in instance.specification.mounts:
                there.zfs.write(mount.source.removeprefix("/fake/"), row, b"committed")
                self.promised.append(row)

    def _answering(self) -> set[str]:
        head = head_of(self.world)
        address = head.services["db"].address if head else None
        ips = {ip for ip, _ in self.world.firewall.who_answers(None, address or "", 5432)}
        return {id for id, (_, instance) in self._running().items() if instance.specification.ip in ips}

    def _running(self) -> dict[str, tuple[Iron, Instance]]:
        """On whatever machine."""
        found = ((iron, id, one) for iron in self.world.irons() for id, one in iron.instances.instances.items())
        return {id: (iron, one) for iron, id, one in found if one.up}


def after_a_boot_runs_what_was_committed() -> None:
    for name in ("replace both", "start a writer", "replace both while the writer is stopped"):
        world = prepared(case(name)).copy()
        before = seen(world)
        world.power_cut()
        world.touches = 0
        assert restart(world, "op-0") == "done"
        assert_same(seen(world), before, f"{name}: after a boot")
        for at in range(1, world.touches + 1):
            again = prepared(case(name)).copy()
            again.power_cut()
            again.cut = Cut(at, "after", Crash)
            assert restart(again, "op-0") == "crashed"
            again.cut = None
            assert restart(again, "op-0") == "done"
            assert_same(seen(again), before, f"{name}: crashed at touch {at} of the start after a boot, then again:")


def what_a_power_cut_leaves_open_ends_as_before_or_as_after() -> None:
    for name in ("replace both", "a hook that changes the data", "roll back code and schema", "stop a writer"):
        cutting = case(name)
        before, after = seen(prepared(cutting)), uncut(cutting)[2]
        for at in range(1, uncut(cutting)[1] + 1):
            world = prepared(cutting).copy()
            world.cut = Cut(at, "after", Crash)
            assert ask(world, cutting.ask, ID) == "crashed"
            world.cut = None
            world.power_cut()
            ending = restart(world, ID)
            said = f"{name}: the power was cut at touch {at}: {ending}, but"
            assert ending in OVER, said
            assert_same(seen(world), after if ending == "done" else before, said)
            require_sound(world, said)


def a_generation_that_is_not_the_committed_one_is_not_started_after_a_boot() -> None:
    replacing = case("replace a writer")
    for marks in ({"epoch": "7"}, {"state": "kept"}):
        world = prepared(replacing).copy()
        before = {row[0]: row[1] for row in seen(world)["instances of m1"]}
        world.zfs.kept[f"{ROOT}/shop/data/op-0"].marks |= marks
        world.power_cut()
        assert restart(world, "op-0") == "done"
        now = {row[0]: row[1] for row in seen(world)["instances of m1"]}
        assert now == before | {"shop-db-1-op-0": "stopped"}
        assert world.boot
        assert "shop-db-1-op-0" in world.boot.reasons(())
        assert not world.zfs.kept[f"{ROOT}/shop/data/op-0"].mounted


def what_had_ended_and_is_not_to_be_started_again_stays_down_after_a_boot() -> None:
    world = founded()
    assert ask(world, shop(more='restart = "no"'), "op-0") == "done"
    assert ask(world, shop(replicas=2, more='restart = "no"'), "op-1") == "done"
    world.instances.crash("shop-web-1-op-0", 3)
    world.power_cut()
    assert restart(world, "op-1") == "done"
    now = {row[0]: row[1] for row in seen(world)["instances of m1"]}
    assert (now["shop-web-1-op-0"], now["shop-web-2-op-1"]) == ("stopped", "running")


def what_somebody_stopped_after_a_boot_is_left_alone() -> None:
    world = prepared(case("replace both")).copy()
    world.power_cut()
    assert restart(world, "op-0") == "done"
    world.instances._stop("shop-db-1-op-0")
    assert restart(world, "op-0") == "done"
    assert not world.instances.instances["shop-db-1-op-0"].up


def a_run_leaves_nothing_wherever_it_is_cut() -> None:
    cuts = [Cut(at, when, kind) for at in range(1, 10) for when in WHENS for kind in FAILURES]  # type: ignore[arg-type]
    there = {"web": case("replace both"), "db": case("a process of the host that never gets ready")}
    for service, cut in product(there, (None, *cuts)):
        world = prepared(there[service]).copy()
        before, world.cut = seen(world), cut
        ending = run(world, Run("shop", service, ["look"]))
        assert cut or ending == "done"
        world.cut = None
        restart(world, "op-0")
        assert_same(seen(world), before, f"a run, {cut}: {ending}, and")
        require_sound(world, f"a run, {cut}: {ending}, but")
        world.deliver()
        assert_same(seen(world), before, f"a run, {cut}: {ending}, and what came late changed")


def a_kept_generation_is_purged_and_what_came_from_it_stays() -> None:
    """Cut anywhere: another namespace's clone stands without it in the end, or nothing at all has happened."""
    asked = VolumePurge("shop", "data", kept="op-1")
    prepared_world = prepared(case("undo a rollback")).copy()
    refused = prepared_world.copy()
    assert ask(refused, asked, ID) == "refused", "a deploy point needs it"
    del prepared_world.kv.entries["deploys.shop.2"]
    kept, clone = f"{ROOT}/shop/data/op-1", f"{ROOT}/branch/data/op-b"
    prepared_world.zfs._add(f"{ROOT}/branch", Kept(0, {}))
    prepared_world.zfs._add(f"{ROOT}/branch/data", Kept(0, {}))
    assert prepared_world.zfs.obey("clone", f"{kept}@op-2", clone) is None
    whole = prepared_world.copy()
    whole.touches = 0
    assert ask(whole, asked, ID) == "done"
    for at in range(1, whole.touches + 1):
        for when in ("before", "after"):
            world = prepared_world.copy()
            world.touches, world.cut = 0, Cut(at, when, Crash)
            assert ask(world, asked, ID) == "crashed"
            world.cut = None
            purged = restart(world, ID) == "done"
            assert (kept in world.zfs.kept) != purged
            assert world.zfs.kept[clone].content == prepared_world.zfs.kept[clone].content
            assert (world.zfs.kept[clone].origin == f"{kept}@op-2") != purged


GIVEN = ("branch with a secret", b"one")


def no_value_is_ever_written_down() -> None:
    """Wherever it is cut: neither journals nor records have it, and the same request again is known as the same."""
    for name, value in (("set a secret", b"one"), ("log in to a registry", b"one"), ("see a secret", b"one"), GIVEN):
        telling = case(name)
        for at in range(1, uncut(telling)[1] + 1):
            world = prepared(telling).copy()
            world.cut = Cut(at, "after", Crash)
            ask(world, telling.ask, ID)
            world.cut = None
            _require_unwritten(world, value, f"{name}, cut at touch {at}")
            ending = restart(world, ID)
            again = ask(world, telling.ask, ID)
            assert again in (ending, "done"), f"{name}, cut at touch {at}: {ending}, and asked again {again}"
            _require_unwritten(world, value, f"{name}, cut at touch {at} and resolved")


def what_is_sealed_is_in_its_own_record_only() -> None:
    """So once that is forgotten nobody has it. Wherever it is cut, nothing that is written down needs it again."""
    for name in ("set a secret", "log in to a registry"):
        telling = case(name)
        for at in range(1, uncut(telling)[1] + 1):
            world = prepared(telling).copy()
            world.cut = Cut(at, "after", Crash)
            ask(world, telling.ask, ID)
            world.cut = None
            restart(world, ID)
            sealed = base64.b64encode(world.vault.seal(b"one"))
            told = [key for key, entry in world.kv.entries.items() if sealed in entry.value]
            assert all(key.startswith(("secrets.", "registries.")) for key in told), f"{name}, cut at {at}: {told}"
            journals = [file.read_bytes() for file in world.disk.glob("operations/*")]
            assert not any(sealed in journal for journal in journals), f"{name}, cut at {at}: the journal has it"


def a_rollback_to_a_version_that_is_gone_is_refused() -> None:
    back = case("roll back to an older version")
    world = prepared(back).copy()
    world.kv.entries["secrets.shop.PASSWORD.1"] = Entry(msgspec.json.encode(Sealed()), world.kv.revision)
    before = seen(world)
    assert ask(world, back.ask, ID) == "refused"
    assert_same(seen(world), before, "refused, but")


def _require_unwritten(world: World, value: bytes, said: str) -> None:
    encoded = base64.b64encode(value)
    files = [file for file in world.disk.rglob("*") if file.is_file()]
    written = {str(file): file.read_bytes() for file in files}
    written |= {key: entry.value for key, entry in world.kv.entries.items()}
    for where, held in written.items():
        for told in (b'"' + value + b'"', encoded):
            assert told not in held, f"{said}: {where} has the value"


ALL: tuple[Callable[[], None], ...] = (
    an_undo_that_fails_stops_no_other_and_is_told,
    a_dataset_of_another_operation_in_the_way_is_left_alone,
    a_strangers_instance_in_the_way_is_left_alone,
    one_that_was_fenced_never_commits,
    an_instance_that_dies_after_the_commit_is_told,
    whoever_comes_next_resolves_first,
    a_lost_journal_is_made_up_from_the_record,
    no_row_that_a_client_was_promised_is_lost,
    what_somebody_stopped_after_a_boot_is_left_alone,
    a_run_leaves_nothing_wherever_it_is_cut,
    after_a_boot_runs_what_was_committed,
    what_a_power_cut_leaves_open_ends_as_before_or_as_after,
    a_generation_that_is_not_the_committed_one_is_not_started_after_a_boot,
    what_had_ended_and_is_not_to_be_started_again_stays_down_after_a_boot,
    a_branch_keeps_its_data_when_its_source_is_purged,
    a_point_beyond_keep_is_gone,
    what_was_removed_is_there_no_more,
    an_epoch_never_comes_again,
    a_kept_generation_is_purged_and_what_came_from_it_stays,
    no_value_is_ever_written_down,
    what_is_sealed_is_in_its_own_record_only,
    a_rollback_to_a_version_that_is_gone_is_refused,
)
