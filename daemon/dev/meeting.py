"""The machines of a local cluster become one: the first founds a mesh, the others are invited to it and join.

Who has been with others stays as it is: that it was removed while it was off it finds out by nobody, and says by itself
that it is out of sight of the records.
"""

import asyncio
import secrets
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from daemon.dev.cluster import Cluster
from daemon.dev.enclosure import MachineFailed, end_of
from daemon.dev.machine import Machine
from daemon.dev.story import Story
from daemon.wire import (
    Call,
    Failure,
    How,
    Join,
    MachineInvite,
    MachineLs,
    MeshInit,
    Problem,
    Refused,
    Request,
    Success,
    encode,
    problem,
)

AWAY = 60.0
"""Seconds that a daemon which starts anew may be away, or its store."""
NOT_NOW = ("store.down", "store.closed")
"""The codes of refusals while the store moves: nothing was changed, and the same id is good again."""


class _Line(Struct):
    ok: bool | None = None


async def meet(cluster: Cluster, names: list[str], story: Story, bound: asyncio.Semaphore) -> None:
    """Have these machines, which all run, be in one mesh; nothing is done where they are. Raises MachineFailed."""
    if len(names) == 1:
        return
    try:
        known = {name: await _known(cluster.machine(name)) for name in names}
        alone = [cluster.machine(name) for name in names if known[name] == {name}]
        if not alone:
            return
        host = await _host([cluster.machine(name) for name in names if known[name] != {name}], alone)
        if not host:
            host = alone[0]
            await _found(host, cluster.name, story)
        others = [machine for machine in alone if machine.name not in known[host.name]]
        await asyncio.gather(*(_join(host, other, story, bound) for other in others))
    except Problem as failure:
        raise MachineFailed(str(failure)) from failure


async def _known(machine: Machine) -> set[str]:
    """The machines that it knows as those of its cluster, itself included."""
    return {row["name"] for row in (await asked(machine, MachineLs())).result["machines"]}


async def _host(members: list[Machine], alone: list[Machine]) -> Machine | None:
    """A machine that lets others into its mesh, be it the last one there; None if there is no mesh.

    Raises MachineFailed if there is one, and none of its machines has its records in sight in time.
    """
    until = time.monotonic() + AWAY
    while True:
        for machine in (*members, *alone):
            if await _lets_in(machine):
                return machine
        if not members:
            return None
        if time.monotonic() > until:
            names = ", ".join(machine.name for machine in members)
            raise MachineFailed(f"none of {names} has the records of their mesh in sight, so nobody can join")
        await asyncio.sleep(0.1)


async def _lets_in(machine: Machine) -> bool:
    """Whether it could invite somebody, by what it knows just now."""
    try:
        await _asked_once(machine.door, encode(Call(MachineInvite(), How(preview=True))))
    except (Refused, aiohttp.ClientError, OSError):
        return False
    return True


async def _found(first: Machine, network: str, story: Story) -> None:
    with story.doing(f"Found the mesh {network} on {first.name}"):
        try:
            await asked(first, MeshInit(network), new_operation())
        except Problem as failure:
            if failure.code != "mesh.exists":  # an earlier command got this far
                raise


async def _join(first: Machine, other: Machine, story: Story, bound: asyncio.Semaphore) -> None:
    async with bound:
        with story.doing(f"Invite {other.name}, and have it join"):
            invited = await asked(first, MachineInvite(name=other.name), new_operation())
            await asked(other, Join(invited.result["token"]), new_operation())


def new_operation() -> str:
    """An id under which a call can be attached to again."""
    return f"op-dev-{secrets.token_hex(6)}"


async def asked(machine: Machine, request: Request, operation: str | None = None) -> Success:
    """The answer of its daemon. One that starts anew meanwhile is asked again, for the same operation.

    Raises Problem, and MachineFailed with the end of its log if it does not answer.
    """
    until = time.monotonic() + AWAY
    body = encode(Call(request, How(op_id=operation)))
    while True:
        try:
            return await _asked_once(machine.door, body)
        except Refused as refused:
            if refused.code not in NOT_NOW or time.monotonic() > until:
                raise
        except (aiohttp.ClientError, OSError) as failure:
            if time.monotonic() > until:
                why = f"ployzd on {machine.name} does not answer: {failure}; its log ends:\n{end_of(machine.log)}"
                raise MachineFailed(why) from failure
        await asyncio.sleep(0.1)


async def _asked_once(door: Path, body: bytes) -> Success:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(door))) as session,
        session.post("http://ployzd/v1/call", data=body) as response,
    ):
        *_, last = [b"", *(await response.read()).splitlines()]
    ending = _decoded(last, _Line)
    if ending.ok is None:
        raise aiohttp.ClientPayloadError("its answer has no end")
    if not ending.ok:
        raise problem(_decoded(last, Failure).error)
    answer: Success = _decoded(last, Success)
    return answer


def _decoded(line: bytes, shape: Any) -> Any:
    try:
        return msgspec.json.decode(line, type=shape)
    except msgspec.MsgspecError as failure:
        raise aiohttp.ClientPayloadError(f"its answer makes no sense: {failure}") from failure
