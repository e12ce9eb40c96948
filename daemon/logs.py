"""The logs of several instances as one, by time, and on from there as they are written."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import heappop, heappush
from typing import Literal, Protocol

from daemon import units
from daemon.server import Emit
from daemon.wire import Logs, Output, Refused

Line = tuple[Literal["stdout", "stderr"], str, bytes]
"""The stream, when the engine got the line (RFC 3339 UTC, always of one length), and the line without its end."""


class Logged(Protocol):
    """An engine that keeps what instances wrote. `since` is Unix seconds. Raises instance.EngineProblem."""

    def logs(
        self, id: str, *, follow: bool = False, since: float | None = None, tail: int | None = None
    ) -> AsyncGenerator[Line, None]:
        """Lines, oldest first; with `follow` until the instance ends."""


@dataclass(frozen=True)
class Reading:
    """What is read of the logs: of which instances, each with the engine that has it, since when (Unix seconds), at
    most how many lines of the past. `lost` says of whom nothing more came, because their machine went away."""

    engines: Mapping[str, Logged]
    since: float | None = None
    tail: int | None = None
    lost: dict[str, str] = field(default_factory=dict)
    _last: dict[str, tuple[str, int]] = field(default_factory=dict)

    async def past(self, emit: Emit) -> None:
        """What was written until now, oldest first."""
        async with aclosing(_by_time([self._past_of(id) for id in self.engines])) as lines:
            if self.tail is None:
                async for line in lines:
                    await emit(line)
            else:
                for line in deque([line async for line in lines], maxlen=self.tail):
                    await emit(line)

    async def future(self, emit: Emit) -> None:
        """What was written since `past`, as it comes, until all instances have ended, or are lost."""
        readers = [asyncio.create_task(self._go_on(id, emit)) for id in self.engines]
        try:
            await asyncio.gather(*readers)
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

    async def _past_of(self, id: str) -> AsyncGenerator[Output, None]:
        async with aclosing(self.engines[id].logs(id, since=self.since, tail=self.tail)) as lines:
            async for stream, at, said in lines:
                last, count = self._last.get(id, ("", 0))
                self._last[id] = (at, count + 1 if at == last else 1)
                yield Output(said, stream, id, at)

    async def _go_on(self, id: str, emit: Emit) -> None:
        try:
            await self._follow(id, emit)
        except Refused as refused:
            if refused.code != "machine.unreachable":
                raise
            self.lost[id] = refused.why

    async def _follow(self, id: str, emit: Emit) -> None:
        last, seen = self._last.get(id, ("", 0))
        since = math.floor(unix(datetime.fromisoformat(last))) if last else self.since
        tail = 0 if self.tail == 0 else None
        async with aclosing(self.engines[id].logs(id, follow=True, since=since, tail=tail)) as lines:
            async for stream, at, said in lines:
                if at == last and seen:
                    seen -= 1
                elif at >= last:
                    await emit(Output(said, stream, id, at))


async def _by_time(streams: Sequence[AsyncGenerator[Output, None]]) -> AsyncGenerator[Output, None]:
    async with AsyncExitStack() as open_streams:
        heads: list[tuple[str, int, Output]] = []
        for number, stream in enumerate(streams):
            await open_streams.enter_async_context(aclosing(stream))
            await _advance(heads, number, stream)
        while heads:
            _, number, line = heappop(heads)
            yield line
            await _advance(heads, number, streams[number])


async def _advance(heads: list[tuple[str, int, Output]], number: int, stream: AsyncGenerator[Output, None]) -> None:
    line = await anext(stream, None)
    if line is not None:
        heappush(heads, (line.at, number, line))


def asked(request: Logs, now: datetime, cannot: str) -> tuple[float | None, int | None]:
    """Since when (Unix seconds), and how many lines. Raises Refused `logs.since` and `logs.tail`."""
    if request.tail is not None and request.tail < 0:
        raise Refused("logs.tail", f"cannot {cannot}", f"there are no {request.tail} lines", "--tail 10")
    return None if request.since is None else _since(request.since, now, cannot), request.tail


def _since(text: str, now: datetime, cannot: str) -> float:
    try:
        return unix(datetime.fromisoformat(text))
    except ValueError:
        pass  # then it is a duration
    try:
        return unix(now) - units.seconds(text)
    except ValueError as wrong:
        why = f"{text!r} is no time of RFC 3339, so it {wrong}"
        raise Refused("logs.since", f"cannot {cannot}", why, "--since 10m") from None


def unix(moment: datetime) -> float:
    """Unix seconds; a time without a zone is in UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
