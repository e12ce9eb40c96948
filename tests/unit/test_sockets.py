"""Who listens on this host."""

import os
import socket

from daemon.host_network import holders
from dataplane.sockets import listening


def test_who_can_be_reached_from_elsewhere_is_told_and_who_cannot_is_not() -> None:
    with socket.socket() as everywhere, socket.socket() as loopback, socket.socket(socket.AF_INET6) as six:
        everywhere.bind(("0.0.0.0", 0))
        loopback.bind(("127.0.0.1", 0))
        six.bind(("::", 0))
        ports = [each.getsockname()[1] for each in (everywhere, loopback, six)]
        assert not listening() & set(ports), "nobody listens yet"
        for each in (everywhere, loopback, six):
            each.listen()
        assert listening() & set(ports) == {ports[0], ports[2]}
    assert not listening() & set(ports)


def test_a_socket_of_udp_that_anybody_may_send_to_counts() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as opened:
        opened.bind(("0.0.0.0", 0))
        assert opened.getsockname()[1] in listening()


def test_who_has_a_port_is_told_unless_it_is_one_of_us() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as opened, socket.socket() as listens:
        opened.bind(("0.0.0.0", 0))
        listens.bind(("127.0.0.1", 0))
        listens.listen()
        ports = [each.getsockname()[1] for each in (opened, listens)]
        told = holders(ports, own=())
        assert list(told) == ports
        assert all(who.endswith(f"(pid {os.getpid()})") for who in told.values())
        assert holders(ports, own=[os.getpid()]) == {}
    assert holders(ports, own=()) == {}
