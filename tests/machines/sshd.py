"""A real sshd in machines of a local cluster, and an ssh that trusts them: with keys and settings made for a test."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.dev.enclosure import Enclosure
from tests.machine.cluster import wait_until

PORT = 22
SSHD = """\
ListenAddress 0.0.0.0
HostKey {folder}/host
AuthorizedKeysFile /run/sshd/authorized
PidFile {folder}/sshd.pid
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
{settings}
"""
SSH = """\
Host *
  IdentityFile none
  UserKnownHostsFile {folder}/known
  GlobalKnownHostsFile none
"""
USER = "pat"
"""Somebody who is not root, and may log in."""
ROOT = ("root:*:0:0:root:/run:/bin/sh\n", f"{USER}:*:6666:6666::/run:/bin/sh\n")
"""Who logs in, in a home and with a shell that say nothing of this host."""


@dataclass(frozen=True)
class Keys:
    """`own` is the key that gets in, `strange` one that does not; `host` is that of the machines."""

    folder: Path

    def make(self) -> None:
        """Also an `ssh` of that name, which goes by the settings of this folder."""
        for name in ("own", "strange", "host"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name], check=True, timeout=20
            )
        (self.folder / "config").write_text(SSH.format(folder=self.folder))
        (self.folder / "bin").mkdir()
        ssh = self.folder / "bin" / "ssh"
        ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {self.folder}/config "$@"\n')
        ssh.chmod(0o755)

    def trust(self, address: str) -> None:
        key = (self.folder / "host.pub").read_text()
        with (self.folder / "known").open("a") as known:
            known.write(f"{address} {key}")

    async def serve(self, enclosure: Enclosure, inside: "Inside", environment: Mapping[str, str]) -> None:
        """Have sshd answer there, with this environment for whoever comes."""
        settings = " ".join(["SetEnv", *(f'"{name}={value}"' for name, value in environment.items())])
        file = self.folder / f"sshd-{enclosure.name}"
        file.write_text(SSHD.format(folder=self.folder, settings=settings))
        users = self.folder / f"passwd-{enclosure.name}"
        there = Path("/etc/passwd").read_text().splitlines(keepends=True)
        others = [line for line in there if not line.startswith("root:")]
        users.write_text("".join((*ROOT, *others)))
        inside("mount", "--bind", str(users), "/etc/passwd")
        inside("install", "-D", "-m", "644", str(self.folder / "own.pub"), "/run/sshd/authorized")
        await enclosure.start("/usr/sbin/sshd", "-D", "-e", "-f", str(file), log=enclosure.folder / "sshd.log")
        wait_until(lambda: f":{PORT:04X} 00000000:0000 0A" in inside("cat", "/proc/net/tcp"), "sshd listens")


class Inside:
    """Runs commands in the namespaces of a process."""

    def __init__(self, pid: int) -> None:
        self._enter = ("nsenter", "--target", str(pid), "--mount", "--net", "--pid", "--")

    def __call__(self, *words: str) -> str:
        return subprocess.run([*self._enter, *words], check=True, capture_output=True, text=True, timeout=60).stdout
