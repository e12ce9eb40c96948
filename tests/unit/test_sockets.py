"""Who listens on this host."""

import socket

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
