"""The mesh between real namespaces: made, adopted, changed whole, read back, taken away."""

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from daemon import problems
from dataplane.peers import Peer, WireguardProblem
from dataplane.probe import largest
from dataplane.wireguard import DOORS, Wireguard
from tests.adapters.bridge import CLIENT, SERVER, end, inside, ip
from tests.adapters.places import cut, machines, mend, on, underlay

PORT, WEB = 51820, 8080
ROUTER, FORGETS = 9, 2
"""The machine that has machine 1 behind it, and seconds until it forgets who is silent."""


def mesh(number: int, folder: Path) -> Wireguard:
    return Wireguard(f"wg{number}", folder / str(number), f"10.210.{number}.1", "10.210.0.0/16", PORT)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Wireguard, Wireguard]]:
    """The machines 1 and 2, their interfaces up, without peers."""
    ends = mesh(1, tmp_path), mesh(2, tmp_path)
    with machines(1, 2):
        for number, end in enumerate(ends, 1):
            on(number, end.ensure)
        yield ends
        for number, end in enumerate(ends, 1):
            on(number, end.remove)


def peer(number: int, end: Wireguard) -> Peer:
    return Peer(on(number, end.public_key), (f"10.210.{number}.0/24",), f"{underlay(number)}:{PORT}")


def join(one: Wireguard, other: Wireguard) -> None:
    first, second = peer(1, one), peer(2, other)
    on(1, lambda: one.apply([second]))
    on(2, lambda: other.apply([first]))


def answer(source: int, address: str, *, within: float = 20.0) -> str:
    """What the server at the other end of the mesh says, once it says something."""
    until = time.monotonic() + within
    while True:
        told = subprocess.run(
            inside(source, CLIENT, json.dumps([(address, WEB)]), ""), check=True, capture_output=True, timeout=60
        )
        [said] = json.loads(told.stdout)
        if " " in said or time.monotonic() > until:
            return str(said)


@pytest.fixture
def server() -> Iterator[None]:
    """A web server on machine 2's own address on the mesh."""
    serving = subprocess.Popen(inside(2, SERVER, "10.210.2.1", str(WEB)))
    yield
    end(serving)


def test_an_interface_whose_process_does_not_listen_yet_is_waited_for(two: tuple[Wireguard, Wireguard]) -> None:
    door = DOORS / f"{two[0].interface}.sock"
    aside = door.with_suffix(".aside")
    door.rename(aside)
    with ThreadPoolExecutor(1) as beside:
        begun = beside.submit(on, 1, two[0].ensure)
        time.sleep(0.3)  # by then it has found the interface
        assert not begun.done()
        aside.rename(door)
        begun.result(timeout=20)
    assert on(1, lambda: two[0].differs([])) == ""


def test_machines_reach_each_other_with_their_own_addresses(two: tuple[Wireguard, Wireguard], server: None) -> None:
    join(*two)
    assert answer(1, "10.210.2.1").split()[:2] == ["10.210.2.1", "10.210.1.1"]
    [link] = on(1, two[0].links)
    assert link.handshake
    assert link.received > 0 < link.sent


def test_what_is_there_is_adopted_and_stays_up(two: tuple[Wireguard, Wireguard], server: None) -> None:
    join(*two)
    first = answer(1, "10.210.2.1")
    [before] = on(1, two[0].links)
    on(1, two[0].ensure)
    join(*two)
    [after] = on(1, two[0].links)
    assert (after.peer, after.handshake) == (before.peer, before.handshake)
    assert answer(1, "10.210.2.1", within=0).split()[:2] == first.split()[:2]


def test_what_was_removed_comes_back_with_its_key(two: tuple[Wireguard, Wireguard]) -> None:
    one, _ = two
    key = on(1, one.public_key)
    on(1, one.remove)
    assert not is_there(1, one.interface)
    on(1, one.ensure)
    assert (on(1, one.public_key), on(1, one.links)) == (key, [])


def test_a_killed_wireguard_go_is_started_again(two: tuple[Wireguard, Wireguard]) -> None:
    one, other = two
    join(one, other)
    pid = on(1, lambda: running(one))
    assert pid, "this kernel has a WireGuard of its own: then there is nobody to kill"
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while is_there(1, one.interface):
        assert time.monotonic() < until, "the interface outlived its process"
    on(1, one.ensure)
    assert on(1, one.links) == []


def test_the_whole_set_is_replaced(two: tuple[Wireguard, Wireguard]) -> None:
    one, other = two
    known = peer(2, other)
    strangers = [Peer(key(number), (f"10.210.{number}.0/24",), keepalive=25) for number in (7, 8)]
    on(1, lambda: one.apply([known, *strangers]))
    assert {link.peer for link in on(1, one.links)} == {known, *strangers}
    moved = replace(known, networks=("10.210.9.0/24",), keepalive=5)
    on(1, lambda: one.apply([moved]))
    assert [link.peer for link in on(1, one.links)] == [moved]
    on(1, lambda: one.apply([]))
    assert on(1, one.links) == []


@pytest.mark.parametrize(
    ("peers", "says"),
    [
        ([Peer("bm9uZQ==", ("10.210.7.0/24",))], "not 32 bytes"),
        ([Peer("no key", ("10.210.7.0/24",))], "not 32 bytes"),
        ([Peer("A" * 43 + "=", ("10.210.7.0/24",)), Peer("B" * 42 + "A=", ("10.210.7.128/25",))], "overlap"),
        ([Peer("A" * 43 + "=", ("10.210.7.0/24",)), Peer("A" * 43 + "=", ("10.210.8.0/24",))], "one public key"),
    ],
)
def test_what_wg_would_take_without_a_word_is_refused_and_changes_nothing(
    two: tuple[Wireguard, Wireguard], peers: list[Peer], says: str
) -> None:
    one, other = two
    known = peer(2, other)
    on(1, lambda: one.apply([known]))
    with pytest.raises(WireguardProblem, match=says) as caught:
        on(1, lambda: one.apply(peers))
    assert problems.code(caught.value) == "mesh.failed"
    assert [link.peer for link in on(1, one.links)] == [known]


def test_a_link_that_was_cut_comes_back_by_itself(two: tuple[Wireguard, Wireguard], server: None) -> None:
    join(*two)
    assert " " in answer(1, "10.210.2.1")
    cut(2)
    assert " " not in answer(1, "10.210.2.1", within=0)
    mend(2)
    assert " " in answer(1, "10.210.2.1")


def test_its_key_is_for_its_owner_only(two: tuple[Wireguard, Wireguard]) -> None:
    assert (two[0].folder / "machine.key").stat().st_mode & 0o777 == 0o600


def key(number: int) -> str:
    return base64.b64encode(bytes([number] * 32)).decode()


def is_there(number: int, interface: str) -> bool:
    told = subprocess.run(["ip", "-n", f"i{number}", "link", "show", interface], capture_output=True)
    return told.returncode == 0


async def running(one: Wireguard) -> int | None:
    return one.userspace.running()


# ------------------------------------------------------------------------------------------- what gets through it


@contextmanager
def dropping(rule: str) -> Iterator[None]:
    """Machine 2 drops packets of the underlay, before it puts together what was divided (conntrack does, at -400)."""
    table = f"table ip drops {{ chain c {{ type filter hook prerouting priority -450; iifname eth0 {rule} drop; }}; }}"
    nft = ["ip", "netns", "exec", "i2", "nft"]
    subprocess.run([*nft, table], check=True)
    yield
    subprocess.run([*nft, "delete", "table", "ip", "drops"], check=True)


def narrow(size: int) -> None:
    """Have the machines' ways out of themselves take no larger packets."""
    for number in (1, 2):
        ip("-n", f"i{number}", "link", "set", "eth0", "mtu", str(size))


def test_the_largest_packet_is_that_of_the_interface(two: tuple[Wireguard, Wireguard]) -> None:
    join(*two)
    assert on(1, lambda: largest("10.210.2.1", two[0].mtu)) == 1420


def test_what_divides_its_packets_carries_all_sizes_and_what_drops_the_parts_does_not(
    two: tuple[Wireguard, Wireguard],
) -> None:
    """A packet of 1232 bytes is carried by one of 1292, and one of 1233, filled up to 16s, by one of 1308."""
    join(*two)
    narrow(1300)
    assert on(1, lambda: largest("10.210.2.1", two[0].mtu)) == 1420
    with dropping("ip frag-off & 0x3fff != 0"):
        assert on(1, lambda: largest("10.210.2.1", two[0].mtu)) == 1232
    with dropping("meta length > 1300"):
        assert on(2, lambda: largest("10.210.1.1", two[1].mtu)) == 1420, "nothing that large arrives in one piece"


def test_a_link_that_drops_what_is_large_has_a_size_of_its_own(two: tuple[Wireguard, Wireguard]) -> None:
    join(*two)
    with dropping("meta length > 700"):
        assert on(1, lambda: largest("10.210.2.1", two[0].mtu)) == 640


def test_nobody_answers_no_size(two: tuple[Wireguard, Wireguard]) -> None:
    assert on(1, lambda: largest("10.210.2.1", two[0].mtu)) is None, "nobody has that address"
    assert on(1, lambda: largest("198.51.100.1", two[0].mtu)) is None, "no way leads there"
    join(*two)
    cut(2)
    assert on(1, lambda: largest("10.210.2.1", two[0].mtu)) is None


# ----------------------------------------------------------------------------------------------------- behind a NAT


def hide() -> None:
    """Have machine 1 be in a network of its own, behind a router with one address."""
    router, rule = f"i{ROUTER}", "type nat hook postrouting priority 100; oifname eth0 masquerade"
    ip("-n", "i1", "link", "delete", "eth0")
    ip("-n", router, "link", "add", "inner", "type", "veth", "peer", "name", "eth0", "netns", "i1")
    for name, device, address in ((router, "inner", "192.168.9.1/24"), ("i1", "eth0", "192.168.9.2/24")):
        ip("-n", name, "address", "add", address, "dev", device)
        ip("-n", name, "link", "set", device, "up")
    ip("-n", "i1", "route", "add", "default", "via", "192.168.9.1")
    enter = ["ip", "netns", "exec", router]
    subprocess.run([*enter, "nft", f"table ip hides {{ chain c {{ {rule}; }}; }}"], check=True)
    forgets = (f"net.netfilter.nf_conntrack_udp_timeout{kind}={FORGETS}" for kind in ("", "_stream"))
    subprocess.run([*enter, "sysctl", "-qw", "net.ipv4.ip_forward=1", *forgets], check=True)


@pytest.mark.parametrize(("keepalive", "reached"), [(1, True), (None, False)])
def test_who_is_behind_a_nat_is_reached_for_as_long_as_it_is_not_silent(
    tmp_path: Path, keepalive: int | None, *, reached: bool
) -> None:
    hidden, open = mesh(1, tmp_path), mesh(2, tmp_path)
    with machines(1, 2, ROUTER):
        hide()
        for number, end in ((1, hidden), (2, open)):
            on(number, end.ensure)
        known = replace(peer(1, hidden), endpoint=None)
        on(2, lambda: open.apply([known]))
        towards = replace(peer(2, open), keepalive=keepalive)
        on(1, lambda: hidden.apply([towards]))
        assert on(1, lambda: largest("10.210.2.1", hidden.mtu)) == 1420
        [link] = on(2, open.links)
        assert link.peer.endpoint == f"{underlay(ROUTER)}:{PORT}", "it is seen where its router is"
        time.sleep(FORGETS + 1)  # that nothing happens for so long is what is tried
        assert (on(2, lambda: largest("10.210.1.1", open.mtu)) is not None) == reached
        for number, end in ((1, hidden), (2, open)):
            on(number, end.remove)
