"""A vault in memory: what is sealed looks like nothing else, and what is shown is remembered by instance."""

from collections.abc import Mapping

from dataplane.vault import VaultProblem
from tests.fakes.touch import Touch, straight

SEALED = b"sealed: "


class FakeVault:
    """`shown` maps instances to what they see. Paths are `/vault/<instance>`."""

    def __init__(self, touch: Touch = straight) -> None:
        self.shown: dict[str, dict[str, bytes]] = {}
        self.by: dict[str, str] = {}
        self._touch = touch

    def seal(self, value: bytes) -> bytes:
        return SEALED + value[::-1]

    def unseal(self, sealed: bytes) -> bytes:
        if not sealed.startswith(SEALED):
            raise VaultProblem("cannot open a secret with the key of this machine")
        return sealed.removeprefix(SEALED)[::-1]

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
