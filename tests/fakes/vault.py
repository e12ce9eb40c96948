"""A vault in memory: what is sealed opens where it was sealed for, and what is shown is remembered by instance."""

from collections.abc import Mapping, Sequence

from dataplane.vault import VaultProblem
from tests.fakes.touch import Touch, straight

SEALED = b"sealed for "


class FakeVault:
    """`shown` maps instances to what they see. Paths are `/vault/<instance>`. `recipient` is its public key."""

    def __init__(self, touch: Touch = straight, recipient: str = "key of m1") -> None:
        self.recipient = recipient
        self.shown: dict[str, dict[str, bytes]] = {}
        self.by: dict[str, str] = {}
        self._touch = touch

    def seal(self, value: bytes, recipients: Sequence[str] = ()) -> bytes:
        return SEALED + ",".join(sorted({self.recipient, *recipients})).encode() + b": " + value[::-1]

    def unseal(self, sealed: bytes) -> bytes:
        recipients, _, value = sealed.removeprefix(SEALED).partition(b": ")
        if not sealed.startswith(SEALED) or self.recipient not in recipients.decode().split(","):
            raise VaultProblem("cannot open a secret with the key of this machine")
        return value[::-1]

    async def seal_anew(self, sealed: bytes, recipients: Sequence[str]) -> bytes:
        return await self._touch("vault seal anew", lambda: self.seal(self.unseal(sealed), recipients))

    def fingerprint(self, value: bytes) -> str:
        return f"print of {len(value)} bytes, {sum(value)}"

    async def place(self, instance: str, by: str, sealed: Mapping[str, bytes], user: str | None) -> str:
        opened = {name: self.unseal(value) for name, value in sealed.items()}
        await self._touch(f"vault place {instance}", lambda: self._place(instance, by, opened))
        return f"/vault/{instance}"

    def _place(self, instance: str, by: str, opened: dict[str, bytes]) -> None:
        self.shown[instance], self.by[instance] = opened, by

    async def remove(self, instance: str) -> None:
        if instance in self.shown:
            await self._touch(f"vault remove {instance}", lambda: self.shown.pop(instance, None))

    async def take_back(self, instance: str, by: str) -> None:
        if self.by.get(instance) == by:
            await self.remove(instance)
