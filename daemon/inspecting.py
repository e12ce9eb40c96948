"""One machine, looked into: what it has, and what of the cluster is on it."""

import asyncio
from collections.abc import Callable

from msgspec import structs

from daemon import rows, volume_rows
from daemon.finding import Mirror, heads
from daemon.records import Machine
from daemon.sites import Sites, Told, warnings
from daemon.wire import MachinePool, MachineRow, MachineSeen

Row = Callable[[Machine, Told | None], MachineRow]
"""The row of a machine in the list, by its record and what its daemon told."""


async def inspect(
    machine: Machine, sites: Sites, mirror: Mirror, row: Row, heard_at: str | None
) -> tuple[MachineSeen, list[str]]:
    """What it tells of itself, beside the records; and who does not answer. Copies of its volumes are on others, so all
    pools are asked. `heard_at` is when it was last heard, if it is another one."""
    name, of = machine.name, {machine.name}
    told, equipment, conditions, spaces, pools = await asyncio.gather(
        sites.told(of), sites.equipment(of), sites.conditions(of), sites.spaces(of), sites.pools()
    )
    has, space, there = equipment.there.get(name), spaces.there.get(name), told.there.get(name)
    pool = pools.there.get(name)
    seen = MachineSeen(
        **structs.asdict(row(machine, there)),
        heard_at=None if there else heard_at,
        capacity=has.capacity if has else None,
        pool=MachinePool(
            pool.root if pool else machine.root, space.used if space else None, space.size if space else None
        ),
        runtime=has.runtime if has else None,
        instances=[one for one in rows.instances(heads(mirror).values(), conditions.there) if one.machine == name],
        volumes=[one for one in volume_rows.volumes(mirror, pools.there, None) if one.machine == name],
    )
    return seen, warnings(told, equipment, conditions, spaces, pools)
