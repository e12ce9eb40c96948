"""A line between machines in memory, which can be cut, slow, or say things twice."""

from collections.abc import Awaitable, Callable

from daemon.wire import Refused

Handler = Callable[[bytes], Awaitable[bytes]]


class FakeLine:
    """`there` answers by machine and kind of question; `away` machines are not reached; `asked` is what was asked."""

    def __init__(self) -> None:
        self.there: dict[tuple[str, str], Handler] = {}
        self.away: set[str] = set()
        self.asked: list[tuple[str, bytes]] = []

    async def ask(self, machine: str, what: str, question: bytes) -> bytes:
        self.asked.append((machine, question))
        if machine in self.away or (machine, what) not in self.there:
            raise Refused("machine.unreachable", f"cannot ask {machine}", "nobody listens there")
        return await self.there[machine, what](question)
