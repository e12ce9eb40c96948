"""The JetStream stream that a bucket of records is: made, told of, closed for a move and opened again."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct, field

from dataplane.bus import Bus
from dataplane.entry import StoreDown

NO_STREAM = 10059
OPEN, CLOSED = -1, 1
"""The most bytes of a message. No record fits into one byte, its headers counted; the empty mark does."""


class Problem(Struct):
    """Why the store did not do it."""

    description: str = ""
    err_code: int = 0


class Message(Struct):
    """A message as the store keeps it; `data` in base64."""

    seq: int
    data: str = ""


class _State(Struct):
    first_seq: int = 0
    last_seq: int = 0


class _Config(Struct):
    num_replicas: int = 1
    max_msg_size: int = OPEN


class _Peer(Struct):
    name: str
    current: bool = False


class _Cluster(Struct):
    leader: str = ""
    replicas: list[_Peer] = field(default_factory=list)


class Answer(Struct):
    """What the store answers: some of this, by what was asked."""

    error: Problem | None = None
    seq: int = 0
    message: Message | None = None
    num_pending: int = 0
    ts: datetime | None = None
    config: _Config = field(default_factory=_Config)
    state: _State = field(default_factory=_State)
    cluster: _Cluster = field(default_factory=_Cluster)


class Stream:
    """The stream of one bucket. Each verb raises StoreDown without an answer, or with one that it cannot go on with."""

    def __init__(self, bus: Bus, bucket: str) -> None:
        self.name, self.prefix = f"KV_{bucket}", f"$KV.{bucket}."
        self._bus, self._mark = bus, f"$KV.{bucket}"

    async def make(self, replicas: int, first: int) -> None:
        """Have the stream; where there is none, on so many machines, its first sequence being `first`."""
        answer = await self.api(f"STREAM.INFO.{self.name}", {})
        if answer.error and answer.error.err_code == NO_STREAM:
            shape = self._shape(replicas, OPEN) | ({"first_seq": first} if first > 1 else {})
            answer = await self.api(f"STREAM.CREATE.{self.name}", shape)
        if answer.error:
            raise StoreDown(f"cannot make the bucket: {answer.error.description}")

    async def is_there(self) -> bool:
        """Whether it was ever made. Who cannot say, because most of its machines are away, does not answer."""
        answer = await self.api(f"STREAM.INFO.{self.name}", {})
        if answer.error and answer.error.err_code == NO_STREAM:
            return False
        return bool(_sound(answer))

    async def info(self) -> Answer:
        """What its leader tells of it."""
        return _sound(await self.api(f"STREAM.INFO.{self.name}", {}))

    async def has_majority(self) -> bool:
        """Whether most of its machines hold it together. One that is cut off from the others answers too."""
        info = await self.info()
        if info.config.num_replicas == 1:
            return True
        together = 1 + sum(peer.current for peer in info.cluster.replicas)
        return bool(info.cluster.leader) and together > info.config.num_replicas / 2

    async def is_closed(self) -> bool:
        """Whether it is closed for a move: nothing can be written into it."""
        return (await self.info()).config.max_msg_size == CLOSED

    async def close(self) -> None:
        """Have nothing written into it any more. It can be read, and opened again; closed already is fine."""
        await self._update(CLOSED)

    async def open(self) -> None:
        """Have it written to again."""
        await self._update(OPEN)

    async def mark(self) -> int:
        """Write a mark, also where it is closed, and return its sequence: whatever was sent before is decided then.

        No reader of the bucket sees it.
        """
        return _sound(decode(await self._bus.ask(self._mark, b""))).seq

    async def api(self, call: str, request: dict[str, Any]) -> Answer:
        """Ask the store's API."""
        return decode(await self._bus.ask(f"$JS.API.{call}", msgspec.json.encode(request)))

    async def _update(self, largest: int) -> None:
        replicas = (await self.info()).config.num_replicas
        changed = _sound(await self.api(f"STREAM.UPDATE.{self.name}", self._shape(replicas, largest)))
        if changed.config.max_msg_size != largest:
            raise StoreDown("the store took the bucket's new shape, and kept the old one")

    def _shape(self, replicas: int, largest: int) -> dict[str, Any]:
        return {
            "name": self.name,
            "subjects": [f"{self.prefix}>", self._mark],
            "storage": "file",
            "max_msgs_per_subject": 1,
            "max_msg_size": largest,
            "discard": "new",
            "num_replicas": replicas,
            "allow_direct": False,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
        }


def decode(answer: bytes) -> Answer:
    """Raises StoreDown if it is none."""
    try:
        return msgspec.json.decode(answer, type=Answer)
    except msgspec.MsgspecError as problem:
        raise StoreDown(f"the store's answer makes no sense: {problem}") from problem


def _sound(answer: Answer) -> Answer:
    if answer.error:
        raise StoreDown(answer.error.description)
    return answer
