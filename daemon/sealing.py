"""What is secret, as a machine can seal, open and show it: the part of `daemon.node` that is about its vault."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class Vault(Protocol):
    """What is secret, as this machine has it: it can seal for the machines, open what is for it, and show that.

    Each verb raises vault.VaultProblem.
    """

    def seal(self, value: bytes, recipients: Sequence[str] = ()) -> bytes:
        """The ciphertext of a value, for this machine and for the public keys `recipients`; each time another one."""

    async def seal_anew(self, sealed: bytes, recipients: Sequence[str]) -> bytes:
        """The same value, opened here and sealed for these."""

    async def place(self, instance: str, by: str, sealed: Mapping[str, bytes], user: str | None) -> str:
        """Have the secrets as files, opened, in a directory of the instance that `by` made, and return its path.

        They are in memory, never on a disk. A numeric `user` (uid or uid:gid) owns them, and nobody else may read
        them; else everybody in the instance may, and nobody else gets at the directory. What is not named goes.
        """

    async def remove(self, instance: str) -> None:
        """Remove an instance's directory; absent is fine."""

    async def take_back(self, instance: str, by: str) -> None:
        """Remove it if `by` made the instance."""
