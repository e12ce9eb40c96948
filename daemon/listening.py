"""The daemon's socket: made with its owner and mode before anybody can connect, never taken from a living daemon."""

import grp
import os
import socket
import stat
from pathlib import Path

from daemon.wire import Refused

GROUP = "ployz"
MODE = 0o660


def listen(path: Path) -> socket.socket:
    """A socket at `path`, bound: mode 0660, group `ployz` if there is one. What a dead daemon left is replaced. The
    folder that it is in is made: below /run there is none after a boot.

    Raises Refused `daemon.running` if something answers there, and `daemon.socket` if nothing can be bound there.
    """
    _require_free(path)
    # Made beside and moved over: under its own name it never has another mode, and the path is never empty.
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.parent.mkdir(exist_ok=True)
        listener.bind(os.fspath(fresh))
        _give(fresh)
        fresh.rename(path)
    except OSError as error:
        listener.close()
        raise Refused("daemon.socket", f"cannot listen on {path}", str(error), "another path for the socket") from error
    return listener


def leave(path: Path, inode: int) -> None:
    """Remove the socket, unless another has taken its place."""
    if path.exists() and path.stat().st_ino == inode:
        path.unlink()


def _require_free(path: Path) -> None:
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise Refused("daemon.socket", f"cannot listen on {path}", "it is there and no socket", "another path")
    with socket.socket(socket.AF_UNIX) as question:
        question.settimeout(1)
        try:
            question.connect(os.fspath(path))
        except ConnectionRefusedError:
            return
        except OSError:
            pass  # somebody holds it, and has no room for us just now
    why = "something answers there already, most likely another ployzd"
    raise Refused("daemon.running", f"cannot listen on {path}", why, "`ployzctl version` asks it what it is")


def _give(path: Path) -> None:
    try:
        group = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        group = -1
    os.chown(path, -1, group)
    path.chmod(MODE)
