"""What is sealed, sealed anew for the machines that there are, by one that opens it."""

from collections.abc import Collection

from msgspec.structs import replace

from daemon.node import Node
from daemon.planning.secrets import recipients
from daemon.wire import Refused


async def secret(namespace: str, name: str, versions: Collection[int], node: Node) -> None:
    for version in versions:
        before = (await node.records.versions(namespace, name)).get(version)
        anew = await _anew(before.ciphertext, before.recipients, node) if before else None
        if before and anew:
            fresh = replace(before, ciphertext=anew[0], recipients=anew[1])
            await node.records.seal_version_anew(namespace, name, version, before, fresh)


async def registry(host: str, node: Node) -> None:
    before, _ = await node.records.registry(host)
    anew = await _anew(before.sealed, before.recipients, node) if before.user else None
    if anew:
        await node.records.seal_registry_anew(host, before, replace(before, sealed=anew[0], recipients=anew[1]))


async def _anew(sealed: bytes, before: tuple[str, ...], node: Node) -> tuple[bytes, tuple[str, ...]] | None:
    """It, with for whom it is then; None where that is so already, or no machine opens it any more.

    The machines are asked for after the record was read, so whoever else seals it meanwhile, and knows of more of them,
    is not written over. Raises Refused `machine.unreachable` if those that open it are away.
    """
    machines = await node.members.machines()
    wanted, away = recipients(machines), None
    if before == wanted:
        return None
    openers = [name for name, machine in machines.items() if machine.recipient in before]
    for name in sorted(openers, key=lambda name: (name != node.machine, name)):
        try:
            return await node.at(name).vault.seal_anew(sealed, wanted), wanted
        except Refused as refused:
            if refused.code != "machine.unreachable":
                raise
            away = refused
    if away:
        raise away
    return None
