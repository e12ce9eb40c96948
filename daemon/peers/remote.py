"""Other machines as Nodes: every verb is a question to the machine's daemon, on behalf of an operation or of none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import msgspec

from daemon.belonging import Mesh
from daemon.moves import Moves
from daemon.node import Datasets, Host, Instances, Node, Serving
from daemon.peers.calls import Call, Line, Part, answer_of
from daemon.peers.verbs import Verb, verbs
from daemon.records import Machine, Token, Turn
from daemon.sealing import Vault
from daemon.transfers import Streams, Transfers


@dataclass(frozen=True)
class RemotePeers:
    """Implements `daemon.node.Peers`. `members` are the machines of the cluster as the mirror has them; `streams` gives
    the bytes of one of them to clients of this machine."""

    line: Line
    members: Callable[[], Mapping[str, Machine]]
    own: Callable[[], Node]
    streams: Callable[[str], Streams]
    operation: str = ""
    part: Part | None = None

    def __call__(self, machine: str) -> Node:
        record, own = self.members().get(machine), self.own()
        if machine == own.machine:
            return replace(own, peers=self)
        about = partial(Remote, self, machine)
        return Node(
            machine=machine,
            subnet=record.subnet if record else "",
            services=own.services,
            datasets=cast(Datasets, RemoteDatasets(self, machine, "datasets", record.root if record else "")),
            instances=cast(Instances, about("instances")),
            records=own.records,
            serving=cast(Serving, about("serving")),
            streams=self.streams(machine),
            transfers=cast(Transfers, about("transfers")),
            vault=cast(Vault, about("vault")),
            host=cast(Host, about("host")),
            members=own.members,
            mesh=cast(Mesh, about("mesh")),
            moves=cast(Moves, about("moves")),
            peers=self,
        )

    def during(self, operation: str, tokens: Mapping[str, Token], turn: Turn) -> "RemotePeers":
        return replace(self, operation=operation, part=Part(dict(tokens), turn))

    async def ask(self, machine: str, verb: Verb, *arguments: Any, **named: Any) -> Any:
        """What a verb returned there. Raises what it raised there, and Refused `machine.unreachable`."""
        given = msgspec.Raw(verb.pack(*arguments, **named))
        asked = Call(str(verb), given, self.operation, None if verb.looks and not self.operation else self.part)
        return verb.unpack(await answer_of(self.line, machine, "do", msgspec.json.encode(asked)))


class Remote:
    """One part of another machine, with all its verbs."""

    def __init__(self, peers: RemotePeers, machine: str, part: str) -> None:
        self._peers, self._machine, self._part = peers, machine, part

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if verb := verbs().get(f"{self._part}.{name}"):
            return partial(self._peers.ask, self._machine, verb)
        raise AttributeError(f"{self._part} of another machine has no verb {name}")


class RemoteDatasets(Remote):
    """Its root is in the machine's record."""

    def __init__(self, peers: RemotePeers, machine: str, part: str, root: str) -> None:
        super().__init__(peers, machine, part)
        self.root = root
