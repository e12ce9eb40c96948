"""Commands on another host, over ssh, which is started here.

Words become words there again, whatever shell the user has: they are quoted for it, and handed on by `sh`. Whoever
is not root goes through `sudo`, which has to ask for nothing.
"""

import os
import shlex
import socket
import subprocess
from dataclasses import dataclass, field
from typing import IO

from daemon.wire import Refused

REACHES = 10
"""Seconds until a host that does not answer is given up."""
LOST = 255
"""What ssh exits with where it is not the command there that ended."""
MISSING = 127
"""What `sh` and `env` exit with where there is no such program."""
WITHIN = 'PATH="$PATH:/usr/local/bin:/usr/local/sbin:/usr/sbin:/sbin:/opt/ployz/bin"; exec {}"$@"'
AS_ROOT = 'sudo -n env "PATH=$PATH" '
LAST = 5
"""Lines of what ssh says that are shown."""


@dataclass(frozen=True)
class Ended:
    """What a command on the other host came to."""

    code: int
    out: bytes
    err: str


@dataclass
class Host:
    """`target` is [user@]host, as ssh understands it; `identity` a file with the key to show."""

    target: str
    identity: str | None = None
    _as_root: str = field(default="", init=False)

    def become_root(self) -> None:
        """Have commands run as root from now on. Raises Refused `ssh.rights` and as `run` does."""
        self._as_root = ""
        if self.run("id", "-u").out.strip() == b"0":
            return
        self._as_root = AS_ROOT
        tried = self.run("true")
        if tried.code:
            why = f"its user is not root, and sudo would not do without a question: {_end_of(tried.err)}"
            raise Refused("ssh.rights", self._cannot, why, f"ployzctl machine add root@{self.host}")

    def run(self, *words: str, given: bytes | IO[bytes] = b"") -> Ended:
        """What the words come to there; `given` is their stdin.

        Raises Refused `ssh.missing`, `ssh.unreachable`, `ssh.unknown_host`, `ssh.failed`.
        """
        there = ["sh", "-c", WITHIN.format(self._as_root), "ployz", *words]
        ended = self._ssh(*self._options(), "--", self.target, shlex.join(there), given=given)
        if ended.code == LOST:
            raise self._why_lost(ended.err)
        return ended

    @property
    def host(self) -> str:
        return self.target.rpartition("@")[2]

    @property
    def _cannot(self) -> str:
        return f"cannot do anything on {self.target}"

    def _options(self) -> list[str]:
        said = {"BatchMode": "yes", "ConnectTimeout": REACHES, "ServerAliveInterval": 5, "ServerAliveCountMax": 3}
        words = [word for name, value in said.items() for word in ("-o", f"{name}={value}")]
        return ["-T", *words, *(["-o", "IdentitiesOnly=yes", "-i", self.identity] if self.identity else [])]

    def _ssh(self, *words: str, program: str = "ssh", given: bytes | IO[bytes] = b"") -> Ended:
        try:
            done = (
                subprocess.run([program, *words], input=given, capture_output=True, check=False)
                if isinstance(given, bytes)
                else subprocess.run([program, *words], stdin=given, capture_output=True, check=False)
            )
        except FileNotFoundError:
            raise Refused(
                "ssh.missing", self._cannot, f"there is no {program} here", "install openssh-client"
            ) from None
        return Ended(done.returncode, done.stdout, done.stderr.decode(errors="replace"))

    # ----------------------------------------------------------------------------------- why it could not be reached

    def _why_lost(self, said: str) -> Refused:
        """What ssh says is for eyes; so what is wrong is looked at by its own settings."""
        settings, why = self._settings(), f"ssh says: {_end_of(said)}"
        where, port = settings.get("hostname", self.host), settings.get("port", "22")
        direct = {settings.get("proxycommand", "none"), settings.get("proxyjump", "none")} == {"none"}
        if direct and (tried := _tried(where, int(port))):
            hint = "see whether it is up, and whether its port of ssh is open from here"
            return Refused("ssh.unreachable", f"cannot reach {self.target}", f"{tried}; {why}", hint)
        if settings.get("stricthostkeychecking") not in ("false", "off") and not self._is_known(settings, where, port):
            hint = f"ssh {self.target} once, and compare the fingerprint that it shows"
            return Refused("ssh.unknown_host", f"cannot trust {self.target}", f"its key is not known here; {why}", hint)
        return Refused(
            "ssh.failed", f"cannot log in to {self.target}", why, f"ssh {self.target} true, until that works"
        )

    def _settings(self) -> dict[str, str]:
        """What ssh goes by for this host: one word and its value a line."""
        told = self._ssh("-G", *self._options(), self.target).out.decode(errors="replace")
        return {name: value for name, _, value in (line.partition(" ") for line in told.splitlines())}

    def _is_known(self, settings: dict[str, str], where: str, port: str) -> bool:
        name = settings.get("hostkeyalias", where)
        name = name if port == "22" or "hostkeyalias" in settings else f"[{name}]:{port}"
        files = f"{settings.get('userknownhostsfile', '')} {settings.get('globalknownhostsfile', '')}".split()
        there = [file for file in map(os.path.expanduser, files) if os.path.exists(file)]
        return any(self._ssh("-F", name, "-f", file, program="ssh-keygen").code == 0 for file in there)


def _tried(host: str, port: int) -> str:
    """Why nothing takes a connection there; empty if something does."""
    try:
        socket.create_connection((host, port), REACHES).close()
    except OSError as failure:
        return f"{host} port {port} (TCP) was tried: {failure.strerror or failure}"
    return ""


def _end_of(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " / ".join(lines[-LAST:]) or "nothing"
