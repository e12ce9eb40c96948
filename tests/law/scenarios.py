"""What no cut alone brings about: strangers in the way, undos that fail, others who write, clients who go on."""

import base64
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from daemon.journal import Story
from daemon.records import Namespace, Sealed
from dataplane.entry import Entry
from tests.fakes.engine import Instance
from tests.fakes.zfs import Kept
from tests.law.cases import CASES, Case, shop
from tests.law.law import ID, OVER, assert_same, prepared, resolved, unclaimed, uncut
from tests.law.sound import head_of, require_sound
from tests.law.world import ROOT, Crash, Cut, Failed, World, ask, restart, seen

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
    assert now.pop("datasets") != before["datasets"]
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
        writing = case(name)
        for at in range(0, uncut(writing)[1] + 1):
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
    there = world.zfs.kept[f"{ROOT}/shop/data/{head.volumes['data'].generation}"].content
    lost = set(client.promised) - set(there)
    assert client.promised, "nobody wrote anything"
    assert not lost, f"{writing.name}, {cut}: {ending}, and these rows are lost: {sorted(lost)}"


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
            for mount in self._running()[id].specification.mounts:
                self.world.zfs.write(mount.source.removeprefix("/fake/"), row, b"committed")
                self.promised.append(row)

    def _answering(self) -> set[str]:
        head = head_of(self.world)
        address = head.services["db"].address if head else None
        ips = {ip for ip, _ in self.world.firewall.who_answers(None, address or "", 5432)}
        return {id for id, instance in self._running().items() if instance.specification.ip in ips}

    def _running(self) -> dict[str, Instance]:
        return {id: instance for id, instance in self.world.instances.instances.items() if instance.up}


def no_value_is_ever_written_down() -> None:
    """Wherever it is cut: neither journals nor records have it, and the same request again is known as the same."""
    for name, value in (("set a secret", b"one"), ("log in to a registry", b"one"), ("see a secret", b"one")):
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
    no_value_is_ever_written_down,
    a_rollback_to_a_version_that_is_gone_is_refused,
)
