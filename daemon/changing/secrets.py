"""The secrets that an instance sees: files in memory, there before it starts and gone with it."""

from collections.abc import Iterable, Mapping
from functools import partial

import msgspec

from daemon.change import SECRETS, Carried, Change
from daemon.node import Node, Records
from daemon.planning.secrets import unnamed
from daemon.primitive import Step, confirm, require
from daemon.records import Running, Sealed, Service
from daemon.sealing import Vault
from runtime.instance import Mount, Specification


async def shown(
    instance: Specification, by: str, namespace: str, secrets: Mapping[str, int], node: Node
) -> list[Mount]:
    """The mount with the secrets of an instance that the operation `by` makes; none if it sees none."""
    if not secrets:
        return []
    sealed = await versions(namespace, secrets, node.records)
    path = await node.vault.place(instance.id, by, sealed, instance.user)
    return [Mount(path, SECRETS, read_only=True)]


async def place(namespace: str, service: Service, instance: Running, records: Records, vault: Vault) -> None:
    """Have the files that a committed instance sees, before it starts again: after a boot they are gone."""
    if service.secrets:
        sealed = await versions(namespace, service.secrets, records)
        await vault.place(instance.id, instance.operation, sealed, service.specification.user)


async def versions(namespace: str, secrets: Mapping[str, int], records: Records) -> dict[str, bytes]:
    """These versions of a namespace's secrets, sealed as they are. Raises NotSo where one is gone."""
    return {name: (await _version(namespace, name, version, records)).ciphertext for name, version in secrets.items()}


async def _version(namespace: str, name: str, version: int, records: Records) -> Sealed:
    versions = await records.versions(namespace, name)
    confirm(version in versions, f"version {version} of the secret {namespace}/{name} is not there any more")
    return versions[version]


def carry(change: Change, carried: Carried, node: Node) -> Step:
    """The source's version as the branch's own, sealed as it is: nobody opens it on the way."""
    at = (change.after.namespace, carried.name, carried.version)

    async def do() -> None:
        sealed = await _version(carried.source, carried.name, carried.there, node.records)
        own = msgspec.structs.replace(sealed, operation=change.operation, at=change.at, who=change.after.who)
        await node.records.keep_version(*at, own)

    return Step(
        f"write version {carried.version} of the secret {carried.name}, as {carried.source} has it",
        do,
        lambda: node.records.forget_version(*at, change.operation),
    )


def tidy(change: Change, node: Node) -> Step:
    """What is replaced is named although its deploy point was written only a moment ago; and of a record that is not
    this operation's own nothing is concluded."""
    namespace = change.after.namespace

    async def do() -> None:
        record = await node.records.namespace(namespace)
        confirm(record.by == change.operation, f"the record of {namespace} is not what was committed")
        heads = [point.head for point in await node.records.points(namespace)]
        heads += [change.before] if change.before else []
        stays = [head for head in heads if head.deploy not in change.forgets]
        for name in change.tidies:
            there = await node.records.versions(namespace, name)
            for version in unnamed(name, there, record, stays):
                await node.records.forget_version(namespace, name, version)

    return Step(f"forget the versions of {', '.join(change.tidies)} that nothing names any more", do)


def forget(namespace: str, name: str, versions: Iterable[int], node: Node) -> list[Step]:
    """Steps after a commit: forget the versions of a secret that nothing names any more."""
    return [
        Step(
            f"forget version {version} of the secret {name}, which nothing names any more",
            partial(node.records.forget_version, namespace, name, version),
        )
        for version in versions
    ]


async def require_opens(machine: str, what: tuple[str, str, int], cannot: str, node: Node) -> None:
    """Refuse `secret.sealed` unless a machine opens that version of a secret."""
    namespace, name, version = what
    sealed = (await node.records.versions(namespace, name)).get(version, Sealed())
    require(
        (await node.members.machines())[machine].recipient in sealed.recipients,
        "secret.sealed",
        cannot,
        f"{machine} cannot open version {version} of the secret {namespace}/{name}, which was sealed without it",
        "ployzctl secret rotate, which has a machine that can open it seal it for all",
    )
