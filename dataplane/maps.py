"""Where virtual addresses lead, written as an nftables table and read back from one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from math import lcm
from typing import Any

Place = tuple[str, int]
"""An address and a port, for TCP and UDP alike."""

Word = str | int
Elements = dict[str, dict[tuple[Word, ...], tuple[Word, ...]]]
"""The maps and sets of the table, by name; an element of a set leads to `()`."""

TABLE = "ployz"
MOST_SLOTS = 120
"""A map has one element for each service and slot, and loading it costs by the element."""


@dataclass(frozen=True)
class Maps:
    """Where virtual addresses lead; what is in neither map is refused at once.

    `everybody` leads a place to its targets, to each as often. `members` is consulted first, by source address;
    with no targets the place is refused to that member, wherever everybody else may be led.
    """

    everybody: Mapping[Place, tuple[Place, ...]] = field(default_factory=dict)
    members: Mapping[tuple[str, Place], tuple[Place, ...]] = field(default_factory=dict)


def slots_for(maps: Maps) -> int:
    """Into how many slots a random number is drawn, so that each target of a place has as many as the others.

    With unusual numbers of instances, for which that would be too many, some have one slot more than others.
    """
    counts = {len(targets) for targets in (*maps.everybody.values(), *maps.members.values()) if targets}
    even = lcm(*counts)
    return even if even <= MOST_SLOTS else max(MOST_SLOTS, *counts)


def elements(maps: Maps) -> Elements:
    """What the table holds for these maps. `own` are the pairs of an instance that reaches itself."""
    slots = slots_for(maps)
    targets = {target for led in (*maps.everybody.values(), *maps.members.values()) for target in led}
    return {
        "everybody": {(*at, n): led[n % len(led)] for at, led in maps.everybody.items() if led for n in range(slots)},
        "members": {
            (who, *at, n): led[n % len(led)] for (who, at), led in maps.members.items() if led for n in range(slots)
        },
        "closed": {(who, *at): () for (who, at), led in maps.members.items() if not led},
        "own": {(ip, ip): () for ip, _ in targets},
    }


def rules(slots: int) -> set[str]:
    """The comments that the rules of a table with so many slots bear: reading them back tells that it is whole."""
    return {"closed", f"members {slots}", f"everybody {slots}", "own", "unmapped"}


def render(maps: Maps, services: str) -> str:
    """One transaction for `nft -f -` that replaces the whole table. `services` is the range of virtual addresses."""
    held, slots = elements(maps), slots_for(maps)
    draw = f"numgen random mod {slots}"
    return f"""table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
  map everybody {{
    typeof ip daddr . th dport . {draw} : ip daddr . th dport
    {_written(held["everybody"])}
  }}
  map members {{
    typeof ip saddr . ip daddr . th dport . {draw} : ip daddr . th dport
    {_written(held["members"])}
  }}
  set closed {{
    typeof ip saddr . ip daddr . th dport
    {_written(held["closed"])}
  }}
  set own {{
    typeof ip saddr . ip daddr
    {_written(held["own"])}
  }}
{_chains(draw, slots, services)}
}}
"""


def _chains(draw: str, slots: int, services: str) -> str:
    """Who is no member falls through to `everybody`. The priority of the lookups is before Docker's (-100)."""
    both = "meta l4proto { tcp, udp }"
    members = f"{both} dnat ip to ip saddr . ip daddr . th dport . {draw} map @members"
    everybody = f'{both} dnat ip to ip daddr . th dport . {draw} map @everybody comment "everybody {slots}"'
    refuse = f"""ip daddr {services} meta l4proto tcp reject with tcp reset comment "unmapped"
    ip daddr {services} reject comment "unmapped\""""
    return f"""  chain prerouting {{
    type nat hook prerouting priority -105
    {both} ip saddr . ip daddr . th dport @closed accept comment "closed"
    {members} comment "members {slots}"
    {everybody}
  }}
  chain output {{
    type nat hook output priority -105
    {everybody}
  }}
  chain postrouting {{
    type nat hook postrouting priority 95
    ct status dnat ip saddr . ip daddr @own masquerade comment "own"
  }}
  chain forwarded {{
    type filter hook forward priority -10
    {refuse}
  }}
  chain sent {{
    type filter hook output priority -10
    {refuse}
  }}"""


def parse(told: dict[str, Any]) -> tuple[set[str], Elements]:
    """What `nft -j list table` told: the comments of the rules, and the elements."""
    lines = [(kind, it) for line in told["nftables"] for kind, it in line.items()]
    comments = {it.get("comment", "") for kind, it in lines if kind == "rule"}
    return comments, {
        it["name"]: dict(map(_element, it.get("elem", []))) for kind, it in lines if kind in ("map", "set")
    }


def maps_of(held: Elements) -> Maps:
    """The maps that such elements stand for."""
    everybody = {_place(at): led for at, led in _targets(held.get("everybody", {}))}
    members = {(str(at[0]), _place(at[1:])): led for at, led in _targets(held.get("members", {}))}
    closed: dict[tuple[str, Place], tuple[Place, ...]] = {
        (str(at[0]), _place(at[1:])): () for at in held.get("closed", {})
    }
    return Maps(everybody, members | closed)


def _written(held: Mapping[tuple[Word, ...], tuple[Word, ...]]) -> str:
    words = [_concatenated(key) + (f" : {_concatenated(to)}" if to else "") for key, to in held.items()]
    return f"elements = {{ {', '.join(words)} }}" if words else ""


def _concatenated(words: tuple[Word, ...]) -> str:
    return " . ".join(map(str, words))


def _element(it: Any) -> tuple[tuple[Word, ...], tuple[Word, ...]]:
    key, to = (it[0]["concat"], it[1]["concat"]) if isinstance(it, list) else (it["concat"], ())
    return tuple(key), tuple(to)


def _targets(held: Mapping[tuple[Word, ...], tuple[Word, ...]]) -> Iterable[tuple[tuple[Word, ...], tuple[Place, ...]]]:
    """Each key without its slot, with its different targets in the order of the slots."""
    ordered = sorted(held.items(), key=lambda pair: (list(map(str, pair[0][:-1])), int(pair[0][-1])))
    for key, group in groupby(ordered, key=lambda pair: pair[0][:-1]):
        yield key, tuple(dict.fromkeys(_place(to) for _, to in group))


def _place(words: tuple[Word, ...]) -> Place:
    return str(words[0]), int(words[1])
