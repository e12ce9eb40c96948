"""What is given on stdin, or typed without being shown."""

import sys
from getpass import getpass

from daemon.wire import LARGEST_SECRET


def line(asks: str) -> bytes:
    """All of stdin, or what is typed after `asks`: at most a byte more than a secret may have.

    `echo` and editors end a line: that is no part of a password. In a key of several lines, or in bytes, it is.
    """
    return _typed(asks) if sys.stdin.isatty() else _taken(sys.stdin.buffer.read(LARGEST_SECRET + 1))


def _typed(asks: str) -> bytes:
    try:
        return getpass(f"{asks}: ").encode()
    except EOFError:
        return b""


def _taken(data: bytes) -> bytes:
    line = data.removesuffix(b"\n").removesuffix(b"\r")
    return line if _is_text(line) and b"\n" not in line else data


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False
