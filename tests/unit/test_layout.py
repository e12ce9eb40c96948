"""Who belongs to the bus: roles, and a configuration that says what it should and nothing a member could slip in."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from dataplane.layout import PORTS, Layout, Member, Role, founding, point_at, pointed_at
from dataplane.nats_configuration import Own, configuration, without_users

KEYS = {name: "U" + letter * 55 for name, letter in zip(("m1", "m2", "m3", "m4", "m5"), "ABCDE", strict=True)}
MEMBERS = tuple(Member(name, key, f"10.210.{number}.1") for number, (name, key) in enumerate(KEYS.items(), 1))
THREE = Layout("op-7", ("m1", "m2", "m3"), MEMBERS, PORTS[1])
ONE = Layout("first", ("m1",), MEMBERS)


def own(machine: str, password: str = "") -> Own:
    return Own(machine, f"SU{machine}", KEYS["m5"], Path("/data/records"), password)


@pytest.mark.parametrize(
    ("layout", "machine", "role"),
    [(ONE, "m1", Role.ALONE), (ONE, "m2", Role.LEAF), (THREE, "m2", Role.ONE_OF_THREE), (THREE, "m4", Role.LEAF)],
)
def test_roles(layout: Layout, machine: str, role: Role) -> None:
    assert layout.role(machine) is role


@pytest.mark.parametrize("holders", [(), ("m1", "m2"), ("m1", "m1", "m2"), ("m9",), ("m1", "m2", "m3", "m4")])
def test_a_store_is_held_by_one_or_three_members(holders: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="held by one or three"):
        Layout("op-7", holders, MEMBERS)


@pytest.mark.parametrize(
    ("machine", "key", "address"),
    [
        ("m.1", KEYS["m1"], None),
        ("m1 >", KEYS["m1"], None),
        ("", KEYS["m1"], None),
        ("m1", "S" + "A" * 55, None),
        ("m1", KEYS["m1"] + "\n}", None),
        ("m1", KEYS["m1"], '10.210.1.1"'),
        ("m1", KEYS["m1"], "here"),
    ],
)
def test_what_could_be_read_as_something_else_is_no_member(machine: str, key: str, address: str | None) -> None:
    with pytest.raises(ValueError):
        Member(machine, key, address)
    with pytest.raises(ValueError, match="no name for a store"):
        Layout("../first", ("m1",), MEMBERS)


def test_the_next_store_has_the_other_ports() -> None:
    assert (ONE.other_ports, THREE.other_ports) == (PORTS[1], PORTS[0])


def test_a_machine_goes_by_what_it_was_pointed_at(tmp_path: Path) -> None:
    assert pointed_at(tmp_path) is None
    for layout in (ONE, THREE):
        point_at(tmp_path, layout)
        assert pointed_at(tmp_path) == layout


def test_who_is_on_no_mesh_lets_no_leaf_in() -> None:
    assert "leafnodes" not in configuration(own("m1"), founding("m1", KEYS["m1"]))


def test_only_holders_keep_records_and_only_of_three_have_routes() -> None:
    alone, leaf, third = (
        configuration(*each) for each in ((own("m1"), ONE), (own("m4"), THREE), (own("m3", "word"), THREE))
    )
    assert ["jetstream {" in each for each in (alone, leaf, third)] == [True, False, True]
    assert ["cluster {" in each for each in (alone, leaf, third)] == [False, False, True]
    with pytest.raises(ValueError, match="no password"):
        configuration(own("m3"), THREE)


def test_servers_listen_on_loopback_and_on_their_own_address_only() -> None:
    said = configuration(own("m3", "word"), THREE)
    listening = [line.split('"')[1] for line in said.splitlines() if line.strip().startswith("listen:")]
    assert listening == ["127.0.0.1:4223", "10.210.3.1:7423", "10.210.3.1:6223"]


def test_a_holder_knows_all_users_and_a_leaf_its_own() -> None:
    holder, leaf = configuration(own("m1"), ONE), configuration(own("m4"), THREE)
    assert [key in holder for key in KEYS.values()] == [True] * 5
    assert [key in leaf for key in KEYS.values()] == [False, False, False, True, True]  # the last is its keeper's


def test_only_a_leaf_writes_its_seed_down() -> None:
    assert "SUm1" not in configuration(own("m1"), ONE)
    assert "SUm4" in configuration(own("m4"), THREE)
    assert "SUm4" not in repr(own("m4", "word"))
    assert "word" not in repr(own("m4", "word"))


def test_a_change_of_members_is_one_of_users_alone() -> None:
    fewer = replace(ONE, members=MEMBERS[:-1])
    before, after = (configuration(own("m1"), layout) for layout in (ONE, fewer))
    assert before != after
    assert without_users(before) == without_users(after)


def test_a_holder_that_searches_is_a_leaf() -> None:
    said = configuration(own("m1"), ONE, searching=True)
    assert "jetstream" not in said
    assert "remotes" in said


def test_who_searches_tries_every_machine_at_the_ports_of_either_store() -> None:
    said = configuration(own("m4"), THREE, searching=True)
    for member in MEMBERS:
        for ports in PORTS:
            assert f"nats://{member.address}:{ports.leaves}" in said
    assert said.index("10.210.1.1:7423") < said.index("10.210.5.1:7423") < said.index("10.210.1.1:7422")
