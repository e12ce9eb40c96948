"""Where everything of a mesh lies in its network."""

from ipaddress import IPv4Network

import pytest

from daemon import addressing


@pytest.mark.parametrize("cidr", [addressing.DEFAULT, "10.64.0.0/12", "192.168.0.0/18", "172.20.16.0/20"])
def test_machines_guests_and_services_share_a_network_without_an_overlap(cidr: str) -> None:
    parts = [*addressing.subnets(cidr), addressing.guests(cidr), addressing.services(cidr)]
    networks = [IPv4Network(part) for part in parts]
    assert all(part.subnet_of(IPv4Network(cidr)) for part in networks)
    assert not [(one, other) for at, one in enumerate(networks) for other in networks[:at] if one.overlaps(other)]
    guests: list[str] = []
    for _ in addressing.subnets(cidr):
        guests.append(addressing.guest(cidr, guests, {}))
    assert len({*guests, addressing.door(cidr)}) == len(guests) + 1 >= 12
    assert IPv4Network(addressing.door(cidr)).subnet_of(IPv4Network(addressing.guests(cidr)))
    assert all(IPv4Network(guest).subnet_of(IPv4Network(addressing.guests(cidr))) for guest in guests)


def test_the_first_machines_of_the_network_that_nobody_chose() -> None:
    assert addressing.subnets(addressing.DEFAULT)[:2] == ("10.210.1.0/24", "10.210.2.0/24")
    assert addressing.address("10.210.2.0/24") == "10.210.2.1"
    assert addressing.guest(addressing.DEFAULT, (), {}) == "10.210.223.1"
    assert addressing.services(addressing.DEFAULT) == "10.210.224.0/19"


def test_a_guest_gets_the_address_that_was_given_away_longest_ago() -> None:
    all_of_them = [f"10.210.223.{number}" for number in range(1, addressing.MOST + 1)]
    given = {address: f"2026-01-01T00:{number % 60:02}" for number, address in enumerate(all_of_them, 1)}
    assert addressing.guest(addressing.DEFAULT, (), given) == "10.210.223.60"
    assert addressing.guest(addressing.DEFAULT, ["10.210.223.60"], given) == "10.210.223.120"
    del given["10.210.223.7"]
    assert addressing.guest(addressing.DEFAULT, (), given) == "10.210.223.7"


def test_the_lowest_free_subnet_is_given_away_first() -> None:
    assert addressing.free(addressing.DEFAULT, {"10.210.1.0/24", "10.210.3.0/24"}) == "10.210.2.0/24"
    assert addressing.free(addressing.DEFAULT, addressing.subnets(addressing.DEFAULT)) is None


@pytest.mark.parametrize("cidr", ["10.210.0.1/16", "10.210.0.0/24", "10.0.0.0/8", "8.8.0.0/16", "shop", "fd00::/48"])
def test_in_which_network_no_mesh_can_live(cidr: str) -> None:
    assert not addressing.is_usable(cidr)


def test_what_overlaps() -> None:
    there = ["0.0.0.0/0", "10.210.5.0/24", "10.0.0.0/8", "192.168.1.0/24"]
    assert addressing.overlapping(addressing.DEFAULT, there) == ["10.210.5.0/24", "10.0.0.0/8"]
