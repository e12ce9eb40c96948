"""The vault on a plain folder: what is sealed opens only here, and nothing opened reaches a disk."""

import asyncio
from pathlib import Path

import pyrage
import pytest

from dataplane import vault as subject
from dataplane.vault import Vault, VaultProblem


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path, pyrage.x25519.Identity.generate())


@pytest.mark.parametrize("value", [b"as short as this", b"\0\xff\n and more", b"long" * 16384])
def test_what_is_sealed_here_opens_here_and_nowhere_else(vault: Vault, tmp_path: Path, value: bytes) -> None:
    sealed = vault.seal(value)
    assert value not in sealed
    assert vault.unseal(sealed) == value
    assert vault.seal(value) != sealed
    with pytest.raises(VaultProblem, match="key of this machine"):
        Vault(tmp_path, pyrage.x25519.Identity.generate()).unseal(sealed)
    with pytest.raises(VaultProblem):
        vault.unseal(b"nothing that was sealed")


def test_what_is_sealed_for_others_opens_there_too_and_is_sealed_anew_by_each_of_them(tmp_path: Path) -> None:
    one, two, three = (Vault(tmp_path, pyrage.x25519.Identity.generate()) for _ in range(3))
    sealed = one.seal(b"a value", [one.recipient, two.recipient])
    assert [vault.unseal(sealed) for vault in (one, two)] == [b"a value", b"a value"]
    with pytest.raises(VaultProblem):
        three.unseal(sealed)
    anew = asyncio.run(two.seal_anew(sealed, [two.recipient, three.recipient]))
    assert [vault.unseal(anew) for vault in (two, three)] == [b"a value", b"a value"]
    with pytest.raises(VaultProblem):
        one.unseal(anew)
    with pytest.raises(VaultProblem, match="cannot seal a secret for no key"):
        one.seal(b"a value", ["no key"])


def test_nothing_is_shown_where_no_tmpfs_is_mounted(vault: Vault, tmp_path: Path) -> None:
    sealed = {"KEY": vault.seal(b"a value")}
    with pytest.raises(VaultProblem, match="no tmpfs is mounted"):
        asyncio.run(vault.place("web-op-1", "op-1", sealed, None))
    assert list(tmp_path.iterdir()) == []


def test_a_fingerprint_tells_values_apart_and_takes_the_key(vault: Vault, tmp_path: Path) -> None:
    other = Vault(tmp_path, pyrage.x25519.Identity.generate())
    assert vault.fingerprint(b"a") == vault.fingerprint(b"a")
    assert len({vault.fingerprint(b"a"), vault.fingerprint(b"b"), other.fingerprint(b"a")}) == 3


def test_the_key_is_made_once_and_for_root_alone(tmp_path: Path) -> None:
    file = tmp_path / "identity"
    first = str(subject._identity(file))
    assert (str(subject._identity(file)), file.stat().st_mode & 0o777) == (first, 0o600)
    file.write_text("spoilt")
    with pytest.raises(VaultProblem, match="not replaced"):
        subject._identity(file)
    assert file.read_text() == "spoilt"


@pytest.mark.parametrize(("user", "owner"), [("999", (999, 0)), ("999:5", (999, 5)), ("postgres", None), (None, None)])
def test_who_owns_what_is_shown(user: str | None, owner: tuple[int, int] | None) -> None:
    assert subject._owner(user) == owner
