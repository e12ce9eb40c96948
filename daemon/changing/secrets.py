"""The secrets that an instance sees: files in memory, there before it starts and gone with it."""

from collections.abc import Iterable, Mapping
from functools import partial

from daemon.change import SECRETS
from daemon.node import Node, Records, Vault
from daemon.primitive import Step, confirm
from daemon.records import Running, Service
from runtime.instance import Mount, Specification


async def shown(
    instance: Specification, by: str, namespace: str, secrets: Mapping[str, int], node: Node
) -> list[Mount]:
    """The mount with the secrets of an instance that the operation `by` makes; none if it sees none."""
    if not secrets:
        return []
    sealed = await _sealed(namespace, secrets, node.records)
    path = await node.vault.place(instance.id, by, sealed, instance.user)
    return [Mount(path, SECRETS, read_only=True)]


async def place(namespace: str, service: Service, instance: Running, records: Records, vault: Vault) -> None:
    """Have the files that a committed instance sees, before it starts again: after a boot they are gone."""
    if service.secrets:
        sealed = await _sealed(namespace, service.secrets, records)
        await vault.place(instance.id, instance.operation, sealed, service.specification.user)


async def _sealed(namespace: str, secrets: Mapping[str, int], records: Records) -> dict[str, bytes]:
    return {name: await _version(namespace, name, version, records) for name, version in secrets.items()}


async def _version(namespace: str, name: str, version: int, records: Records) -> bytes:
    versions = await records.versions(namespace, name)
    confirm(version in versions, f"version {version} of the secret {namespace}/{name} is not there any more")
    return versions[version].ciphertext


def forget(namespace: str, name: str, versions: Iterable[int], node: Node) -> list[Step]:
    """Steps after a commit: forget the versions of a secret that nothing names any more."""
    return [
        Step(
            f"forget version {version} of the secret {name}, which nothing names any more",
            partial(node.records.forget_version, namespace, name, version),
        )
        for version in versions
    ]
