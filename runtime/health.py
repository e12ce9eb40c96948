"""Readiness: ask an instance until it is ready, and notice at once when it ends instead."""

import asyncio
import os
from collections.abc import Awaitable, Sequence
from typing import Protocol

from runtime.instance import Check, Condition, Ended, EngineProblem, EngineUnavailable, NotReady

SAID = 20
"""Lines of its log that go with the bad news."""
WATCH, SETTLE, PROBE = 0.1, 1.0, 10.0
"""Seconds between two looks, that an instance without a check has to last, and that one question may take."""
SOONEST = 0.02
"""Seconds between the first two questions; each pause is half as long again as the one before, up to `every`."""


class Patient(Protocol):
    """What readiness needs of the engine."""

    async def look(self, id: str) -> Condition | None: ...
    async def run(self, id: str, argv: Sequence[str], within: float) -> Ended: ...
    async def tail(self, id: str, lines: int) -> str: ...


async def wait_until_ready(patient: Patient, id: str, check: Check) -> None:
    """Raises NotReady, with the end of its log, when the instance ends, restarts, or its time is up."""
    began = await _running(patient, id, None)
    complaints: list[str] = []
    try:
        async with asyncio.timeout(check.timeout):
            await _first(_asking(patient, began, check, complaints), _watching(patient, began))
    except TimeoutError:
        last = f" (last: {complaints[-1]})" if complaints else ""
        why = f"{id} was not ready within {check.timeout:g} seconds{last}"
        raise NotReady(why, await patient.tail(id, SAID)) from None
    await _running(patient, id, began.restarts)


async def _running(patient: Patient, id: str, restarts: int | None) -> Condition:
    """The instance, if it runs and was not restarted meanwhile; else NotReady."""
    found = await patient.look(id)
    if found is None:
        raise NotReady(f"{id} is not there any more")
    if found.status == "running" and restarts in (None, found.restarts):
        return found
    if found.status == "created":
        raise NotReady(f"{id} was not started")
    how = "and was restarted" if found.last_exit is None else f"with code {found.last_exit}"
    raise NotReady(f"{id} ended {how}", await patient.tail(id, SAID))


async def _watching(patient: Patient, began: Condition) -> None:
    while True:
        await asyncio.sleep(WATCH)
        await _running(patient, began.id, began.restarts)


async def _asking(patient: Patient, began: Condition, check: Check, complaints: list[str]) -> None:
    """Ask until there is no complaint. Each answer is a complaint, or nothing."""
    if not (check.exec or check.tcp or check.http):
        await asyncio.sleep(SETTLE)
        return
    pause = min(SOONEST, check.every)
    while complaint := await _asked(patient, began, check):
        complaints.append(complaint)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, check.every)


async def _asked(patient: Patient, began: Condition, check: Check) -> str:
    try:
        if check.exec:
            return await _exec(patient, began.id, check.exec)
        if not began.ip:
            return f"{began.id} has no address"
        async with asyncio.timeout(PROBE):
            return await (_http(began.ip, check) if check.http else _tcp(began.ip, check.tcp or 0))
    except TimeoutError:
        return f"no answer within {PROBE:g} seconds"
    except OSError as error:
        at = check.port if check.http else check.tcp
        return f"{began.ip}:{at}: {os.strerror(error.errno) if error.errno else error}"


async def _exec(patient: Patient, id: str, argv: Sequence[str]) -> str:
    try:
        ended = await patient.run(id, argv, PROBE)
    except EngineUnavailable:
        raise
    except EngineProblem as problem:
        return str(problem)  # it is just ending, perhaps: whoever watches will see
    return f"{argv[0]} exited with {ended.code}: {ended.output.strip()[-200:]}" if ended.code else ""


async def _tcp(ip: str, port: int) -> str:
    _, writer = await asyncio.open_connection(ip, port)
    await _hang_up(writer)
    return ""


async def _http(ip: str, check: Check) -> str:
    reader, writer = await asyncio.open_connection(ip, check.port)
    try:
        writer.write(f"GET {check.http} HTTP/1.0\r\nHost: {ip}:{check.port}\r\nUser-Agent: ployz\r\n\r\n".encode())
        await writer.drain()
        words = (await reader.readline()).decode(errors="replace").split(maxsplit=2)
    finally:
        await _hang_up(writer)
    if len(words) < 2 or not words[0].startswith("HTTP/"):
        return "its answer is no HTTP"
    return "" if words[1][:1] in "23" else f"GET {check.http} answered {' '.join(words[1:]).strip()}"


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return


async def _first(*works: Awaitable[None]) -> None:
    """Wait for the first to end and for the others to be cancelled; its error is ours."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
