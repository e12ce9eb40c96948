"""The vault on a plain folder: what is sealed opens only here, and what is shown is there, whose it is, and goes."""

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


def test_files_are_there_as_named_and_replaced_as_a_whole(vault: Vault) -> None:
    async def scenario() -> None:
        folder = Path(await vault.place("web-op-1", "op-1", {"A": vault.seal(b"1"), "B": vault.seal(b"2")}, None))
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == {"A": b"1", "B": b"2"}
        assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o444}
        again = Path(await vault.place("web-op-1", "op-1", {"B": vault.seal(b"3")}, "postgres"))
        assert {file.name: file.read_bytes() for file in again.iterdir()} == {"B": b"3"}
        await vault.take_back("web-op-1", "op-2")
        await vault.take_back("web-op", "1")
        await vault.remove("web")
        assert folder.exists(), "another operation's was taken back"
        await vault.take_back("web-op-1", "op-1")
        await vault.remove("web-op-1")
        assert not folder.exists()

    asyncio.run(scenario())


@pytest.mark.parametrize(("user", "owner"), [("999", (999, 0)), ("999:5", (999, 5)), ("postgres", None), (None, None)])
def test_who_owns_what_is_shown(user: str | None, owner: tuple[int, int] | None) -> None:
    assert subject._owner(user) == owner
