"""Founding a mesh, inviting, being let in and joining: what is refused, what comes of it, on machines of fakes."""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec import structs

from daemon import addressing, letters
from daemon.bucket import change
from daemon.door import reached_at
from daemon.letters import Letter
from daemon.peering import KEEPALIVE, peers
from daemon.primitives import join
from daemon.records import CLUSTER, Claim, Cluster, Namespace
from daemon.store import Store
from daemon.wire import (
    Admitted,
    How,
    Join,
    MachineAdmit,
    MachineInvite,
    MachineLabel,
    MachineRevoke,
    MachineRm,
    MeshDestroy,
    MeshInit,
    Mutation,
    Problem,
    Refused,
    SecretSet,
    Success,
)
from dataplane.entry import Entry, StoreDown, key
from tests.law.law import prepared
from tests.law.scenarios import case
from tests.law.world import NOW, Site, World, boot, founded, ignore

NETWORK = "prod"


def asked(world: World, request: Mutation, id: str = "op-1", *, preview: bool = False) -> Success:
    how = How(op_id=id, preview=preview) if not preview else How(preview=True)
    return asyncio.run(boot(world).mutate(request, how, "ann", ignore))


def refused(world: World, request: Mutation, id: str = "op-9") -> Problem:
    with pytest.raises(Problem) as caught:
        asked(world, request, id)
    assert caught.value.state == "refused", caught.value
    return caught.value


def mesh() -> World:
    """A machine that has founded a mesh."""
    world = founded()
    assert asked(world, MeshInit(NETWORK), "op-init").result["network"] == NETWORK
    return world


def invited(world: World, id: str = "op-invite", name: str | None = None) -> dict[str, Any]:
    return asked(world, MachineInvite(name=name), id).result


def guest(world: World, invitation: str = "op-invite", **said: Any) -> MachineAdmit:
    """What a machine m2 would ask at the door."""
    cluster = asyncio.run(Store(world.kv).cluster())
    ask = MachineAdmit(invitation, cluster.id, "m2", "id-2", "key-2", "nkey-2", "192.0.2.2:51820", "0.1.0", NOW)
    return structs.replace(ask, **said)


def machines(world: World) -> dict[str, Any]:
    node = boot(world).means.engine.node
    return asyncio.run(node.members.machines())


# ------------------------------------------------------------------------------------------------------- founding


def test_a_machine_that_founds_a_mesh_keeps_its_addresses() -> None:
    world = mesh()
    now = world.mesh.membership
    assert (now.cluster.name, now.cluster.mesh, now.cluster.store, now.here.subnet) == (
        *(NETWORK, True, ("m1",)),
        "10.210.1.0/24",
    )
    assert machines(world)["m1"].key == now.here.key
    assert now.here.endpoint == "192.0.2.1:51820"


def test_a_mesh_in_another_network_has_other_addresses() -> None:
    world = founded()
    done = asked(world, MeshInit(NETWORK, "172.20.0.0/16", "m1.example.com:51820"))
    assert (done.result["subnet"], done.result["overlay_ip"]) == ("172.20.1.0/24", "172.20.1.1")
    assert world.mesh.membership.here.endpoint == "m1.example.com:51820"


def routed(world: World) -> None:
    world.mesh.routes["10.0.0.0/8"] = "vpn0"


def unreachable(world: World) -> None:
    world.mesh.address = None


def has_no_port(world: World) -> None:
    world.mesh.taken["51820"] = "openvpn (pid 7)"


def nothing(world: World) -> None:
    """It is as it is."""


@pytest.mark.parametrize(
    ("prepare", "ask", "code"),
    [
        (nothing, MeshInit("No Name"), "mesh.name"),
        (nothing, MeshInit(NETWORK, "10.0.0.0/8"), "mesh.cidr"),
        (nothing, MachineInvite(), "mesh.missing"),
        (routed, MeshInit(NETWORK), "mesh.overlap"),
        (has_no_port, MeshInit(NETWORK), "mesh.ports"),
        (unreachable, MeshInit(NETWORK), "mesh.endpoint"),
    ],
)
def test_what_is_refused_to_a_machine_alone(prepare: Callable[[World], None], ask: Mutation, code: str) -> None:
    world = founded()
    prepare(world)
    assert refused(world, ask).code == code
    assert not world.mesh.membership.cluster.mesh


def test_instances_keep_their_network() -> None:
    world = prepared(case("replace a writer")).copy()
    failure = refused(world, MeshInit(NETWORK, "172.20.0.0/16"))
    assert failure.code == "mesh.occupied"
    assert "shop" in failure.why


# ------------------------------------------------------------------------------------------------------- inviting


def test_each_invitation_has_a_subnet_and_a_door_of_its_own() -> None:
    world = mesh()
    first, second = invited(world, "op-a"), invited(world, "op-b", "m3")
    assert [first["subnet"], second["subnet"]] == ["10.210.2.0/24", "10.210.3.0/24"]
    assert second["name"] == "m3"
    assert world.mesh.applied == 2
    assert not first["token"], "no journal has a token"


def test_the_subnet_of_an_invitation_that_is_over_is_given_away_again() -> None:
    world = mesh()
    invited(world, "op-a")
    asked(world, MachineRevoke("op-a"), "op-b")
    assert invited(world, "op-c")["subnet"] == "10.210.2.0/24"


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (MachineInvite(ttl=0), "invite.ttl"),
        (MachineInvite(name="No Name"), "machine.name"),
        (MachineInvite(name="m1"), "machine.exists"),
        (MachineRevoke("op-none"), "invite.missing"),
        (MeshInit("other"), "mesh.exists"),
    ],
)
def test_what_is_refused_to_a_machine_of_a_mesh(ask: Mutation, code: str) -> None:
    assert refused(mesh(), ask).code == code


def test_a_mesh_without_a_subnet_left_is_full() -> None:
    world = founded()
    asked(world, MeshInit(NETWORK, "172.20.16.0/20"), "op-init")
    for number, _ in enumerate(addressing.subnets("172.20.16.0/20")[1:]):
        invited(world, f"op-{number}")
    assert refused(world, MachineInvite(), "op-full").code == "mesh.full"


def test_nobody_is_invited_to_a_door_that_nobody_can_reach() -> None:
    world = mesh()

    async def hide() -> None:
        await boot(world).means.engine.node.members.amend("m1", lambda now: structs.replace(now, endpoint=None))

    asyncio.run(hide())
    assert refused(world, MachineInvite()).code == "invite.endpoint"


# -------------------------------------------------------------------------------------------------- being let in


def test_who_knocks_twice_is_let_in_once() -> None:
    world = mesh()
    invited(world)
    first = asked(world, guest(world), "op-a")
    again = asked(world, guest(world), "op-b")
    assert first.result["machine"] == again.result["machine"]
    assert first.result["machine"]["state"] == "joining"
    assert set(machines(world)) == {"m1", "m2"}


def test_the_name_of_an_invitation_counts() -> None:
    world = mesh()
    invited(world, name="db1")
    assert asked(world, guest(world), "op-a").result["machine"]["name"] == "db1"


LET_IN = [
    ({"invitation": "op-none"}, "join.foreign"),
    ({"cluster": "of another"}, "join.foreign"),
    ({"version": "9.0.0"}, "join.version"),
    ({"at": "2026-01-01T00:01:01.000Z"}, "join.clock"),
    ({"name": "m1"}, "machine.exists"),
    ({"name": "No Name"}, "machine.name"),
]


@pytest.mark.parametrize(("said", "code"), LET_IN)
def test_who_is_not_let_in(said: dict[str, Any], code: str) -> None:
    world = mesh()
    invited(world)
    assert refused(world, guest(world, **said)).code == code
    assert set(machines(world)) == {"m1"}


def test_an_invitation_is_good_for_one_machine() -> None:
    world = mesh()
    invited(world)
    asked(world, guest(world), "op-a")
    assert refused(world, guest(world, name="m3", id="id-3", key="key-3")).code == "join.used"
    assert refused(world, MachineRevoke("op-invite")).code == "invite.used"


def test_a_revoked_invitation_lets_nobody_in() -> None:
    world = mesh()
    invited(world)
    asked(world, MachineRevoke("op-invite"), "op-a")
    assert refused(world, guest(world)).code == "join.revoked"


def test_an_invitation_that_is_over_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    world = mesh()
    invited(world)
    late = "2026-01-01T00:10:00.001Z"
    monkeypatch.setattr("tests.law.world.NOW", late)
    assert refused(world, guest(world, at=late)).code == "join.expired"


# --------------------------------------------------------------------------------------------------------- leaving


def grown() -> World:
    """A mesh of m1, who is asked, and m2."""
    world = mesh()
    invited(world)
    asked(world, guest(world), "op-a")
    world.sites["m2"] = Site("m2", world, openzfs=False)
    return world


def test_a_machine_that_is_removed_is_told_and_its_name_and_subnet_are_free() -> None:
    world = grown()
    done = asked(world, MachineRm("m2"), "op-rm")
    assert done.result["fenced"]
    assert world.mesh.dismissed == ["m2"]
    assert set(machines(world)) == {"m1"}
    assert invited(world, "op-b")["subnet"] == "10.210.2.0/24"
    assert refused(world, guest(world, at=NOW)).code == "join.revoked", "what it came by is good for nothing any more"
    again = asked(world, guest(world, "op-b", id="id-9", key="key-9"), "op-c")
    assert again.result["machine"]["name"] == "m2"


def test_a_machine_that_does_not_answer_is_removed_by_force_only() -> None:
    world = grown()
    world.mesh.away.add("m2")
    assert refused(world, MachineRm("m2")).code == "machine.unreachable"
    done = asked(world, MachineRm("m2", force=True), "op-rm")
    assert not done.result["fenced"]
    assert "has to be off" in done.warnings[0]
    assert world.mesh.dismissed == []


def runs_on(world: World, machine: str, *, data: bool) -> None:
    """The shop's web is on that machine, and its database, with the volume, too where its `data` is."""

    where = key("namespaces", "shop")
    now = msgspec.json.decode(world.kv.entries[where].value, type=Namespace)
    assert now.head
    services = {
        name: structs.replace(
            service, instances=tuple(structs.replace(one, machine=machine) for one in service.instances)
        )
        for name, service in now.head.services.items()
        if data or not service.specification.volumes
    }
    volumes = {name: structs.replace(volume, machine=machine) for name, volume in now.head.volumes.items() if data}
    then = structs.replace(now, head=structs.replace(now.head, services=services, volumes=volumes))
    entry = world.kv.entries[where]
    world.kv.entries[where] = Entry(msgspec.json.encode(then), entry.revision + 1)


def deployed() -> World:
    """A mesh of m1, on which the shop is, and m2."""
    world = prepared(case("replace a writer")).copy()
    asked(world, MeshInit(NETWORK), "op-init")
    invited(world)
    asked(world, guest(world), "op-a")
    world.sites["m2"] = Site("m2", world, openzfs=False)
    return world


def deployed_on_m2(*, data: bool) -> World:
    """A mesh of m1 and m2, which does not answer, and on which the shop is."""
    world = deployed()
    runs_on(world, "m2", data=data)
    world.mesh.away.add("m2")
    return world


def test_what_a_lost_machine_ran_without_data_does_not_keep_it() -> None:
    world = deployed_on_m2(data=False)
    assert refused(world, MachineRm("m2")).code == "machine.unreachable"
    done = asked(world, MachineRm("m2", force=True), "op-rm")
    assert set(machines(world)) == {"m1"}
    assert "shop/web" in done.warnings[1]


def test_what_is_placed_there_meanwhile_keeps_a_machine() -> None:
    world = deployed()
    before = world.kv._touch

    async def placed_first(what: str, effect: Callable[[], Any]) -> Any:
        """As soon as nobody begins anything any more, who had begun has just committed."""
        done = await before(what, effect)
        if what == "put cluster" and msgspec.json.decode(world.kv.entries["cluster"].value, type=Cluster).closed:
            world.kv._touch = before
            runs_on(world, "m2", data=True)
        return done

    world.kv._touch = placed_first
    with pytest.raises(Problem) as caught:
        asked(world, MachineRm("m2"), "op-rm")
    assert (caught.value.code, caught.value.state) == ("machine.occupied", "taken_back")
    assert machines(world)["m2"].state != "leaving"
    assert asyncio.run(Store(world.kv).cluster()).closed == ""


def test_nobody_leaves_while_something_is_under_way() -> None:
    world = grown()
    has_a_claim(world)
    world.mesh.working = ["op-other"]
    assert refused(world, MachineRm("m2")).code == "store.busy"
    world.mesh.working = []
    assert asked(world, MachineRm("m2"), "op-rm").result["fenced"], "what is stuck stays so"


def test_its_data_does() -> None:
    failure = refused(deployed_on_m2(data=True), MachineRm("m2", force=True))
    assert failure.code == "machine.occupied"
    assert "shop/data" in failure.why


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (MachineRm("m9"), "machine.missing"),
        (MachineRm("m1"), "machine.store"),
        (MeshDestroy(), "mesh.others"),
    ],
)
def test_who_does_not_leave(ask: Mutation, code: str) -> None:
    world = grown()
    assert refused(world, ask).code == code
    assert set(machines(world)) == {"m1", "m2"}


def elsewhere(world: World) -> None:
    """The records are another machine's."""

    def moved(now: Cluster | None) -> Cluster | None:
        return structs.replace(now, store=("m2",)) if now else None

    asyncio.run(change(world.kv, "cluster", Cluster, moved))


def test_nobody_removes_the_machine_that_is_asked() -> None:
    world = grown()
    elsewhere(world)
    assert refused(world, MachineRm("m1")).code == "machine.here"


def test_a_machine_with_instances_stays() -> None:
    world = prepared(case("replace a writer")).copy()
    asked(world, MeshInit(NETWORK), "op-init")
    invited(world)
    asked(world, guest(world), "op-a")
    elsewhere(world)
    renamed = boot(world)
    renamed.means.engine.node = dataclasses.replace(renamed.means.engine.node, machine="m2")
    with pytest.raises(Problem) as caught:
        asyncio.run(renamed.mutate(MachineRm("m1"), How(op_id="op-rm"), "ann", ignore))
    assert caught.value.code == "machine.occupied"
    assert "shop" in caught.value.why


def test_the_last_machine_is_a_cluster_of_its_own_again() -> None:
    world = grown()
    asked(world, MachineRm("m2"), "op-rm")
    before = world.mesh.membership.cluster.id
    assert asked(world, MeshDestroy(), "op-destroy").result["network"] == ""
    now = world.mesh.membership
    assert (now.cluster.id, now.cluster.mesh, now.here.key) == (before, False, "")
    assert refused(world, MeshDestroy()).code == "mesh.missing"


# --------------------------------------------------------------------------------------------------------- joining


def guests_of(one: World, other: World) -> None:
    """Have one machine's knocks answered by the other's door."""

    async def door(letter: bytes, ask: MachineAdmit, *, preview: bool) -> Admitted | None:
        number = len(list((other.disk / "operations").iterdir()))
        how = How(preview=True) if preview else How(op_id=f"op-door-{number}")
        done = await boot(other).mutate(ask, how, "guest", ignore)
        return None if preview else msgspec.convert(done.result, Admitted)

    one.mesh.door = door


def two() -> tuple[World, World, str]:
    """A mesh of one machine, another machine, and a token."""
    first, second = mesh(), founded()
    told = invited(first)
    cluster = first.mesh.membership.cluster
    door, guest = addressing.door(cluster.cidr), "10.210.223.2"
    letter = Letter(
        told["id"], NETWORK, cluster.id, cluster.cidr, told["endpoint"], "key", door, "secret", guest, "", "m2"
    )
    guests_of(second, first)
    return first, second, letters.token(letter)


def test_a_label_is_given_and_taken_away_and_has_to_be_one() -> None:
    world = mesh()
    assert asked(world, MachineLabel("m1", {"zone": "a", "disk": "ssd"}), "op-a").result["labels"] == {
        "disk": "ssd",
        "zone": "a",
    }
    assert asked(world, MachineLabel("m1", {"zone": ""}), "op-b").result["labels"] == {"disk": "ssd"}
    assert refused(world, MachineLabel("m1", {"zone": "a b"})).code == "machine.label"
    assert refused(world, MachineLabel("m9", {"zone": "a"})).code == "machine.missing"
    assert machines(world)["m1"].labels == {"disk": "ssd"}


def test_who_comes_by_an_older_invitation_is_still_heard() -> None:
    """Its subnet is set aside for somebody else meanwhile, who knocks at another address."""
    world = mesh()
    older = invited(world)
    asked(world, MachineRevoke(older["id"]), "op-a")
    newer = invited(world, "op-newer")
    assert newer["subnet"] == older["subnet"]
    known = asyncio.run(boot(world).means.engine.node.members.invitations())
    here = machines(world)["m1"]
    guests = [peer.networks for peer in peers(here, {"m1": here}, known.values(), NOW)]
    assert guests == [(f"{one['guest']}/32",) for one in (older, newer)]


def test_only_who_cannot_be_reached_keeps_its_way_through_a_nat_open() -> None:
    world = mesh()
    invited(world)
    asked(world, guest(world), "op-a")
    known = machines(world)
    here, hidden = known["m1"], structs.replace(known["m2"], endpoint=None)
    there = {"m1": here, "m2": hidden}
    assert [(peer.endpoint, peer.keepalive) for peer in peers(here, there, (), NOW)] == [(None, None)]
    assert [(peer.endpoint, peer.keepalive) for peer in peers(hidden, there, (), NOW)] == [(here.endpoint, KEEPALIVE)]


@pytest.mark.parametrize(
    ("told", "seen", "reached"),
    [
        ("192.168.1.5:51820", "203.0.113.9", None),
        ("192.168.1.5:51820", None, None),
        ("192.168.1.5:51820", "192.168.1.5", "192.168.1.5:51820"),
        ("100.64.0.9:51820", "203.0.113.9", None),
        ("8.8.8.8:51820", "203.0.113.9", "8.8.8.8:51820"),
        ("8.8.8.8:51820", None, "8.8.8.8:51820"),
        ("m2.example.com:51820", "203.0.113.9", "m2.example.com:51820"),
        (None, "203.0.113.9", None),
    ],
)
def test_where_a_guest_says_it_is_counts_unless_it_is_private_and_nothing_came_from_there(
    told: str | None, seen: str | None, reached: str | None
) -> None:
    assert reached_at(told, seen) == reached


def test_a_machine_that_joins_is_what_the_mesh_says() -> None:
    first, second, token = two()
    become(second, first)
    done = asked(second, Join(token))
    [joined] = done.result["machines"]
    assert (joined["name"], joined["subnet"], joined["store"]) == ("m2", "10.210.2.0/24", False)
    assert second.mesh.membership.cluster.id == first.mesh.membership.cluster.id
    assert machines(first)["m2"].state == "active"
    assert asyncio.run(Store(second.kv).cluster()).closed == "", "it has other records now"


def become(one: World, other: World) -> None:
    """Once it is a member its records are the other's."""
    before = one.mesh.become

    async def become(wanted: Any) -> None:
        await before(wanted)
        one.kv.entries = other.kv.entries

    one.mesh.become = become  # type: ignore[method-assign]


def has_a_namespace(world: World) -> None:
    asked(world, SecretSet("shop", "KEY", b"x"), "op-secret")


def has_something_open(world: World) -> None:
    world.mesh.open = ["op-other"]


def has_a_claim(world: World) -> None:
    claim = Claim("op-other", "m1", "change", "deploy", "ann", NOW)
    asyncio.run(Store(world.kv).claim("shop", claim))


def is_routed(world: World) -> None:
    routed(world)


def is_a_member(world: World) -> None:
    asked(world, MeshInit("own"), "op-init")


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (has_a_namespace, "join.occupied"),
        (has_something_open, "join.busy"),
        (has_a_claim, "join.busy"),
        (is_routed, "mesh.overlap"),
        (has_no_port, "join.ports"),
        (is_a_member, "join.member"),
    ],
)
def test_who_does_not_join(prepare: Callable[[World], None], code: str) -> None:
    first, second, token = two()
    prepare(second)
    before = second.mesh.membership
    assert refused(second, Join(token)).code == code
    assert second.mesh.membership == before
    assert asyncio.run(Store(second.kv).cluster()).closed == ""
    assert set(machines(first)) == {"m1"}


def test_what_the_door_refuses_changes_nothing() -> None:
    first, second, token = two()
    asked(first, MachineRevoke("op-invite"), "op-a")
    assert refused(second, Join(token)).code == "join.revoked"
    assert not second.mesh.membership.cluster.mesh


def test_no_token_is_written_down() -> None:
    first, second, token = two()
    become(second, first)
    asked(second, Join(token))
    [journal] = (second.disk / "operations").glob("*.jsonl")
    assert token not in journal.read_text()
    assert not [entry for entry in second.kv.entries.values() if token.encode() in entry.value]
    assert CLUSTER in journal.read_text()


def test_a_refusal_after_the_plan_opens_the_records_again() -> None:
    """The door changes its mind between the look and the real thing."""
    _, second, token = two()
    willing = second.mesh.door

    async def door(letter: bytes, ask: MachineAdmit, *, preview: bool) -> Admitted | None:
        if not preview:
            raise Refused("join.revoked", "cannot join", "it was revoked meanwhile")
        return await willing(letter, ask, preview=True)

    second.mesh.door = door
    with pytest.raises(Problem) as caught:
        asked(second, Join(token))
    assert caught.value.state == "taken_back"
    assert asyncio.run(Store(second.kv).cluster()).closed == ""


def test_a_door_that_cannot_tell_just_now_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """For two moments each time; and for longer once it has let the guest in, whose answer was lost."""
    monkeypatch.setattr(join, "PAUSES", (0.0, 0.0))
    first, second, token = two()
    become(second, first)
    willing, asks = second.mesh.door, 0

    async def door(letter: bytes, ask: MachineAdmit, *, preview: bool) -> Admitted | None:
        nonlocal asks
        asks += 1
        if asks % 3 and asks < 12:
            raise Refused("store.down", "cannot reach the cluster's records", "nobody answers on $JS")
        answer = await willing(letter, ask, preview=preview)
        if asks == 6:
            asks = 100
            raise StoreDown("the answer was lost")
        if 100 < asks < 106:
            raise Refused("store.closed", "cannot change the cluster", "it moves")
        return answer

    second.mesh.door = door
    with pytest.raises(Problem) as caught:
        asked(second, Join(token))
    assert caught.value.state == "stuck"
    assert machines(first)["m2"].state == "joining"
    assert asyncio.run(boot(second).resume("op-1", ignore)).result["machines"][0]["name"] == "m2"
    assert machines(first)["m2"].state == "active"
