"""Who listens on this host."""

import errno
import os
import socket
from pathlib import Path

import pytest

from daemon.host_network import holders, reserve
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


@pytest.mark.parametrize(
    ("before", "after"),
    [("", "51820,51821"), ("7,51819-51820", "7,51819-51820,51820,51821"), ("51000-52000", "51000-52000")],
)
def test_the_ports_of_ployz_are_reserved_beside_those_of_others(before: str, after: str, tmp_path: Path) -> None:
    setting = tmp_path / "ip_local_reserved_ports"
    setting.write_text(f"{before}\n")
    reserve((51820, 51821), setting)
    assert setting.read_text().strip() == after


def test_where_they_cannot_be_reserved_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Fixed(type(tmp_path)):  # type: ignore[misc]
        def write_text(self, *_: object) -> int:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    setting = tmp_path / "ip_local_reserved_ports"
    setting.touch()
    reserve((51820,), Fixed(setting))
    assert "Read-only file system" in caplog.text
