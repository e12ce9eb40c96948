"""What operations are called."""

import re
import secrets
import time

from daemon.wire import Refused

ID = r"[a-z0-9][a-z0-9-]{0,39}"


def new_id() -> str:
    """An operation's id: when it began, so that ids sort, then what nobody guesses."""
    return f"op-{int(time.time()):08x}{secrets.token_hex(4)}"


def require_id(id: str) -> str:
    """An id becomes a part of names in ZFS, Docker and the file system."""
    if not re.fullmatch(ID, id):
        why = f"{id!r} has other characters than a-z, 0-9 and -, or more than 40 of them"
        raise Refused("operation.id", "cannot use this operation id", why, "leave --op-id out")
    return id
