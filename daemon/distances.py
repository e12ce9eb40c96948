"""How far the other machines are, as this one measures it."""

import asyncio
import statistics
from collections.abc import Iterable

from daemon.knocking import knock
from daemon.records import Machine
from daemon.wire import RttRow

TIMES = 5
"""How often a machine is asked for the time that it takes."""


async def distances(here: str, machines: Iterable[Machine]) -> list[RttRow]:
    """From the machine `here` to each of the others, all at once."""
    return list(await asyncio.gather(*(_pair(here, other) for other in machines if other.name != here)))


async def _pair(here: str, other: Machine) -> RttRow:
    times = [took for _ in range(TIMES) if (took := await knock(other)) is not None]
    if not times:
        return RttRow(here, other.name, None, None)
    return RttRow(here, other.name, statistics.median(times), statistics.pstdev(times))
