"""Virtual addresses in a real kernel: where they lead, what is refused, and that a flip loses nothing."""

import asyncio
import http.client
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.firewall import Firewall, FirewallProblem
from dataplane.maps import Maps
from runtime.command import CommandError, run
from tests.adapters.bridge import GATEWAY, PORT, SERVICES, Machine, ip, machine, who

VIP, OTHER = "10.210.224.1", "10.210.224.2"
REFUSED = "ConnectionRefusedError"
FIREWALL = Firewall(SERVICES, "ploy0", GATEWAY)


@pytest.fixture
def here() -> Iterator[Machine]:
    with machine() as here:
        asyncio.run(FIREWALL.ensure())
        yield here


def apply(maps: Maps) -> None:
    asyncio.run(FIREWALL.apply(maps))


def led(*addresses: str) -> Maps:
    return Maps({(VIP, 80): tuple((address, PORT) for address in addresses)})


def test_an_address_leads_to_its_instance_from_everywhere(here: Machine) -> None:
    one, _ = here.add(2), here.add(3)
    apply(led(one))
    for source, seen_as in ((None, GATEWAY), (3, "10.210.1.3"), (2, GATEWAY)):
        [answer] = here.ask(source, (VIP, 80))
        assert answer.split()[:2] == [one, seen_as], source


def test_what_leads_nowhere_is_refused_at_once(here: Machine) -> None:
    here.add(2)
    apply(Maps())
    began = time.monotonic()
    assert here.ask(None, (VIP, 80)) + here.ask(2, (VIP, 80)) == [REFUSED, REFUSED]
    assert time.monotonic() - began < 3


def test_every_instance_gets_its_share(here: Machine) -> None:
    addresses = [here.add(number) for number in (2, 3, 4)]
    apply(led(*addresses))
    shares = Counter(map(who, here.ask(None, *[(VIP, 80)] * 300)))
    assert set(shares) == set(addresses)
    assert min(shares.values()) > 50


def test_members_see_candidates_and_nobody_else_does(here: Machine) -> None:
    old, new = here.add(2), here.add(3)
    here.add(4)
    members = {
        ("10.210.1.4", (VIP, 80)): ((new, PORT),),
        ("10.210.1.4", (OTHER, 80)): (),
        ("10.210.1.4", (OTHER, 81)): ((new, PORT),),
    }
    apply(Maps({(VIP, 80): ((old, PORT),), (OTHER, 80): ((old, PORT),)}, members))
    places = ((VIP, 80), (OTHER, 80), (OTHER, 81))
    assert list(map(who, here.ask(4, *places))) == [new, REFUSED, new]
    assert list(map(who, here.ask(2, *places))) == [old, old, REFUSED]
    assert list(map(who, here.ask(None, *places))) == [old, old, REFUSED]


def test_a_flip_under_load_loses_nothing(here: Machine, tmp_path: Path) -> None:
    old, new, answers = here.add(2), here.add(3), list[str]()
    here.add(4)
    apply(led(old))
    kept = http.client.HTTPConnection(VIP, 80, timeout=5)
    with here.load(4, (VIP, 80), answers, tmp_path / "over"):
        for addresses in ((old,), (new,), (old, new), (new,)) * 5:
            apply(led(*addresses))
            assert {who(answer) for answer in here.ask(None, (VIP, 80), (VIP, 80))} <= set(addresses)
            kept.request("GET", "/")
            assert who(kept.getresponse().read().decode()) == old, "an open connection stays where it is"
    kept.close()
    assert set(map(who, answers)) == {old, new}
    assert len(answers) > 200


def test_a_published_port_leads_from_the_hosts_addresses_and_no_others(here: Machine) -> None:
    one, two = here.add(2), here.add(3)
    apply(Maps(published={5000: ((one, PORT),), 5001: ((one, PORT), (two, PORT))}))
    for source in (None, 2, 3):
        assert list(map(who, here.ask(source, (GATEWAY, 5000)))) == [one], source
    assert set(map(who, here.ask(3, *[(GATEWAY, 5001)] * 40))) == {one, two}
    assert here.ask(None, ("127.0.0.1", 5000), (GATEWAY, 5002)) == [REFUSED, REFUSED]
    apply(Maps())
    assert here.ask(None, (GATEWAY, 5000)) == [REFUSED]


def test_a_published_port_is_reached_from_outside_whatever_docker_drops(here: Machine) -> None:
    one = here.add(2)
    ip("netns", "add", "i9")
    ip("link", "add", "outer", "type", "veth", "peer", "name", "eth0", "netns", "i9")
    try:
        ip("addr", "add", "192.0.2.1/24", "dev", "outer")
        ip("link", "set", "outer", "up")
        ip("-n", "i9", "addr", "add", "192.0.2.9/24", "dev", "eth0")
        ip("-n", "i9", "link", "set", "eth0", "up")
        ip("-n", "i9", "route", "add", "default", "via", "192.0.2.1")
        for words in DOCKERS:
            asyncio.run(run("iptables", *words.split()))
        apply(Maps({(VIP, 80): ((one, PORT),)}, published={5000: ((one, PORT),)}))
        assert here.ask(9, (one, PORT)) == ["TimeoutError"]
        for _ in range(2):
            asyncio.run(FIREWALL.ensure())
            assert [a.split()[:2] for a in here.ask(9, ("192.0.2.1", 5000))] == [[one, "192.0.2.9"]]
        assert here.ask(9, (one, PORT)) == ["TimeoutError"], "only what is published is let through"
        assert asyncio.run(run("iptables", "-S", "DOCKER-USER")).count("DNAT") == 1
    finally:
        ip("link", "del", "outer")
        ip("netns", "del", "i9")


DOCKERS = (
    "-N DOCKER-USER",
    "-A DOCKER-USER -j RETURN",
    "-P FORWARD DROP",
    "-A FORWARD -j DOCKER-USER",
    "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
)
"""What Docker has where it switched forwarding on itself."""


def test_a_published_port_flips_under_load_without_a_loss(here: Machine, tmp_path: Path) -> None:
    old, new, answers = here.add(2), here.add(3), list[str]()
    here.add(4)
    apply(Maps(published={5000: ((old, PORT),)}))
    with here.load(4, (GATEWAY, 5000), answers, tmp_path / "over"):
        for addresses in ((new,), (old, new), (old,), (new,)) * 5:
            apply(Maps(published={5000: tuple((address, PORT) for address in addresses)}))
            assert {who(answer) for answer in here.ask(None, (GATEWAY, 5000))} <= set(addresses)
    assert set(map(who, answers)) == {old, new}


def test_it_holds_what_it_was_given(here: Machine) -> None:
    maps = Maps(
        {(VIP, 80): (("10.210.1.2", 1), ("10.210.1.3", 1)), (OTHER, 80): (("10.210.1.4", 2),)},
        {("10.210.1.9", (VIP, 80)): (("10.210.1.8", 1),), ("10.210.1.9", (OTHER, 80)): ()},
        {5000: (("10.210.1.2", 1),), 5001: (("10.210.1.2", 1), ("10.210.1.3", 1))},
    )
    assert asyncio.run(FIREWALL.read()) == Maps()
    for _ in range(2):
        apply(maps)
        assert asyncio.run(FIREWALL.read()) == maps
    assert asyncio.run(FIREWALL.differs(maps)) == ""
    assert "10.210.1.9" in asyncio.run(FIREWALL.differs(replace(maps, members={})))


def test_it_checks_without_touching(here: Machine) -> None:
    apply(led("10.210.1.2"))
    asyncio.run(FIREWALL.check(led("10.210.1.3")))
    with pytest.raises(CommandError, match="no address"):
        asyncio.run(FIREWALL.check(led("no address")))
    assert asyncio.run(FIREWALL.differs(led("10.210.1.2"))) == ""


@pytest.mark.parametrize("lie", ["exit 0", "exit 1", "exec sleep 60"])
def test_lies_of_nft_are_found_out(here: Machine, tmp_path: Path, lie: str) -> None:
    apply(led("10.210.1.2"))
    with pytest.raises(FirewallProblem, match=r"but one leads .* to \('10.210.1.2', 8080\), not to"):
        asyncio.run(lying(tmp_path, lie).apply(led("10.210.1.3")))
    assert asyncio.run(FIREWALL.differs(led("10.210.1.2"))) == ""


def test_half_of_the_work_is_found_out(here: Machine, tmp_path: Path) -> None:
    apply(led("10.210.1.2"))
    with pytest.raises(FirewallProblem, match=r"exited with 0, but one leads .* to None, not to"):
        asyncio.run(lying(tmp_path, "grep -v ^add | nft -f -").apply(led("10.210.1.3")))
    apply(led("10.210.1.3"))


@pytest.mark.parametrize("lie", ["nft -f -; exit 1", "nft -f -; exec sleep 60"])
def test_what_is_so_is_so_whatever_nft_says(here: Machine, tmp_path: Path, lie: str) -> None:
    asyncio.run(lying(tmp_path, lie).apply(led("10.210.1.3")))
    assert asyncio.run(FIREWALL.differs(led("10.210.1.3"))) == ""


def test_a_table_that_lost_a_rule_differs_and_is_made_anew(here: Machine, tmp_path: Path) -> None:
    apply(led("10.210.1.2"))
    asyncio.run(run("nft", "flush", "chain", "ip", "ployz", "prerouting"))
    assert "rules" in asyncio.run(FIREWALL.differs(led("10.210.1.2")))
    apply(led("10.210.1.2"))
    assert asyncio.run(FIREWALL.differs(led("10.210.1.2"))) == ""


def test_a_setting_that_cannot_be_made_says_what_breaks(tmp_path: Path, here: Machine) -> None:
    (tmp_path / "bridge").mkdir()
    with pytest.raises(FirewallProblem, match=r"cannot set net.ipv4.ip_forward to 1: .*; without it instances"):
        asyncio.run(replace(FIREWALL, settings=tmp_path).ensure())


def lying(folder: Path, about_loading: str) -> Firewall:
    shim = folder / "nft"
    shim.write_text(f'#!/bin/sh\n[ "$1" != -f ] && exec nft "$@"\n{about_loading}\n')
    shim.chmod(0o755)
    return replace(FIREWALL, nft=str(shim), within=2.0)
