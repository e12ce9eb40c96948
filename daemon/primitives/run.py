"""run: a command in an instance of its own, of a service's specification; whatever it comes to, that goes again.

It commits nothing and claims nothing, so it stands in nobody's way: it takes an address, and is found by its journal.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from msgspec import Struct

from daemon.change import Image
from daemon.changing import secrets
from daemon.changing.instances import fetch, take_back
from daemon.contents import contents
from daemon.node import Node
from daemon.planning.instances import one_shot
from daemon.planning.names import free
from daemon.primitive import By, Part, Step, Told, require, unrecorded
from daemon.records import Running
from daemon.seeing import require_service, see
from daemon.wire import Run
from runtime.instance import Specification

KIND = "executed"


class OneShot(Struct, frozen=True):
    """The plan of a run. `source` is the machine that its image comes from, if this one lacks it."""

    operation: str
    namespace: str
    image: str
    specification: Specification
    ip: str
    words: str
    secrets: dict[str, int] = {}
    source: str | None = None
    warnings: tuple[str, ...] = ()


Plan = OneShot


def claims(_: Run) -> dict[str, Literal["change", "read"]]:
    return {}


async def plan(ask: Run, node: Node, by: By) -> OneShot:
    what = f"cannot run a command as {ask.namespace}/{ask.service}"
    require(ask.argv, "exec.empty", what, "there is no command", "-- COMMAND ARGUMENTS")
    head, service = await require_service(node, ask.namespace, ask.service, what)
    for name, version in service.secrets.items():
        await secrets.require_opens(node.machine, (ask.namespace, name, version), what, node)
    seen = await see(node)
    ip = next(free(node.subnet, seen.taken["address"], by.operation))
    node.choices.note(by.operation, [("address", ip)])
    place = Running(f"{ask.namespace}-{ask.service}-run-{by.operation}", node.machine, ip, by.operation)
    settings = one_shot(service, place, ask.namespace, tuple(ask.argv))
    files = contents(head, service.specification.files)
    settings = replace(settings, attached=True, tty=ask.tty, files=files)
    volumes = ", ".join(service.specification.volumes)
    alone = f"it runs without the volume {volumes}, because two writers never share one; `exec` runs where it is"
    return OneShot(
        operation=by.operation,
        namespace=ask.namespace,
        image=service.image,
        specification=settings,
        ip=ip,
        words=" ".join(ask.argv),
        secrets=service.secrets,
        source=seen.giver(service.digest, node.machine),
        warnings=(alone,) if volumes else (),
    )


def steps(plan: OneShot, node: Node) -> Sequence[Part]:
    """What is made for it, all to be taken back. In place of a commit stands the command."""
    id, by, names = plan.specification.id, plan.operation, node.records

    async def make() -> None:
        mounts = await secrets.shown(plan.specification, by, plan.namespace, plan.secrets, node)
        await node.instances.create(replace(plan.specification, mounts=tuple(mounts)), by)

    image = Image(node.machine, plan.image, plan.specification.image, plan.source)
    return [
        *([] if plan.specification.runtime == "host" else [fetch(image, node)]),
        Step(
            "reserve its address",
            partial(names.reserve, "address", plan.ip, by, plan.namespace),
            partial(names.release, "address", plan.ip, plan.namespace, by),
        ),
        Step(f"make {id}", make, partial(take_back, id, by, node)),
        unrecorded(f"run {plan.words}"),
    ]


async def verify(plan: OneShot, node: Node, told: Told) -> Any:
    """Nothing of it stays that could be looked at."""
