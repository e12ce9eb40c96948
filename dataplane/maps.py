"""Where virtual addresses and published ports lead, written as an nftables table and read back from one.

The table is made once; after that only its elements are replaced, in one transaction. To replace the table would
lose connections: a packet meets the chains of both, one before the switch and one after it, and neither leads it
(some 1 in 300 switches under load). For the same reason the slots are always the same number, and a map of single
targets is asked again after that of several: a place may have moved from the one to the other between two rules.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

Place = tuple[str, int]
"""An address and a port, for TCP and UDP alike."""

Word = str | int
Key = tuple[Word, ...]
Led = Mapping[Key, tuple[Place, ...]]
Elements = dict[str, dict[Key, Key]]
"""The maps and sets of the table, by name; an element of a set leads to `()`."""

TABLE = "ployz"
SLOTS = 60
"""A random number below this chooses among several targets: evenly among 2 to 6, nearly so among more, up to 60."""

AT, TO = "ip daddr . th dport", "ip daddr . th dport"
SHAPES = {
    "map one": f"{AT} : {TO}",
    "map many": f"{AT} . numgen random mod {SLOTS} : {TO}",
    "map member_one": f"ip saddr . {AT} : {TO}",
    "map member_many": f"ip saddr . {AT} . numgen random mod {SLOTS} : {TO}",
    "map door_one": f"th dport : {TO}",
    "map door_many": f"th dport . numgen random mod {SLOTS} : {TO}",
    "set closed": f"ip saddr . {AT}",
    "set own": "ip saddr . ip daddr",
}


@dataclass(frozen=True)
class Maps:
    """Where virtual addresses lead; what is in neither map is refused at once.

    `everybody` leads a place to its targets, to each about as often. `members` is consulted first, by source
    address; with no targets the place is refused to that member, wherever everybody else may be led. `published`
    leads ports of the host's own addresses.
    """

    everybody: Mapping[Place, tuple[Place, ...]] = field(default_factory=dict)
    members: Mapping[tuple[str, Place], tuple[Place, ...]] = field(default_factory=dict)
    published: Mapping[int, tuple[Place, ...]] = field(default_factory=dict)


def elements(maps: Maps) -> Elements:
    """What the table holds for these maps. `own` are the pairs of an instance that reaches itself."""
    everybody: Led = {(*at,): led for at, led in maps.everybody.items()}
    members: Led = {(who, *at): led for (who, at), led in maps.members.items()}
    doors: Led = {(port,): led for port, led in maps.published.items()}
    targets = {target for led in (*everybody.values(), *members.values(), *doors.values()) for target in led}
    return {
        "one": _single(everybody),
        "many": _spread(everybody),
        "member_one": _single(members),
        "member_many": _spread(members),
        "door_one": _single(doors),
        "door_many": _spread(doors),
        "closed": {at: () for at, led in members.items() if not led},
        "own": {(ip, ip): () for ip, _ in targets},
    }


def maps_of(held: Elements) -> Maps:
    """The maps that such elements stand for."""
    everybody = {_place(at): led for at, led in _targets(held, "one", "many")}
    members = {(str(at[0]), _place(at[1:])): led for at, led in _targets(held, "member_one", "member_many")}
    closed = {(str(at[0]), _place(at[1:])): tuple[Place, ...]() for at in held.get("closed", {})}
    published = {int(at[0]): led for at, led in _targets(held, "door_one", "door_many")}
    return Maps(everybody, members | closed, published)


def whole(maps: Maps, services: str) -> str:
    """Text for `nft -f -` that makes the table anew. `services` is the range of virtual addresses."""
    shapes = "".join(f"  {name} {{\n    typeof {shape}\n  }}\n" for name, shape in SHAPES.items())
    chains = "".join(f"  chain {name} {{\n{_lines(rules)}  }}\n" for name, rules in _chains(services).items())
    return f"table ip {TABLE}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n{shapes}{chains}}}\n{_added(maps)}"


def replaced(maps: Maps) -> str:
    """Text for `nft -f -` that replaces what the table holds."""
    flushed = (f"flush {kind} ip {TABLE} {name}\n" for kind, name in map(str.split, SHAPES))
    return "".join(flushed) + _added(maps)


def comments(services: str) -> list[str]:
    """What the rules of the table bear, in their order: reading them back tells that they are all there."""
    rules = [rule for chain in _chains(services).values() for rule in chain if "comment" in rule]
    return [rule.split('"')[1] for rule in rules]


def parse(told: dict[str, Any]) -> tuple[list[str], Elements]:
    """What `nft -j list table` told: the comments of the rules, and the elements."""
    lines = [(kind, it) for line in told["nftables"] for kind, it in line.items()]
    held = {it["name"]: dict(map(_element, it.get("elem", []))) for kind, it in lines if kind in ("map", "set")}
    return [it.get("comment", "") for kind, it in lines if kind == "rule"], held


def _chains(services: str) -> dict[str, list[str]]:
    """The priority of the lookups is before Docker's (-100)."""
    both, draw = "meta l4proto { tcp, udp }", f"numgen random mod {SLOTS}"
    one = f"{both} dnat ip to {AT} map @one"
    many = f"{both} dnat ip to {AT} . {draw} map @many"
    member_one = f"{both} dnat ip to ip saddr . {AT} map @member_one"
    member_many = f"{both} dnat ip to ip saddr . {AT} . {draw} map @member_many"
    everybody = [f'{one} comment "one"', f'{many} comment "many {SLOTS}"', f'{one} comment "one again"']
    members = [
        f'{both} ip saddr . {AT} @closed accept comment "closed"',
        f'{member_one} comment "member"',
        f'{member_many} comment "member many {SLOTS}"',
        f'{member_one} comment "member again"',
    ]
    refused = [
        f'ip daddr {services} meta l4proto tcp reject with tcp reset comment "reset {services}"',
        f'ip daddr {services} reject comment "reject {services}"',
    ]
    local = f"fib daddr type local ip daddr != 127.0.0.0/8 {both}"
    doors = [
        f'{local} dnat ip to th dport map @door_one comment "door"',
        f'{local} dnat ip to th dport . {draw} map @door_many comment "door many {SLOTS}"',
        f'{local} dnat ip to th dport map @door_one comment "door again"',
    ]
    own = 'ct status dnat ip saddr . ip daddr @own masquerade comment "own"'
    return {
        "prerouting": ["type nat hook prerouting priority -105", *members, *everybody, *doors],
        "output": ["type nat hook output priority -105", *everybody, *doors],
        "postrouting": ["type nat hook postrouting priority 95", own],
        "forwarded": ["type filter hook forward priority -10", *refused],
        "sent": ["type filter hook output priority -10", *refused],
    }


def _single(led: Led) -> dict[Key, Key]:
    return {at: targets[0] for at, targets in led.items() if len(targets) == 1}


def _spread(led: Led) -> dict[Key, Key]:
    several = ((at, targets) for at, targets in led.items() if len(targets) > 1)
    return {(*at, slot): targets[slot % len(targets)] for at, targets in several for slot in range(SLOTS)}


def _targets(held: Elements, one: str, many: str) -> Iterator[tuple[Key, tuple[Place, ...]]]:
    """Each key, without its slot, with its different targets in the order of the slots."""
    yield from ((key, (_place(to),)) for key, to in held.get(one, {}).items())
    slots = sorted(held.get(many, {}).items(), key=lambda pair: (list(map(str, pair[0][:-1])), int(pair[0][-1])))
    for key, group in groupby(slots, key=lambda pair: pair[0][:-1]):
        yield key, tuple(dict.fromkeys(_place(to) for _, to in group))


def _added(maps: Maps) -> str:
    named = elements(maps).items()
    return "".join(f"add element ip {TABLE} {name} {{ {_listed(held)} }}\n" for name, held in named if held)


def _listed(held: Mapping[Key, Key]) -> str:
    return ", ".join(_joined(key) + (f" : {_joined(to)}" if to else "") for key, to in held.items())


def _joined(words: Key) -> str:
    return " . ".join(map(str, words))


def _lines(words: list[str]) -> str:
    return "".join(f"    {line}\n" for line in words)


def _element(it: Any) -> tuple[Key, Key]:
    key, to = it if isinstance(it, list) else (it, {"concat": ()})
    return tuple(key["concat"]) if isinstance(key, dict) else (key,), tuple(to["concat"])


def _place(words: Key) -> Place:
    return str(words[0]), int(words[1])
