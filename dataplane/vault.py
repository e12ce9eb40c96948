"""Secrets on this machine: sealed with age for it and for others, and shown to instances as files in memory.

The key is `identity` in the vault's folder (0600, made once, never replaced). Whoever has it, or is root here, can
open what was sealed for this machine. What is sealed does not tell for whom. `shown` is a tmpfs, so
nothing opened is ever written to a disk; it outlives the daemon, and is empty after a boot.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyrage

from runtime.command import CommandError, run

TMPFS = "mode=0700,nosuid,nodev,noexec"


class VaultProblem(Exception):
    """Secrets cannot be sealed, opened or shown on this machine."""


class Vault:
    """What one machine can seal, open and show. Each verb raises VaultProblem; those that change may be repeated."""

    def __init__(self, folder: Path, identity: Any) -> None:
        self._key, self._shown, self._identity = folder / "identity", folder / "shown", identity
        self._pepper = hashlib.sha256(b"ployz fingerprint\n" + str(identity).encode()).digest()

    @classmethod
    async def open(cls, folder: Path) -> "Vault":
        """The vault in a folder, with a key of its own and a tmpfs for what is shown, made where they are missing."""
        shown = folder / "shown"
        try:
            shown.mkdir(mode=0o700, parents=True, exist_ok=True)
            identity = _identity(folder / "identity")
            if not _is_tmpfs(shown):
                await run("mount", "-t", "tmpfs", "-o", TMPFS, "ployz-secrets", shown)
        except (OSError, CommandError) as problem:
            raise VaultProblem(f"cannot open the vault in {folder}: {problem}") from problem
        return cls(folder, identity)

    @property
    def recipient(self) -> str:
        """The public key for which others seal what this machine shall open."""
        return str(self._identity.to_public())

    def seal(self, value: bytes, recipients: Sequence[str] = ()) -> bytes:
        """The ciphertext of a value, another one each time, for this machine and all `recipients`."""
        try:
            keys = [pyrage.x25519.Recipient.from_str(key) for key in sorted({self.recipient, *recipients})]
        except pyrage.RecipientError as problem:
            raise VaultProblem(f"cannot seal a secret for {', '.join(recipients)}: {problem}") from problem
        return bytes(pyrage.encrypt(value, keys))

    def unseal(self, sealed: bytes) -> bytes:
        """The value in a ciphertext."""
        try:
            return bytes(pyrage.decrypt(sealed, [self._identity]))
        except pyrage.DecryptError as problem:
            raise VaultProblem(f"cannot open a secret with the key of this machine: {problem}") from problem

    async def seal_anew(self, sealed: bytes, recipients: Sequence[str]) -> bytes:
        """The same value, sealed for this machine and all `recipients`."""
        return self.seal(self.unseal(sealed), recipients)

    def fingerprint(self, value: bytes) -> str:
        """Tells two values apart, and nothing else: without this machine's key it cannot be tried out."""
        return hmac.new(self._pepper, value, hashlib.sha256).hexdigest()

    def lacks_key(self) -> str:
        """Why the next start would not find the key that is used now; empty if it would."""
        if not self._key.exists():
            return f"the key {self._key} is gone"
        is_used = self._key.read_text().strip() == str(self._identity)
        return "" if is_used else f"{self._key} is another key than the one that is used"

    def lacks_memory(self) -> str:
        """Why what is opened cannot be shown without reaching a disk; empty if it can."""
        return "" if _is_tmpfs(self._shown) else f"no tmpfs is mounted at {self._shown}"

    async def place(self, instance: str, by: str, sealed: Mapping[str, bytes], user: str | None) -> str:
        """Have the secrets, opened, as files in a directory of the instance that `by` made; return its path.

        A numeric `user` (uid or uid:gid) owns them, and nobody else may read them; else everybody in the instance
        may, and nobody else gets at the directory. A file is replaced at once, and what is not named goes.
        """
        opened = {name: self.unseal(value) for name, value in sealed.items()}
        if why := self.lacks_memory():
            raise VaultProblem(f"cannot show its secrets to {instance}: {why}")
        folder = self._shown / f"{instance}@{by}"
        try:
            folder.mkdir(mode=0o755, exist_ok=True)
            for name, value in opened.items():
                _write(self._shown / f"new {instance}", folder / name, value, _owner(user))
            for stranger in {file.name for file in folder.iterdir()} - opened.keys():
                (folder / stranger).unlink()
        except OSError as problem:
            raise VaultProblem(f"cannot show its secrets to {instance}: {problem.strerror}") from problem
        return str(folder)

    async def remove(self, instance: str) -> None:
        """Remove an instance's directory; absent is fine."""
        for folder in self._shown.glob(f"{instance}@*"):
            self._remove(folder)

    async def take_back(self, instance: str, by: str) -> None:
        """Remove an instance's directory if it was made for the one that `by` made."""
        self._remove(self._shown / f"{instance}@{by}")

    def _remove(self, folder: Path) -> None:
        instance = folder.name.partition("@")[0]
        try:
            (self._shown / f"new {instance}").unlink(missing_ok=True)
            for file in folder.iterdir() if folder.exists() else ():
                file.unlink()
            if folder.exists():
                folder.rmdir()
        except OSError as problem:
            raise VaultProblem(f"cannot remove what was shown in {folder.name}: {problem.strerror}") from problem


def _identity(file: Path) -> Any:
    """The key in a file. Where there is none, one is made, and durable before anything is sealed with it."""
    if not file.exists():
        fresh = file.with_suffix(".new")
        _write_anew(fresh, f"{pyrage.x25519.Identity.generate()}\n".encode(), 0o600)
        fresh.replace(file)
        _sync(file.parent)
    try:
        return pyrage.x25519.Identity.from_str(file.read_text().strip())
    except (pyrage.IdentityError, UnicodeDecodeError):
        raise VaultProblem(f"{file} is no key of age; it is not replaced, for what it sealed would be lost") from None


def _owner(user: str | None) -> tuple[int, int] | None:
    """Uid and gid of a numeric user, as the engine takes it: without a group it is in root's."""
    uid, _, gid = (user or "").partition(":")
    return (int(uid), int(gid or 0)) if uid.isdigit() and (gid or "0").isdigit() else None


def _write(fresh: Path, file: Path, value: bytes, owner: tuple[int, int] | None) -> None:
    _write_anew(fresh, value, 0o400 if owner else 0o444)
    if owner:
        os.chown(fresh, *owner)
    fresh.replace(file)


def _write_anew(file: Path, value: bytes, mode: int) -> None:
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
        out.write(value)
        out.flush()
        os.fsync(out.fileno())
    file.chmod(mode)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_tmpfs(folder: Path) -> bool:
    """Whether one is mounted there (proc(5), mounts: a space in a path is written as \\040)."""
    place = str(folder.resolve()).replace(" ", "\\040")
    return any(line.split()[1:3] == [place, "tmpfs"] for line in Path("/proc/self/mounts").read_text().splitlines())
