"""What a change is decided to be: one scenario a test, no world needed."""

from dataclasses import replace
from itertools import islice
from typing import Any

import msgspec
import pytest

from daemon.change import Change, Name, Snapshot
from daemon.contents import committed, contents
from daemon.manifest import Hooks, Log, Manifest, Place, Resources, Service, Volume, show
from daemon.planning import Origin, Wanted, plan_change
from daemon.planning.names import free
from daemon.primitive import By
from daemon.records import Head, Namespace
from daemon.wire import Refused
from tests.fakes.seen import alone

DB = Service(image="db:1", volumes={"data": "/data"}, ports={"pg": 5432}, update="recreate")
WEB = Service(image="web:1", ports={"web": 80}, routes=("shop.example.com",), after=("db",))
SHOP = Manifest("shop", {"db": DB, "web": WEB}, {"data": Volume(quota=1000)})


def change(
    manifest: Manifest,
    before: Head | None = None,
    *,
    by: str = "op-2",
    down: set[str] | None = None,
    taken: dict[str, dict[str, str]] | None = None,
    data: dict[str, str] | None = None,
    listening: frozenset[int] = frozenset(),
    stopped: dict[str, str] | None = None,
    anew: frozenset[str] = frozenset(),
    left: frozenset[str] = frozenset(),
) -> Change:
    services = before.services.values() if before else ()
    up = {instance.id for service in services for instance in service.instances} - (down or set())
    digests = {name: f"sha256:{service.image}" for name, service in manifest.services.items()}
    origins = {name: Origin("m1", snapshot) for name, snapshot in (data or {}).items()}
    wanted = Wanted(
        manifest, show(manifest), digests, manifest.volumes, origins, hooks=manifest.hooks if data is None else {}
    )
    wanted = replace(wanted, stopped=stopped or {}, anew=anew, left=left)
    record = Namespace(before, last_deploy=before.deploy if before else 0)
    return plan_change(record, wanted, alone(up, taken or {}, listening), By(by, "me", "now"))


def deployed(manifest: Manifest = SHOP) -> Head:
    """A head as it comes back from the store."""
    return msgspec.json.decode(msgspec.json.encode(change(manifest, by="op-1").after), type=Head)


def with_service(name: str, **settings: object) -> Manifest:
    services = dict(SHOP.services)
    services[name] = msgspec.structs.replace(services[name], **settings)
    return msgspec.structs.replace(SHOP, services=services)


def test_a_first_deploy_makes_everything_in_the_order_of_after() -> None:
    plan = change(SHOP)
    assert plan.actions == {"db": "create", "web": "create"}
    assert plan.volume_actions == {"data": "create"}
    assert [[c.service for c in level.candidates] for level in plan.levels] == [["db"], ["web"]]
    assert (len(plan.stops), len(plan.goes), len(plan.snapshot)) == (0, 0, 0)
    assert [g.source for g in plan.generations] == [None]
    assert {name.kind for name in plan.reserves} == {"address", "service", "hostname"}
    assert plan.after.deploy == 1


def test_the_same_again_is_nothing() -> None:
    head = deployed()
    plan = change(SHOP, head)
    assert plan.nothing
    assert plan.after is head
    assert set(plan.actions.values()) == {"unchanged"}


def test_a_new_image_of_a_stateless_service_stops_nothing_first() -> None:
    plan = change(with_service("web", image="web:2"), deployed())
    assert plan.actions == {"db": "unchanged", "web": "replace"}
    assert plan.stops == ()
    assert [old.service for old in plan.goes] == ["web"]
    assert plan.generations == ()
    assert plan.snapshot == (Snapshot("m1", ("tank/shop/data/op-1",)),)


def test_a_moved_tag_is_a_change() -> None:
    head = deployed()
    wanted = Wanted(SHOP, show(SHOP), {"db": "sha256:db:1", "web": "sha256:other"}, SHOP.volumes)
    up = frozenset(i.id for s in head.services.values() for i in s.instances)
    plan = plan_change(Namespace(head, last_deploy=1), wanted, alone(up, {}), By("op-2", "me", "now"))
    assert plan.actions == {"db": "unchanged", "web": "replace"}


def test_a_writer_stops_before_its_snapshot_and_starts_on_the_clone() -> None:
    plan = change(with_service("db", image="db:2"), deployed())
    assert [old.service for old in plan.stops] == ["db"]
    [new] = plan.generations
    assert (new.dataset, new.source) == ("tank/shop/data/op-2", "tank/shop/data/op-1@op-2")
    assert plan.after.volumes["data"].epoch == 2
    [level] = plan.levels
    assert level.candidates[0].data == {"/data": "tank/shop/data/op-2"}


def test_a_hook_gives_what_it_changes_new_generations() -> None:
    hooked = with_service("web", image="web:2", hooks=Hooks(before=("migrate",), changes=("db",)))
    plan = change(hooked, deployed())
    assert plan.actions == {"db": "replace", "web": "replace"}
    assert [old.service for old in plan.stops] == ["db"]
    assert [bool(level.hooks) for level in plan.levels] == [False, True]
    one_shot = plan.levels[1].hooks[0].one_shot
    assert one_shot
    assert Name("address", one_shot.ip or "") in plan.reserves
    assert Name("address", one_shot.ip or "") in plan.releases


def test_a_hook_without_changes_warns_that_it_is_not_taken_back() -> None:
    plan = change(with_service("web", image="web:2", hooks=Hooks(before=("migrate",))), deployed())
    assert any("not taken back" in warning for warning in plan.warnings)


def test_what_does_not_change_a_service_runs_no_hook() -> None:
    hooked = with_service("web", hooks=Hooks(before=("migrate",), changes=("db",)))
    plan = change(hooked, deployed())
    assert not any(level.hooks for level in plan.levels)
    assert plan.actions == {"db": "unchanged", "web": "unchanged"}
    assert not plan.nothing


def test_a_dead_instance_is_made_anew() -> None:
    head = deployed()
    gone = head.services["web"].instances[0].id
    plan = change(SHOP, head, down={gone})
    assert plan.actions == {"db": "unchanged", "web": "replace"}
    assert [(old.id, old.was_up) for old in plan.goes] == [(gone, False)]


def test_scaling_keeps_the_instances_that_are_there() -> None:
    head = deployed()
    more = change(with_service("web", replicas=3), head)
    kept = head.services["web"].instances[0]
    assert more.after.services["web"].instances[0] == kept
    assert len(more.after.services["web"].instances) == 3
    assert more.goes == ()
    fewer = change(SHOP, more.after, by="op-3")
    assert fewer.after.services["web"].instances == (kept,)
    assert len(fewer.goes) == 2


def test_a_removed_writer_stops_before_the_snapshot_and_its_volume_stays() -> None:
    without = Manifest("shop", {"web": msgspec.structs.replace(WEB, after=())}, {})
    plan = change(without, deployed())
    assert plan.actions == {"web": "unchanged", "db": "remove"}
    assert [old.service for old in plan.stops] == ["db"]
    assert plan.after.volumes["data"] == deployed().volumes["data"]
    assert any("data" in warning for warning in plan.warnings)


def test_a_rollback_begins_from_the_points_snapshot_and_runs_no_hook() -> None:
    hooked = with_service("web", image="web:2", hooks=Hooks(before=("migrate",), changes=("db",)))
    plan = change(hooked, deployed(), data={"data": "tank/shop/data/op-0@op-0"})
    assert plan.generations[0].source == "tank/shop/data/op-0@op-0"
    assert [old.service for old in plan.stops] == ["db"]
    assert not any(level.hooks for level in plan.levels)


def test_addresses_that_are_taken_are_not_chosen() -> None:
    taken = {"address": {f"10.210.1.{n}": "other" for n in range(2, 253)}}
    plan = change(SHOP, taken=taken)
    addresses = {i.ip for s in plan.after.services.values() for i in s.instances}
    assert addresses == {"10.210.1.253", "10.210.1.254"}
    with pytest.raises(Refused) as refused:
        change(with_service("web", replicas=2), taken=taken)
    assert refused.value.code == "address.exhausted"


def test_every_free_address_is_told_once_in_an_order_of_the_operations_own() -> None:
    wanted = [f"10.210.1.{n}" for n in range(2, 255) if n != 7]
    orders = []
    for seed in ("op-1", "op-2"):
        addresses = free("10.210.1.0/24", {"10.210.1.7"}, seed)
        orders.append(list(islice(addresses, len(wanted))))
        with pytest.raises(Refused):
            next(addresses)
    assert orders[0] != orders[1]
    assert [sorted(order) for order in orders] == [sorted(wanted)] * 2


def test_a_hostname_of_another_namespace_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        change(SHOP, taken={"hostname": {"shop.example.com": "other"}})
    assert refused.value.code == "name.taken"


@pytest.mark.parametrize(
    "settings",
    [
        {"files": {"/etc/x": "x"}},
        {"ulimits": {"nofile": (1, 2)}},
        {"devices": ("/dev/fuse",)},
        {"cap_add": ("NET_ADMIN",)},
        {"read_only": True},
        {"log": Log(max=2**20)},
        {"resources": Resources(memory=2**25)},
        {"entrypoint": ("x",)},
        {"user": "1:1"},
        {"workdir": "/x"},
        {"shm": 2**25},
    ],
    ids=lambda settings: str(*settings),
)
def test_what_an_instance_feels_replaces_it(settings: dict[str, object]) -> None:
    changed = with_service("web", **settings)
    if "files" in settings:
        changed = msgspec.structs.replace(changed, files={"x": b"1"})
    plan = change(changed, deployed())
    assert plan.actions == {"db": "unchanged", "web": "replace"}
    assert change(changed, plan.after, by="op-3").nothing


@pytest.mark.parametrize(
    "settings", [{"publish": {"80": "web"}}, {"place": Place("m1")}, {"pull": "always"}], ids=lambda s: str(*s)
)
def test_what_no_instance_feels_replaces_none(settings: dict[str, object]) -> None:
    plan = change(with_service("web", **settings), deployed())
    assert plan.actions == {"db": "unchanged", "web": "unchanged"}
    assert not plan.nothing


FILED = msgspec.structs.replace(with_service("web", files={"/etc/x": "x"}), files={"x": b"one"})


def test_what_a_file_contains_counts_and_not_where_that_came_from() -> None:
    head = deployed(FILED)
    renamed = msgspec.structs.replace(with_service("web", files={"/etc/x": "y"}), files={"y": b"one"})
    assert set(change(renamed, head).actions.values()) == {"unchanged"}
    other = change(msgspec.structs.replace(FILED, files={"x": b"two"}), head)
    assert other.actions == {"db": "unchanged", "web": "replace"}
    [level] = other.levels
    assert contents(other.after, level.candidates[0].files) == {"/etc/x": b"two"}
    assert [files for _, _, files in committed(head, "m1")] == [{"/etc/x": b"one"}]


def test_a_published_port_is_reserved_and_released() -> None:
    plan = change(with_service("web", publish={"80": "web"}), deployed())
    assert plan.reserves == (Name("port", "80"),)
    assert change(SHOP, plan.after, by="op-3").releases == (Name("port", "80"),)


@pytest.mark.parametrize(
    ("world", "why"),
    [
        ({"taken": {"port": {"80": "other"}}}, "the namespace other has that port"),
        ({"listening": frozenset({80})}, "a process of the host listens there"),
    ],
)
def test_a_port_that_somebody_has_is_not_published(world: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why) as refused:
        change(with_service("web", publish={"80": "web"}), **world)
    assert refused.value.code == "name.taken"


def test_who_has_the_port_already_keeps_it_whoever_listens() -> None:
    taken = {"port": {"80": "shop"}}
    assert change(with_service("web", publish={"80": "web"}), taken=taken, listening=frozenset({80})).reserves


def test_another_machine_is_refused() -> None:
    with pytest.raises(Refused, match="there is m1") as refused:
        change(with_service("web", place=Place("m2")))
    assert refused.value.code == "machine.missing"


def test_a_plan_is_rebuilt_from_its_journal() -> None:
    plan = change(with_service("web", image="web:2", hooks=Hooks(before=("m",), changes=("db",))), deployed())
    kept = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(plan)))
    assert msgspec.convert(kept, Change) == plan


def test_a_service_of_the_host_needs_no_image_and_may_become_one() -> None:
    hosted = with_service("db", image="", runtime="host", command=("db",))
    first = change(hosted)
    [candidate] = first.levels[0].candidates
    assert (candidate.specification.runtime, candidate.specification.command) == ("host", ("db",))
    assert [image.name for image in first.images] == ["web:1"]
    assert (first.after.services["db"].image, candidate.specification.labels["ployz.image"]) == ("host", "host")
    moved = change(hosted, deployed())
    assert moved.actions == {"db": "replace", "web": "unchanged"}
    assert [old.service for old in moved.stops] == ["db"], "a writer, whatever runs it, stops before the snapshots"


def test_a_restart_replaces_what_did_not_change() -> None:
    plan = change(SHOP, deployed(), anew=frozenset({"web"}))
    assert plan.actions == {"db": "unchanged", "web": "replace"}
    assert plan.after.services["web"].identity == deployed().services["web"].identity


def test_a_stopped_service_keeps_its_address_and_its_data_and_has_no_instances() -> None:
    head = deployed()
    plan = change(SHOP, head, stopped={"db": head.services["db"].identity})
    after = plan.after.services["db"]
    assert (after.instances, after.stopped, after.address) == ((), True, head.services["db"].address)
    assert plan.after.volumes == head.volumes
    assert [old.service for old in plan.stops] == ["db"]
    assert {name.kind for name in plan.releases} == {"address"}


def test_a_hook_that_came_while_its_service_was_stopped_runs_when_that_is_started() -> None:
    head = deployed()
    ran = {"web": head.services["web"].identity}
    hooked = with_service("web", image="web:2", hooks=Hooks(before=("migrate",)))
    while_stopped = change(hooked, change(SHOP, head, stopped=ran).after, by="op-3", stopped=ran)
    assert not [level for level in while_stopped.levels if level.hooks]
    assert change(hooked, while_stopped.after, by="op-4", stopped=ran).nothing
    started = change(hooked, while_stopped.after, by="op-4")
    assert [hook.service for level in started.levels for hook in level.hooks] == ["web"]


def test_what_is_left_alone_is_not_made_anew_though_it_does_not_run() -> None:
    head = deployed()
    [dead] = [instance.id for instance in head.services["db"].instances]
    plan = change(SHOP, head, down={dead}, anew=frozenset({"web"}), left=frozenset({"db"}))
    assert plan.actions == {"db": "unchanged", "web": "replace"}
    assert plan.left == ("db",)
