"""What images the machines have, each asked just now."""

from collections.abc import Mapping

import msgspec

from daemon import problems
from daemon.engine import together
from daemon.node import Node
from daemon.records import Machine
from daemon.wire import ImageRow, Refused, Success
from runtime.instance import EngineProblem


async def images(machine: str | None, machines: Mapping[str, Machine], node: Node) -> Success:
    """kind `images`: those of one machine, or of all; who cannot tell is a warning. Of the one that was named it is
    Refused `machine.unreachable`, `engine.*`, and `machine.missing` if it is none of `machines`."""
    if machine and machine not in machines:
        known = f"there is no machine of that name; there is {', '.join(sorted(machines))}"
        raise Refused("machine.missing", f"cannot list the images of {machine}", known, "ployzctl machine ls")
    asked = [machine] if machine else sorted(machines)
    told = await together([_of(name, node) for name in asked])
    away = [problem for problem in told if isinstance(problem, Refused)]
    if machine and away:
        raise away[0]
    rows = [row for found in told if not isinstance(found, Refused) for row in found]
    return Success("images", {"images": msgspec.to_builtins(rows)}, None, [f"{one.what}: {one.why}" for one in away])


async def _of(machine: str, node: Node) -> list[ImageRow] | Refused:
    try:
        found = await node.at(machine).instances.images()
    except (Refused, EngineProblem) as problem:
        cannot = f"cannot list the images of {machine}"
        if isinstance(problem, Refused):
            return Refused(problem.code, cannot, problem.why, problem.hint)
        return problems.refused(problem, cannot)
    return [ImageRow(machine, image.name, image.digest, image.bytes) for image in found]
