"""A nats-server that holds a store alone, on ports of its own."""

import socket
from pathlib import Path

from msgspec.structs import replace

from dataplane.layout import Ports, founding
from dataplane.nats_keys import NatsKeys
from dataplane.nats_server import NatsServer


def alone(folder: Path, port: int | None = None) -> NatsServer:
    """The founder's, whose clients come to this port, or to a free one."""
    layout = founding("m1", NatsKeys(folder).public())
    return NatsServer(folder, "m1", replace(layout, ports=Ports(port or free_port(), 0, 0)))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
