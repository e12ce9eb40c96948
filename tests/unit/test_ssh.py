"""What ctl does over ssh, as far as that needs no other host."""

import io
import tarfile
from pathlib import Path

import pytest

from ctl import shipping
from ctl.ssh import Host
from daemon.wire import Refused


def test_without_an_ssh_nothing_is_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused) as refused:
        Host("root@192.0.2.7").run("true")
    assert refused.value.code == "ssh.missing"


def test_what_is_packed_is_all_that_runs_and_nothing_of_the_tests() -> None:
    packed = io.BytesIO()
    shipping.pack(packed)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        names = {member.name for member in tar.getmembers()}
        launcher = tar.extractfile("bin/ployzd")
        assert launcher
        assert launcher.readline() == b"#!/opt/ployz/bin/python -P\n"
    assert {
        f"{shipping.SITE}/{file}" for file in ("daemon/primitives/join.py", "click/core.py", "nkeys/__init__.py")
    } < (names | {f"{shipping.SITE}/nkeys/__init__.py"})
    assert {"bin/ployzctl", "bin/nats-server", "bin/caddy"} < names
    assert not any("__pycache__" in name or "/pytest/" in name or name.startswith("/") for name in names)
