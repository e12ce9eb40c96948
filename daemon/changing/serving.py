"""Who is sent where: the candidates' view of an open operation, and the flip."""

from functools import partial

from msgspec.structs import replace

from daemon.change import Change, Old
from daemon.node import Node, View
from daemon.primitive import Step
from daemon.records import Service

FLIP = "send everybody to what is committed"


def see_candidates(change: Change, node: Node) -> Step:
    says = "let candidates see each other, and nobody else them"
    if change.stops:
        says += f"; send nobody to {_listed(change.stops)} any more"
    return Step(
        says,
        do=lambda: node.serving.show(view(change)),
        undo=lambda: node.serving.drop(change.operation),
        restores=True,
        machine=node.machine,
    )


def check(change: Change, node: Node) -> Step:
    says = "check that names, addresses and routes can follow"
    return Step(says, lambda: node.serving.check(change.after), machine=node.machine)


def flip(change: Change, node: Node) -> Step:
    drop = partial(node.serving.drop, change.operation, committed=change.after)
    return Step(FLIP, drop, machine=node.machine)


def view(change: Change) -> View:
    """What the operation sees besides everybody."""
    candidates = [candidate for level in change.levels for candidate in level.candidates]
    one_shots = [hook.one_shot for level in change.levels for hook in level.hooks if hook.one_shot]
    members = [c.specification.ip for c in candidates] + [one_shot.ip for one_shot in one_shots]
    return View(
        operation=change.operation,
        namespace=change.after.namespace,
        candidates=tuple(_fresh(change, service) for service in _replaced(change)),
        members=tuple(ip for ip in members if ip),
        withdrawn=tuple(old.id for old in change.stops),
    )


def _replaced(change: Change) -> list[Service]:
    going = {candidate.service for level in change.levels for candidate in level.candidates}
    return [service for name, service in sorted(change.after.services.items()) if name in going]


def _fresh(change: Change, service: Service) -> Service:
    fresh = tuple(i for i in service.instances if i.operation == change.operation)
    return replace(service, instances=fresh)


def _listed(olds: tuple[Old, ...]) -> str:
    return ", ".join(sorted({old.service for old in olds}))
