"""The secrets that an instance sees: files in memory, there before it starts and gone with it."""

from collections.abc import Iterable, Mapping
from functools import partial

from daemon.change import SECRETS
from daemon.node import Node
from daemon.primitive import Step, confirm
from runtime.instance import Mount, Specification


async def shown(namespace: str, specification: Specification, secrets: Mapping[str, int], node: Node) -> list[Mount]:
    """The mount with an instance's secrets; none if it sees none."""
    if not secrets:
        return []
    path = await place(namespace, specification.id, secrets, specification.user, node)
    return [Mount(path, SECRETS, read_only=True)]


async def place(namespace: str, instance: str, secrets: Mapping[str, int], user: str | None, node: Node) -> str:
    """Have the files that an instance sees, as when it was made: they are in memory, so after a boot they are gone."""
    sealed = {name: await _sealed(namespace, name, version, node) for name, version in secrets.items()}
    return await node.vault.place(instance, sealed, user)


async def _sealed(namespace: str, name: str, version: int, node: Node) -> bytes:
    versions = await node.records.versions(namespace, name)
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
