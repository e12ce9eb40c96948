"""A daemon of another host, started now and at each boot: by systemd where that is the init system there.

Elsewhere nobody knows what a boot does, and nothing is guessed: it is started for now, and whoever asked is told.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ctl.ssh import Host
from daemon.wire import Problem

LOG = "/var/log/ployzd.log"
UNIT = "/etc/systemd/system/ployzd.service"
TEXT = """\
[Unit]
Description=ployz: the daemon of one machine of a cluster
Wants=network-online.target
After=network-online.target docker.service zfs.target
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={command}
Restart=always
RestartSec=1
# What serves goes on without the daemon: only that is ended, and nothing bounds the others with it.
KillMode=process
OOMPolicy=continue
Delegate=yes
TasksMax=infinity
LimitNOFILE=1048576
StandardOutput=append:{log}
StandardError=inherit

[Install]
WantedBy=multi-user.target
"""
DETACHED = f'"$@" </dev/null >>{LOG} 2>&1 & echo $!'


class Started(Protocol):
    """A daemon that was started; `warning` is what its host does not do by itself, empty if it does all."""

    @property
    def warning(self) -> str: ...

    def has_ended(self) -> bool:
        """Whether it has ended since."""


def start(host: Host, *words: str) -> Started:
    """Have a daemon run there, of these words, of which the first is its program. Raises Problem `machine.install`."""
    if host.run("test", "-d", "/run/systemd/system").code == 0:
        return _by_systemd(host, words)
    return _Detached(host, words, host.run("setsid", "sh", "-c", DETACHED, "sh", *words).out.decode().strip())


def text(command: Sequence[str]) -> str:
    """The unit of a daemon of these words, of which the first is a path."""
    return TEXT.format(command=" ".join(map(_quoted, command)), log=LOG)


def _quoted(word: str) -> str:
    """A word of a unit's command line (systemd.service(5))."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def _by_systemd(host: Host, words: Sequence[str]) -> "_Unit":
    """What is there of it is written anew, so that the same again mends it."""
    program = _done(host, "sh", "-c", f"command -v {shlex.quote(words[0])}").strip()
    _done(host, "tee", UNIT, given=text([program, *words[1:]]).encode())
    _done(host, "systemctl", "daemon-reload")
    _done(host, "systemctl", "enable", "--quiet", "ployzd.service")
    _done(host, "systemctl", "restart", "ployzd.service")
    return _Unit(host)


def _done(host: Host, *words: str, given: bytes = b"") -> str:
    ended = host.run(*words, given=given)
    if ended.code:
        cannot, why = f"cannot have ployzd started at boot on {host.target}", f"{' '.join(words)}: {ended.err.strip()}"
        raise Problem("machine.install", cannot, why, "the same again once that works there")
    return ended.out.decode()


@dataclass(frozen=True)
class _Unit:
    """systemd starts it again for ever; that it had to once is enough to know that something is wrong."""

    host: Host
    warning: str = ""

    def has_ended(self) -> bool:
        return (
            self.host.run("systemctl", "show", "--property=NRestarts", "--value", "ployzd.service").out.strip() != b"0"
        )


@dataclass(frozen=True)
class _Detached:
    host: Host
    words: Sequence[str]
    pid: str

    @property
    def warning(self) -> str:
        command = shlex.join(["setsid", *self.words])
        return (
            f"nothing starts ployzd on {self.host.target} after a boot, for there is no systemd: have what runs there"
            f" at a boot (/etc/rc.local, say) start it: {command} </dev/null >>{LOG} 2>&1 &"
        )

    def has_ended(self) -> bool:
        return self.host.run("kill", "-0", self.pid).code != 0
