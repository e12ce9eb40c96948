"""How a process becomes a command of an instance: its groups, limits, user, folder and environment.

It runs inside instances, with the standard library alone.
"""

import grp
import os
import pwd
import resource
import signal
from pathlib import Path
from typing import Any

from runtime.host.libc import be, die_with_parent


def become(settings: dict[str, Any]) -> None:
    """Take on groups, limits, user, folder and environment, and become the command. Raises OSError, LookupError."""
    argv, env = settings["argv"], settings["env"]
    uid, gid, groups, home = identity(settings.get("user"))
    for door in settings["doors"]:
        Path(door).write_text("0")
    for number, pair in settings["ulimits"]:
        _limit(number, pair)
    os.chdir(settings.get("workdir") or "/")
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    be(uid, settings["capabilities"])
    if settings.get("dies_with_us"):
        die_with_parent()
    for number in (signal.SIGPIPE, signal.SIGTERM, signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    environment = {"HOME": home, **env}
    try:
        os.execvpe(argv[0], argv, environment)
    except OSError as failure:
        raise OSError(f"cannot run {argv[0]}: {failure.strerror}") from failure


def _limit(number: int, pair: tuple[int, int]) -> None:
    try:
        resource.setrlimit(number, (pair[0], pair[1]))
    except ValueError as failure:
        raise OSError(f"cannot limit {number} to {pair}: {failure}") from failure


def identity(user: str | None) -> tuple[int, int, list[int], str]:
    """uid, gid, further groups and home of `name`, `uid`, `name:group` or `uid:gid`. Raises LookupError."""
    name, _, group = (user or "0").partition(":")
    if name.isdigit():
        found = next((each for each in pwd.getpwall() if each.pw_uid == int(name)), None)
        uid, gid, home = int(name), found.pw_gid if found else 0, found.pw_dir if found else "/"
    else:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            raise LookupError(f"this machine has no user {name}") from None
        uid, gid, home = found.pw_uid, found.pw_gid, found.pw_dir
    if group:
        return uid, _gid(group), [_gid(group)], home
    return uid, gid, os.getgrouplist(found.pw_name, gid) if found else [gid], home


def _gid(group: str) -> int:
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise LookupError(f"this machine has no group {group}") from None
