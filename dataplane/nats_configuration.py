"""The configuration of a machine's nats-server: a pure function of the layout and of its own part."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataplane.layout import Layout, Member, Role

LARGEST_MESSAGE = 8 * 1024 * 1024
"""Bytes. An operation's record holds its plan, and that up to two heads with their manifests."""
DOMAIN = "hub"
"""The store's domain: the name by which it is found from leaves."""
CALLS = ("svc.>", "inbox.*.answer.*")
"""What every machine may send to others: calls, and answers to calls. Not what the store answers."""
PING = 3
"""Seconds between a server's questions on a silent connection. It closes one of which it missed two answers, and a leaf
whose holder was cut off finds the next: by the server's own default, two minutes, it stays with it for six."""
STORE = ("$JS.API.>", f"$JS.{DOMAIN}.API.>", "$JS.ACK.>", "$JS.FC.>", "$KV.>")


@dataclass(frozen=True)
class Own:
    """A machine's own part: its user's seed, the public key of its keeper, where it keeps its records.

    `password` is what the holders of a store of three know each other by; others have none.
    """

    machine: str
    seed: str = field(repr=False)
    keeper: str
    records: Path
    password: str = field(repr=False, default="")


def seen(machine: str) -> str:
    """The subject on which a machine tells all others of itself, and nobody else may."""
    return f"seen.{machine}"


def inbox(machine: str) -> str:
    """The prefix of subjects on which a machine may listen for answers."""
    return f"inbox.{machine}"


def server_name(machine: str, layout: Layout) -> str:
    """What a machine's server of this layout's store calls itself: another one's is told from it."""
    return f"{machine}@{layout.store}"


def configuration(own: Own, layout: Layout, *, searching: bool = False) -> str:
    """What nats-server reads. A leaf's holds a secret, as does that of one of three.

    A connection is not a permission: each user may only what is listed. Who is `searching` is a leaf, whatever it was,
    and tries all machines on the ports of either store: somebody who was away while the store moved finds it so.
    """
    role = Role.LEAF if searching else layout.role(own.machine)
    parts = [_heading(own, layout)]
    if role is not Role.LEAF:
        parts += [_records(own.records), _leaves_welcome(own, layout)]
    if role is Role.ONE_OF_THREE:
        parts.append(_routes(own, layout))
    if role is Role.LEAF:
        parts.append(_link(own, layout, searching=searching))
    return "".join([*parts, USERS_BEGIN, _accounts(own, layout, role)])


USERS_BEGIN = "# What follows a server reads again while it runs.\n"


def without_users(configuration: str) -> str:
    """The part that a server reads at its start only."""
    return configuration.partition(USERS_BEGIN)[0]


def _heading(own: Own, layout: Layout) -> str:
    return f"""\
server_name: "{server_name(own.machine, layout)}"
listen: "127.0.0.1:{layout.ports.clients}"
max_payload: {LARGEST_MESSAGE}
system_account: SYS
{_asking(own, layout)}"""


def _asking(own: Own, layout: Layout) -> str:
    """A server that has nobody to be cut off from wakes nobody."""
    if not layout.member(own.machine).address:
        return ""
    return f"""\
ping_interval: "{PING}s"
ping_max: 2
"""


def _records(folder: Path) -> str:
    return f"""\
jetstream {{
  store_dir: "{folder}"
  domain: {DOMAIN}
  sync_interval: always
  max_memory_store: 64MB
  max_file_store: 8GB
}}
"""


def _leaves_welcome(own: Own, layout: Layout) -> str:
    address = layout.member(own.machine).address
    if not address:
        return ""
    return f"""\
leafnodes {{
  listen: "{address}:{layout.ports.leaves}"
  no_advertise: true
}}
"""


def _routes(own: Own, layout: Layout) -> str:
    if not own.password:
        raise ValueError(f"{own.machine} has no password for the other holders")
    [here] = layout.addresses((own.machine,))
    others = layout.addresses(tuple(holder for holder in layout.holders if holder != own.machine))
    urls = [f"nats://holder:{own.password}@{address}:{layout.ports.routes}" for address in others]
    return f"""\
cluster {{
  name: "{layout.store}"
  listen: "{here}:{layout.ports.routes}"
  no_advertise: true
  authorization {{
    user: holder
    password: "{own.password}"
  }}
  routes: {_list(urls)}
}}
"""


def _link(own: Own, layout: Layout, *, searching: bool) -> str:
    reached = layout.addresses(layout.holders)
    ports = [layout.ports.leaves]
    if searching:
        reached += [m.address for m in layout.members if m.address and m.address not in reached]
        ports.append(layout.other_ports.leaves)
    urls = [f"nats://{address}:{port}" for port in ports for address in reached]
    return f"""\
leafnodes {{
  reconnect: "1s"
  remotes: [
    {{
      urls: {_list(urls)}
      nkey: "{own.seed}"
      account: CTL
    }}
  ]
}}
"""


def _accounts(own: Own, layout: Layout, role: Role) -> str:
    here = (layout.member(own.machine),)
    users = "".join(_user(member) for member in (here if role is Role.LEAF else layout.members))
    return f"""\
accounts {{
  SYS {{
    users: [ {{ nkey: {own.keeper} }} ]
  }}
  CTL {{
{_to_the_store() if role is Role.LEAF else "    jetstream: enabled"}
    users: [
{users}    ]
  }}
}}
"""


def _to_the_store() -> str:
    """What a leaf's clients say to a store of their own goes to the one there is."""
    return f"""\
    mappings {{
      "$JS.API.>": "$JS.{DOMAIN}.API.>"
      "$KV.>": "$JS.{DOMAIN}.API.$KV.>"
    }}"""


def _user(member: Member) -> str:
    return f"""\
      {{
        nkey: {member.key}
        permissions {{
          publish: {_list((*STORE, *CALLS, seen(member.machine)))}
          subscribe: {_list((f"{inbox(member.machine)}.>", f"svc.{member.machine}.>", seen("*")))}
        }}
      }}
"""


def _list(words: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"
