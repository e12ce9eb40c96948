"""This machine's keys on the bus: each made once, in a file of its owner's alone, and never shown."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import nkeys  # type: ignore[import-untyped]

from dataplane.secret_file import write_secret


@dataclass(frozen=True)
class NatsKeys:
    """Files in `folder`: the seed of the machine's user, and that of the one who looks after its own server."""

    folder: Path

    def machine(self) -> str:
        """The seed of this machine's user. Never to be shown or logged."""
        return _seed(self.folder / "machine.seed")

    def keeper(self) -> str:
        """The seed of the user that may ask this machine's server about itself, and cut connections."""
        return _seed(self.folder / "keeper.seed")

    def public(self) -> str:
        """By which others know this machine's user."""
        return public(self.machine())


def public(seed: str) -> str:
    """The public key of a seed."""
    return str(nkeys.from_seed(seed.encode()).public_key.decode())


def fresh_password() -> str:
    """What the holders of a new store know each other by: a secret."""
    return secrets.token_hex(32)


def _seed(file: Path) -> str:
    if not file.exists():
        write_secret(file, nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))
    return file.read_text().strip()
