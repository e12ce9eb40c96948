"""The verbs of a Node that other machines may ask for, as `daemon.node` says them: what they take and return."""

import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

import msgspec

from daemon.belonging import Mesh
from daemon.moves import Moves
from daemon.node import Datasets, Host, Instances, Node, Serving
from daemon.sealing import Vault
from daemon.transfers import Transfers

PARTS: dict[str, type[Any]] = {
    "datasets": Datasets,
    "transfers": Transfers,
    "instances": Instances,
    "serving": Serving,
    "vault": Vault,
    "host": Host,
    "mesh": Mesh,
    "moves": Moves,
}
"""The parts of a Node that each machine has for itself, under the names of its fields."""

LOOKS = frozenset(
    {
        *("datasets.look", "datasets.below", "datasets.space", "transfers.moved"),
        *("instances.look", "instances.all", "instances.statuses", "instances.addresses"),
        *("instances.resolve", "instances.images"),
        *("serving.listening", "serving.agrees", "host.memory", "mesh.at_work"),
        *("moves.prepared", "moves.turned"),
    }
)
"""What may be asked on behalf of no operation: it changes nothing that anybody relies on."""


@dataclass(frozen=True)
class Verb:
    """One verb. `given` is the Struct of its arguments, in its own order; `returns` the type of what it returns."""

    part: str
    name: str
    given: type[msgspec.Struct]
    returns: Any

    @property
    def looks(self) -> bool:
        return str(self) in LOOKS

    def __str__(self) -> str:
        return f"{self.part}.{self.name}"

    async def do(self, node: Node, given: bytes) -> bytes:
        """Do it on a machine. Raises what the verb raises, and msgspec.ValidationError."""
        arguments = msgspec.structs.asdict(msgspec.json.decode(given, type=self.given))
        return msgspec.json.encode(await getattr(getattr(node, self.part), self.name)(**arguments))

    def pack(self, *arguments: Any, **named: Any) -> bytes:
        """The arguments of a call."""
        return msgspec.json.encode(self.given(*arguments, **named))

    def unpack(self, returned: bytes) -> Any:
        """What it returned. Raises msgspec.ValidationError."""
        return msgspec.json.decode(returned, type=self.returns)


@cache
def verbs() -> dict[str, Verb]:
    """All of them by name, such as `datasets.clone`."""
    found = (_verb(part, name, told) for part, kind in PARTS.items() for name, told in _asked(kind))
    return {str(verb): verb for verb in found}


def _asked(kind: type[Any]) -> list[tuple[str, Any]]:
    """The verbs of a part: what is awaited. The rest is known without asking, or is nobody else's to ask for."""
    members = inspect.getmembers(kind, inspect.iscoroutinefunction)
    return [(name, told) for name, told in members if not name.startswith("_")]


def _verb(part: str, name: str, told: Any) -> Verb:
    hints, signature = get_type_hints(told), inspect.signature(told)
    fields = []
    for parameter in list(signature.parameters.values())[1:]:
        field: tuple[Any, ...] = (parameter.name, hints[parameter.name])
        fields.append(field if parameter.default is parameter.empty else (*field, parameter.default))
    given = msgspec.defstruct(f"{part}_{name}", fields, frozen=True, kw_only=False, forbid_unknown_fields=True)
    return Verb(part, name, given, hints["return"])
