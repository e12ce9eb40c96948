"""Ports of this host's loopback address."""

import socket
from collections.abc import Set

LAST = 65535


def listen(first: int, taken: Set[int]) -> socket.socket:
    """A listening socket on 127.0.0.1: on port `first`, else on the next that is free and not in `taken`.

    Raises OSError when there is none.
    """
    for port in (number for number in range(first, LAST + 1) if number not in taken):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
            listening.listen(128)
        except OSError:
            listening.close()
            continue
        return listening
    raise OSError(f"no port of 127.0.0.1 from {first} on is free")
