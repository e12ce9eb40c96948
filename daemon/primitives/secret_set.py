"""secret set: a secret gets a new version, sealed for all machines; what runs sees it from its next deploy on."""

import re
from typing import Literal

from msgspec import Struct

from daemon.changing import secrets
from daemon.node import Node
from daemon.planning import NO_TOKEN
from daemon.planning.secrets import of, recipients, unnamed
from daemon.primitive import By, Commit, Part, Step, Told, confirm, require
from daemon.records import Namespace, Newest, Sealed, Token
from daemon.wire import LARGEST_SECRET, NAME, SECRET, Secret, SecretSet

KIND = "secret"


class Plan(Struct, frozen=True):
    """The new version, and those that nothing names once it is there (`forgets`) or something still does (`kept`)."""

    operation: str
    token: Token
    namespace: str
    name: str
    version: int
    sealed: Sealed
    forgets: tuple[int, ...]
    kept: tuple[int, ...]
    warnings: tuple[str, ...]


def claims(ask: SecretSet) -> dict[str, Literal["change", "read"]]:
    cannot = f"cannot set the secret {ask.namespace}/{ask.name}"
    named = re.fullmatch(NAME, ask.namespace) and re.fullmatch(SECRET, ask.name)
    why = "a namespace has small letters, digits and `-`; a secret letters, digits and `_`, no digit first, at most 64"
    require(named, "secret.name", cannot, why, "ployzctl secret set shop/POSTGRES_PASSWORD")
    require(ask.value, "secret.empty", cannot, "its value is empty", "a value on stdin")
    fits = len(ask.value) <= LARGEST_SECRET
    why = f"it has {len(ask.value)} bytes, and {LARGEST_SECRET} (64 KiB) are the most"
    require(fits, "secret.too_large", cannot, why, "a volume, or an image, for what is large")
    return {ask.namespace: "change"}


async def plan(ask: SecretSet, node: Node, by: By) -> Plan:
    record = await node.records.namespace(ask.namespace)
    there = await node.records.versions(ask.namespace, ask.name)
    before = record.secrets.get(ask.name)
    version = before.version + 1 if before else 1
    past = [point.head for point in await node.records.points(ask.namespace)]
    forgets = unnamed(ask.name, there, _with(record, ask.name, version), past)
    keys = recipients(await node.members.machines())
    return Plan(
        operation=by.operation,
        token=by.tokens.get(ask.namespace, NO_TOKEN),
        namespace=ask.namespace,
        name=ask.name,
        version=version,
        sealed=Sealed(node.vault.seal(ask.value, keys), keys, by.operation, by.at, by.who),
        forgets=tuple(forgets),
        kept=tuple(sorted(set(there) - set(forgets))),
        warnings=tuple(_warnings(record, ask)),
    )


def _with(record: Namespace, name: str, version: int) -> Namespace:
    return Namespace(record.head, secrets={**record.secrets, name: Newest(version)})


def _warnings(record: Namespace, ask: SecretSet) -> list[str]:
    runs = of(record.head).get(ask.name) if record.head else None
    return [f"{ask.namespace} runs on with version {runs} of {ask.name} until its next deploy"] if runs else []


def steps(plan: Plan, node: Node) -> list[Part]:
    where, records = (plan.namespace, plan.name, plan.version), node.records
    newest = Newest(plan.version)
    return [
        Step(
            f"write version {plan.version} of the secret {plan.name}, sealed",
            do=lambda: records.keep_version(*where, plan.sealed),
            undo=lambda: records.forget_version(*where, plan.operation),
        ),
        Commit(
            f"commit version {plan.version} of {plan.namespace}/{plan.name}",
            do=lambda: records.commit_secret(plan.namespace, plan.name, newest, plan.operation, plan.token),
            settle=lambda: records.settle(plan.namespace, plan.operation),
        ),
        *secrets.forget(plan.namespace, plan.name, plan.forgets, node),
    ]


async def verify(plan: Plan, node: Node, told: Told) -> Secret:
    record = await node.records.namespace(plan.namespace)
    newest = record.secrets.get(plan.name)
    confirm(newest == Newest(plan.version), f"the newest version of {plan.namespace}/{plan.name} is {newest}")
    there = await node.records.versions(plan.namespace, plan.name)
    wanted = {*plan.kept, plan.version}
    confirm(set(there) == wanted, f"there are the versions {sorted(there)}, not {sorted(wanted)}")
    return Secret(plan.namespace, plan.name, plan.version, list(plan.kept))
