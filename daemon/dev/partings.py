"""What is lost between the machines of a local cluster, as the rules of a bridge and read back from them.

A parting stands in the comment of each of its rules, so what is listed is what the kernel holds.
"""

import json
from collections.abc import Iterable

from daemon.wire import DevParting

TABLE, CHAIN = ("bridge", "ployz"), "forward"
MAKE_CHAIN = "{ type filter hook forward priority 0 ; }"
LIST = ("nft", "-j", "list", "chain", *TABLE, CHAIN)
WAYS = {"both-ways": False, "one-way": True}


def rules(partings: Iterable[DevParting]) -> str:
    """The text that makes `nft` hold exactly these, in one transaction."""
    chain = " ".join((*TABLE, CHAIN))
    lines = [f"add rule {chain} {rule}" for parting in partings for rule in _rules_of(parting)]
    return "\n".join([f"flush chain {chain}", *lines, ""])


def listed(answer: str) -> list[DevParting]:
    """The partings that the answer to LIST tells of, oldest first."""
    found = [line["rule"]["comment"] for line in json.loads(answer)["nftables"] if "rule" in line]
    return [_parting(comment) for comment in dict.fromkeys(found)]


def _rules_of(parting: DevParting) -> list[str]:
    """Questions for a neighbour's hardware address pass: without them, losing one way would be losing both."""
    side = ", ".join(f'"{machine}"' for machine in parting.machines)
    ways = [f"iifname {{ {side} }} oifname != {{ {side} }}", f"oifname {{ {side} }} iifname != {{ {side} }}"]
    lost = f'ether type != arp numgen random mod 100 <= {parting.loss - 1} counter drop comment "{_comment(parting)}"'
    return [f"{way} {lost}" for way in ways[: 1 if parting.one_way else 2]]


def _comment(parting: DevParting) -> str:
    way = next(word for word, one_way in WAYS.items() if one_way is parting.one_way)
    return " ".join([way, str(parting.loss), *parting.machines])


def _parting(comment: str) -> DevParting:
    way, loss, *machines = comment.split()
    return DevParting(machines, int(loss), WAYS[way])
