"""secret rm: a secret is no more; what deploy points name of it is kept for them."""

from typing import Literal

from msgspec import Struct

from daemon.changing import secrets
from daemon.node import Node
from daemon.planning import NO_TOKEN
from daemon.planning.secrets import of, unnamed
from daemon.primitive import By, Commit, Part, Told, confirm, require
from daemon.records import Namespace, Newest, Token
from daemon.wire import Refused, Secret, SecretRm

KIND = "secret"


class Plan(Struct, frozen=True):
    """`removed` is what the namespace's record says from the commit on; the rest as of `secret set`."""

    operation: str
    token: Token
    namespace: str
    name: str
    removed: Newest
    forgets: tuple[int, ...]
    kept: tuple[int, ...]
    warnings: tuple[str, ...]


def claims(ask: SecretRm) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "change"}


async def plan(ask: SecretRm, node: Node, by: By) -> Plan:
    record = await node.records.namespace(ask.namespace)
    removed = Newest(_newest(record, ask).version, removed=True)
    _require_unused(record, ask)
    there = await node.records.versions(ask.namespace, ask.name)
    points = await node.records.points(ask.namespace)
    after = Namespace(record.head, secrets={**record.secrets, ask.name: removed})
    forgets = unnamed(ask.name, there, after, (point.head for point in points))
    return Plan(
        operation=by.operation,
        token=by.tokens.get(ask.namespace, NO_TOKEN),
        namespace=ask.namespace,
        name=ask.name,
        removed=removed,
        forgets=tuple(forgets),
        kept=tuple(sorted(set(there) - set(forgets))),
        warnings=tuple(
            f"version {of(point.head)[ask.name]} is kept, sealed, for deploy {point.head.deploy}"
            for point in points
            if ask.name in of(point.head)
        ),
    )


def _newest(record: Namespace, ask: SecretRm) -> Newest:
    newest = record.secrets.get(ask.name)
    if newest is None or newest.removed:
        cannot, why = f"cannot remove the secret {ask.namespace}/{ask.name}", "there is no such secret"
        raise Refused("secret.missing", cannot, why, f"ployzctl secret ls {ask.namespace}")
    return newest


def _require_unused(record: Namespace, ask: SecretRm) -> None:
    services = record.head.services.values() if record.head else ()
    users = sorted(service.name for service in services if ask.name in service.secrets)
    require(
        not users,
        "secret.used",
        f"cannot remove the secret {ask.namespace}/{ask.name}",
        f"{', '.join(users)} of {ask.namespace} {'uses' if len(users) == 1 else 'use'} it",
        "deploy a manifest that does not name it first",
    )


def steps(plan: Plan, node: Node) -> list[Part]:
    records = node.records
    return [
        Commit(
            f"commit that {plan.namespace}/{plan.name} is no secret any more",
            do=lambda: records.commit_secret(plan.namespace, plan.name, plan.removed, plan.operation, plan.token),
            settle=lambda: records.settle(plan.namespace, plan.operation),
        ),
        *secrets.forget(plan.namespace, plan.name, plan.forgets, node),
    ]


async def verify(plan: Plan, node: Node, told: Told) -> Secret:
    record = await node.records.namespace(plan.namespace)
    confirm(record.secrets.get(plan.name) == plan.removed, f"{plan.namespace}/{plan.name} is still a secret")
    there = await node.records.versions(plan.namespace, plan.name)
    confirm(tuple(there) == plan.kept, f"there are the versions {sorted(there)}, not {list(plan.kept)}")
    return Secret(plan.namespace, plan.name, None, list(plan.kept))
