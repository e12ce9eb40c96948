"""Where services run on several machines, and what is refused because of one of them."""

from collections import Counter
from dataclasses import replace

import pytest
from msgspec import structs

from daemon.change import Change, Snapshot
from daemon.manifest import GLOBAL, Manifest, Place, Service, Volume, show
from daemon.planning import Origin, Seen, SeenMachine, Wanted, plan_change
from daemon.primitive import By
from daemon.records import Head, Machine, Namespace
from daemon.wire import Refused
from tests.fakes.seen import AT

SHOP = Manifest(
    "shop",
    {
        "db": Service(image="db:1", volumes={"data": "/data"}, update="recreate"),
        "web": Service(image="web:1", replicas=3, ports={"web": 80}),
    },
    {"data": Volume()},
)


def machine(number: int, *, memory: int = 100, away: str = "", **about: object) -> SeenMachine:
    subnet = f"10.210.{number}"
    record = Machine(f"id-{number}", f"m{number}", f"{subnet}.0/24", f"{subnet}.1", AT, "0.1.0", **about)  # type: ignore[arg-type]
    return SeenMachine(record, away=away) if away else SeenMachine(record, f"tank{number}", memory=memory)


def cluster(*machines: SeenMachine, before: Head | None = None) -> Seen:
    services = before.services.values() if before else ()
    running = [instance for service in services for instance in service.instances]
    there = {
        one.record.name: replace(one, up=frozenset(i.id for i in running if i.machine == one.record.name))
        for one in machines
    }
    return Seen(
        machines[0].record.name,
        {name: one if not one.away else replace(one, up=frozenset()) for name, one in there.items()},
        "10.210.224.0/19",
        {"address": {}, "service": {}, "hostname": {}, "port": {}},
    )


THREE = (machine(1, memory=50), machine(2, memory=300), machine(3, memory=100))


def plan(
    manifest: Manifest,
    machines: tuple[SeenMachine, ...] = THREE,
    before: Head | None = None,
    by: str = "op-2",
    data: dict[str, Origin] | None = None,
) -> Change:
    digests = {name: f"sha256:{service.image}" for name, service in manifest.services.items()}
    wanted = Wanted(manifest, show(manifest), digests, manifest.volumes, data or {})
    record = Namespace(before, last_deploy=before.deploy if before else 0)
    return plan_change(record, wanted, cluster(*machines, before=before), By(by, "me", "now"))


def deployed(manifest: Manifest = SHOP, machines: tuple[SeenMachine, ...] = THREE) -> Head:
    return plan(manifest, machines, by="op-1").after


def with_service(name: str, **settings: object) -> Manifest:
    return structs.replace(SHOP, services={**SHOP.services, name: structs.replace(SHOP.services[name], **settings)})


def spread(head: Head, service: str) -> Counter[str]:
    return Counter(instance.machine for instance in head.services[service].instances)


def code(manifest: Manifest, machines: tuple[SeenMachine, ...] = THREE, before: Head | None = None) -> str:
    with pytest.raises(Refused) as refused:
        plan(manifest, machines, before)
    return refused.value.code


def test_instances_are_spread_and_begin_where_most_memory_is_free() -> None:
    head = deployed()
    assert spread(head, "db") == {"m2": 1}
    assert spread(head, "web") == {"m1": 1, "m2": 1, "m3": 1}
    assert head.volumes["data"].machine == "m2"
    ips = {instance.machine: instance.ip for instance in head.services["web"].instances}
    assert all(ip.startswith(f"10.210.{name[1]}.") for name, ip in ips.items())


def test_what_is_done_where() -> None:
    change = plan(SHOP)
    [level] = change.levels
    assert {c.service: c.machine for c in level.candidates if c.service == "db"} == {"db": "m2"}
    assert {image.machine for image in change.images if image.name == "web:1"} == {"m1", "m2", "m3"}
    assert [(new.machine, new.dataset) for new in change.generations] == [("m2", "tank2/shop/data/op-2")]
    assert change.serves == ("m1", "m2", "m3")


def test_an_image_that_no_registry_knows_comes_from_a_machine_that_has_it() -> None:
    images = frozenset({"sha256:web:1"})
    one, two, three = THREE
    change = plan(SHOP, (one, replace(two, images=images), replace(three, images=images)))
    givers = {image.machine: image.source for image in change.images if image.name == "web:1"}
    assert givers == {"m1": "m2", "m2": None, "m3": None}
    change = plan(SHOP, (replace(one, images=images), two, replace(three, images=images)))
    givers = {image.machine: image.source for image in change.images if image.name == "web:1"}
    assert givers == {"m1": None, "m2": "m1", "m3": None}, "rather from the machine that was asked"


def test_an_image_that_a_registry_knows_or_nobody_has_comes_from_no_machine() -> None:
    known = "web@sha256:ab"
    seen = cluster(replace(THREE[0], images=frozenset({known})), *THREE[1:])
    assert seen.giver(known, "m2") is None
    assert seen.giver("sha256:nobody", "m2") is None


def test_who_is_there_stays_and_only_what_is_missing_is_made() -> None:
    head = deployed()
    change = plan(with_service("web", replicas=5), before=head)
    assert change.after.services["web"].instances[:3] == head.services["web"].instances
    assert sorted(spread(change.after, "web").values()) == [1, 2, 2]
    assert change.goes == ()


def test_a_service_stays_with_its_volume_wherever_memory_is_free() -> None:
    head = deployed()
    richer = (machine(1, memory=900), *THREE[1:])
    change = plan(with_service("db", image="db:2"), richer, head)
    assert spread(change.after, "db") == {"m2": 1}
    assert change.snapshot == (Snapshot("m2", ("tank2/shop/data/op-1",)),)
    assert [old.machine for old in change.stops] == ["m2"]


def test_one_on_each_machine_also_on_one_that_comes_later() -> None:
    everywhere = with_service("web", replicas=GLOBAL)
    head = deployed(everywhere, THREE[:2])
    assert spread(head, "web") == {"m1": 1, "m2": 1}
    change = plan(everywhere, before=head)
    assert spread(change.after, "web") == {"m1": 1, "m2": 1, "m3": 1}
    assert [candidate.machine for level in change.levels for candidate in level.candidates] == ["m3"]


def test_labels_and_names_say_where() -> None:
    zones = (machine(1, labels={"zone": "a"}), machine(2, labels={"zone": "b"}), machine(3, labels={"zone": "a"}))
    assert spread(deployed(with_service("web", place=Place(labels={"zone": "a"})), zones), "web") == {"m1": 1, "m3": 2}
    assert spread(deployed(with_service("web", place=Place(machine="m2"))), "web") == {"m2": 3}


def test_a_new_place_moves_what_has_no_volume() -> None:
    head = deployed()
    change = plan(with_service("web", place=Place(machine="m2")), before=head)
    assert spread(change.after, "web") == {"m2": 3}
    assert sorted(old.machine for old in change.goes) == ["m1", "m3"]


def test_no_machine_that_fits_is_refused_with_the_reason_of_each() -> None:
    with pytest.raises(Refused) as refused:
        plan(with_service("db", place=Place(machine="m1")), before=deployed())
    assert refused.value.code == "place.none"
    assert "m1: its volume data is on m2" in refused.value.why
    assert "m2: place names m1" in refused.value.why
    assert code(with_service("web", place=Place(labels={"zone": "c"}))) == "place.none"
    assert code(with_service("web", place=Place(machine="m9"))) == "machine.missing"


def test_nothing_new_on_a_draining_machine_but_what_has_its_volume_there() -> None:
    draining = (THREE[0], machine(2, memory=300, state="draining"), THREE[2])
    assert spread(deployed(SHOP, draining), "web") == {"m1": 2, "m3": 1}
    change = plan(with_service("db", image="db:2"), draining, deployed())
    assert spread(change.after, "db") == {"m2": 1}


def test_a_machine_that_is_away_is_a_warning() -> None:
    away = (THREE[0], THREE[1], machine(3, away="no answer within 7 seconds"))
    change = plan(with_service("db", image="db:2"), away, deployed())
    assert any("m3 does not answer" in warning for warning in change.warnings)
    assert change.serves == ("m1", "m2")
    assert change.away == ("m3",)
    assert spread(change.after, "web") == {"m1": 1, "m2": 1, "m3": 1}


def test_what_a_removed_machine_ran_is_made_anew_elsewhere_and_taken_away_by_nobody() -> None:
    head = deployed()
    change = plan(with_service("db", image="db:2"), THREE[:2], head)
    assert sorted(spread(change.after, "web").values()) == [1, 2]
    assert [old.machine for old in change.goes] == ["m2"], "the database's, which is replaced"
    assert plan(SHOP, THREE[:2], head).after.services["web"].instances[:2] == tuple(
        one for one in head.services["web"].instances if one.machine != "m3"
    )


def test_a_machine_that_is_away_and_needed_is_the_reason_for_a_refusal() -> None:
    head, away = deployed(), machine(2, away="no answer within 7 seconds")
    assert code(with_service("db", image="db:2"), (THREE[0], away, THREE[2]), head) == "machine.unreachable"
    assert code(with_service("web", image="web:2"), (THREE[0], away, THREE[2]), head) == "machine.unreachable"
    assert code(with_service("web", place=Place(machine="m2")), (THREE[0], away, THREE[2])) == "machine.unreachable"


def test_data_that_is_on_another_machine_than_the_volume_is_refused() -> None:
    elsewhere = {"data": Origin("m1", "tank1/pr/data/op-0@op-2")}
    with pytest.raises(Refused) as refused:
        plan(SHOP, before=deployed(), data=elsewhere)
    assert refused.value.code == "volume.elsewhere"
    change = plan(SHOP, data=elsewhere)
    assert change.after.volumes["data"].machine == "m1"
    assert spread(change.after, "db") == {"m1": 1}
