"""A real sshd in machines of a local cluster, and an ssh that trusts them: with keys and settings made for a test."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.dev.cluster import Site, locate
from daemon.dev.enclosure import Enclosure
from daemon.dev.main import PLOYZD
from tests.machine.cluster import HOUSE, Cluster, Ran, wait_until

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
ADD = (sys.executable, "-P", "-m", "ctl", "--json", "machine", "add", "--identity")


@dataclass(frozen=True)
class Keys:
    """`own` is the key that gets in, `strange` one that does not; `host` is that of the machines."""

    folder: Path

    def make(self) -> None:
        """Also an `ssh` of that name, which goes by the settings of this folder."""
        self.folder.mkdir()
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


async def serve_installed(there: Cluster, keys: Keys) -> str:
    """Have a machine of a cluster answer by ssh, as a host on which ployz was installed: its address."""
    machine = locate(there.name, Site(there.root, PLOYZD)).machine(there.at)
    inside = Inside(there.holder())
    own_folders(there.root / f"disk-of-{there.at}", inside)
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    environment = {"PATH": path, "PYTHONPATH": str(HOUSE), "PLOYZ_SOCKET": str(there.socket)}
    await keys.serve(machine.enclosure, inside, environment)
    return machine.address


def own_folders(folder: Path, host: Inside) -> None:
    """What is installed and kept there is on a disk of its own, and so nothing of it is on this host."""
    for place in ("/opt", "/usr/local/bin", "/var/log", "/var/lib"):
        upper, work = folder / "disk" / place[1:], folder / "work" / place[1:]
        upper.mkdir(parents=True)
        work.mkdir(parents=True)
        options = f"lowerdir={place},upperdir={upper},workdir={work}"
        host("mount", "-t", "overlay", "overlay", "-o", options, place)
    data = folder / "data"
    data.mkdir(parents=True)
    host("mkdir", "-p", "/var/lib/ployz")
    host("mount", "--bind", str(data), "/var/lib/ployz")
    host("rm", "-rf", "/opt/ployz", "/usr/local/bin/ployzctl", "/usr/local/bin/ployzd")


def add(asked: Cluster, keys: Keys, *words: str, key: str = "own") -> Ran:
    """`ployzctl machine add`, said on a machine, from a shell of its own."""
    enter = ("nsenter", "--target", str(asked.holder()), "--mount", "--net", "--pid", "--wd=/", "--")
    environment = {**asked.environment, "PLOYZ_SOCKET": str(asked.socket)}
    environment["PATH"] = f"{keys.folder / 'bin'}:{environment['PATH']}"
    words = (*enter, *ADD, str(keys.folder / key), *words)
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=200, stdin=subprocess.DEVNULL)
    return Ran(done.returncode, done.stdout, done.stderr)
