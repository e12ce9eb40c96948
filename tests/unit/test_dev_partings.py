"""Partings as rules for nft, and as they are read back from what nft lists."""

import json
import re

import pytest

from daemon.dev.partings import listed, rules
from daemon.wire import DevParting

CUT = DevParting(["m1"], 100, one_way=False)
LOSSY = DevParting(["m1", "m3"], 20, one_way=True)


def test_a_parting_drops_what_the_machines_send_to_others_and_get_from_them() -> None:
    first, there, back = rules([CUT]).splitlines()
    assert first == "flush chain bridge ployz forward"
    assert 'iifname { "m1" } oifname != { "m1" }' in there
    assert 'oifname { "m1" } iifname != { "m1" }' in back
    assert all("ether type != arp numgen random mod 100 <= 99 counter drop" in rule for rule in (there, back))


def test_one_way_drops_only_what_they_send_and_only_a_share() -> None:
    _, rule = rules([LOSSY]).splitlines()
    assert 'iifname { "m1", "m3" } oifname != { "m1", "m3" }' in rule
    assert "numgen random mod 100 <= 19 " in rule


def test_without_any_everything_is_flushed() -> None:
    assert rules([]) == "flush chain bridge ployz forward\n"


@pytest.mark.parametrize("partings", [[], [CUT], [LOSSY, CUT]])
def test_what_was_written_is_read(partings: list[DevParting]) -> None:
    comments = re.findall(r'comment "([^"]*)"', rules(partings))
    chain = {"chain": {"name": "forward", "family": "bridge"}}
    answer = {"nftables": [{"metainfo": {}}, chain, *({"rule": {"comment": each}} for each in comments)]}
    assert listed(json.dumps(answer)) == partings
