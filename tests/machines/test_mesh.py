"""Three machines as one: every one of them is asked, containers reach each other, and who may not join does not."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from daemon.dev.cluster import Site, locate
from daemon.dev.main import PLOYZD
from daemon.undertaking import VERSION
from tests.machine.cluster import IMAGES, Cluster, gone, wait_until
from tests.machine.cutting import Told, kill_when, says
from tests.machine.manifests import service
from tests.machines.members import is_alone, machines

NAMES = ["m1", "m2", "m3"]
ASK = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], 8080, timeout=10)
connection.request("GET", "/version")
own = connection.sock.getsockname()[0]
print(connection.getresponse().read().decode().strip(), own)
"""
LISTEN = """
import socket, sys
taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if sys.argv[1] == "udp" else socket.SOCK_STREAM)
taken.bind(("", int(sys.argv[2])))
if sys.argv[1] == "tcp":
    taken.listen()
print("there", flush=True)
sys.stdin.read()
"""
NEEDED = [("udp", "51820"), ("tcp", "7422"), ("tcp", "51823"), ("tcp", "4223")]
"""Ports of the mesh, of the bus, of talks, and of the store that comes after the one that this machine has."""
NEWER = 'import daemon.undertaking as told\ntold.VERSION = "9.0.0"'
"""Makes a daemon one of another release."""
AHEAD = """
import daemon.journal as told
from daemon.moments import later
now = told.rfc3339
told.rfc3339 = lambda: later(now(), 90)
"""
"""Makes a daemon one whose clock is 90 seconds ahead."""


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    """Machines that met each other; the first two have the demo's images."""
    root = Path(tempfile.mkdtemp(prefix="pz", dir="/var/tmp"))
    made = Cluster(root, "mesh")
    try:
        made.up(3)
        for name in NAMES[:2]:
            subprocess.run([IMAGES, "load", made.on(name).engine], check=True, capture_output=True)
        yield made
    finally:
        made.plain("dev", "down", "--name", "mesh")
        shutil.rmtree(root, ignore_errors=True)


def test_every_machine_knows_all_of_them(three: Cluster) -> None:
    for name in NAMES:
        told = machines(three.on(name))
        assert list(told) == NAMES
        assert {row["state"] for row in told.values()} == {"active"}
        assert all(row["reachable"] for row in told.values())
        assert [row["name"] for row in told.values() if row["store"]] == NAMES
    assert len({row["subnet"] for row in told.values()}) == 3


def test_what_is_asked_of_one_machine_is_known_on_the_others(three: Cluster) -> None:
    three.on("m2").done("secret", "set", "told/KEY", given="x")
    for name in NAMES:
        wait_until(partial(knows, three.on(name)), f"{name} knows the secret")
    three.on("m3").done("secret", "rm", "told/KEY")


def knows(cluster: Cluster) -> bool:
    return cluster.ctl("secret", "ls", "told").code == 0


def test_containers_reach_each_other_by_address_with_their_own(three: Cluster) -> None:
    addresses = {}
    for name, namespace in (("m1", "one"), ("m2", "two")):
        web = service("web", place=f'{{ machine = "{name}" }}')
        done = three.on(name).deployed(f'namespace = "{namespace}"\n' + web)
        addresses[name] = done["services"][0]["instances"][0]["ip"]
    for here, there, namespace in (("m1", "m2", "one"), ("m2", "m1", "two")):
        [container] = [c for c in three.on(here).docker("ps", "--format", "{{.Names}}").split() if namespace in c]
        said = three.on(here).docker("exec", container, "python3", "-c", ASK, addresses[there]).split()
        assert said == ["1", addresses[here]], "by its own address, from its own address"


def test_packets_of_every_size_reach_every_other_machine(three: Cluster) -> None:
    for name in NAMES:
        there = three.on(name)
        assert {peer["mtu"] for peer in there.done("mesh", "status")["peers"]} == {1420}
        [check] = [check for check in there.done("doctor")["checks"] if check["name"] == "packets"]
        others = ", ".join(other for other in NAMES if other != name)
        assert (check["state"], check["says"]) == ("ok", f"packets of 1420 bytes get to {others} and back")


def test_a_token_is_good_once_and_not_for_a_member(three: Cluster) -> None:
    invited = three.done("machine", "invite", "--name", "m4")
    refused = three.on("m2").ctl("join", invited["token"])
    assert (refused.code, refused.error["code"]) == (3, "join.member")
    assert "this machine is m2 of the mesh mesh" in refused.error["why"]
    three.done("machine", "revoke", invited["id"])
    assert three.ctl("machine", "revoke", invited["id"]).error["code"] == "invite.missing"
    assert list(machines(three)) == NAMES


def test_a_machine_whose_daemon_is_killed_is_one_of_them_again(three: Cluster) -> None:
    """Also without a word from the store: what it is stands in its file."""
    m2 = three.on("m2")
    pid = m2.daemon()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: gone(pid), "its daemon is gone")
    three.up()
    assert list(machines(m2)) == NAMES
    assert len(m2.done("mesh", "status")["peers"]) == 2


def test_a_machine_whose_plug_was_pulled_comes_back(three: Cluster) -> None:
    three.done("dev", "kill", "m3", "--name", "mesh")
    wait_until(lambda: not machines(three)["m3"]["reachable"], "m3 is out of reach")
    three.up()
    wait_until(lambda: machines(three)["m3"]["reachable"], "m3 is back")
    assert list(machines(three.on("m3"))) == NAMES


def test_two_machines_invite_at_the_same_time(three: Cluster) -> None:
    began = [three.on(name).begin("--json", "machine", "invite") for name in NAMES for _ in range(2)]
    told = [json.loads(process.communicate(timeout=60)[0])["result"] for process in began]
    assert len({one["subnet"] for one in told} | {row["subnet"] for row in machines(three).values()}) == 9
    for one in told:
        three.done("machine", "revoke", one["id"])


def test_who_does_not_join_is_told_why_and_stays_as_it_was(three: Cluster) -> None:
    m3 = three.on("m3")
    three.done("machine", "rm", "m3")
    wait_until(partial(is_alone, m3), "m3 is alone")
    short = three.done("machine", "invite", "--ttl", "1")
    wait_until(lambda: datetime.now(UTC) > datetime.fromisoformat(short["expires_at"]), "it is over")
    revoked = three.done("machine", "invite")
    three.done("machine", "revoke", revoked["id"])
    invited = three.done("machine", "invite", "--name", "m3")
    assert short["subnet"] == revoked["subnet"] == invited["subnet"], "what nobody came for is given to who comes next"
    assert m3.ctl("join", short["token"]).error["code"] == "join.expired"
    assert m3.ctl("join", revoked["token"]).error["code"] == "join.revoked"
    open = invited["token"]
    assert m3.ctl("join", open[:-5]).error["code"] == "join.token"
    with in_the_way(m3, "ip", "route", "add", "10.210.77.0/24", "dev", "eth0"):
        refused = m3.ctl("join", open)
        m3.inside("ip", "route", "del", "10.210.77.0/24")
    assert refused.error["code"] == "mesh.overlap"
    assert "10.210.77.0/24 (eth0)" in refused.error["why"]
    for kind, port in NEEDED:
        require_ports_free(m3, open, kind, port)
    three.done("dev", "part", "m3", "--name", "mesh")
    refused = m3.ctl("join", open)
    three.done("dev", "heal", "--name", "mesh")
    assert refused.error["code"] == "join.unreachable"
    assert "192.168.77.1:51820 (192.168.77.1:51820, UDP) was tried for" in refused.error["why"]
    assert is_alone(m3)
    become(m3, *otherwise(NEWER))
    wait_until(lambda: machines(m3)["m3"]["version"] == "9.0.0", "it says what it runs")
    refused = m3.ctl("join", open)
    assert (refused.code, refused.error["code"]) == (3, "join.version")
    assert refused.error["why"] == f"m3 runs ployz 9.0.0, and m1 {VERSION}"
    become(m3, *otherwise(AHEAD))
    refused = m3.ctl("join", open)
    assert (refused.code, refused.error["code"]) == (3, "join.clock")
    [seconds] = re.findall(r"m3 says that it is .*Z, and m1 that it is .*Z: (\d+) seconds apart", refused.error["why"])
    assert 80 < int(seconds) <= 90
    become(m3, *PLOYZD)
    m3.done("join", open)


def require_ports_free(cluster: Cluster, token: str, kind: str, port: str) -> None:
    """Whoever has the port is told, before anything is changed, to who joins a mesh and to who founds one."""
    with in_the_way(cluster, sys.executable, "-c", LISTEN, kind, port):
        joins, founds = cluster.ctl("join", token), cluster.ctl("mesh", "init", "own")
    assert (joins.error["code"], founds.error["code"]) == ("join.ports", "mesh.ports")
    for refused in (joins, founds):
        assert f"taken: {port} is python" in refused.error["why"]
    assert is_alone(cluster)


def otherwise(change: str) -> tuple[str, ...]:
    return sys.executable, "-P", "-c", f"{change}\nfrom daemon.__main__ import main\nmain()"


def become(cluster: Cluster, *program: str) -> None:
    """Have another program be its daemon."""
    pid = cluster.process(sys.executable, "daemon", str(cluster.socket))
    os.kill(pid, signal.SIGKILL)
    wait_until(partial(gone, pid), "its daemon is gone")
    asyncio.run(locate(cluster.name, Site(cluster.root, program)).machine(cluster.at).start_daemon())
    wait_until(lambda: cluster.ctl("version").code == 0, "its daemon answers")


@contextmanager
def in_the_way(cluster: Cluster, *words: str) -> Iterator[None]:
    """A process in the machine that has begun what it does once it writes a line, or has ended."""
    enter = ("nsenter", "--target", str(cluster.holder()), "--mount", "--net", "--pid", "--")
    with subprocess.Popen([*enter, *words], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield
        process.communicate(b"", timeout=20)


def test_a_machine_leaves_and_comes_back_whatever_is_killed_meanwhile(three: Cluster) -> None:
    """The daemon of who joins is killed before it is let in, and once it is; the same token, said again, makes it a
    member."""
    m3 = three.on("m3")
    before = m3.done("machine", "inspect", "m3")["id"]
    for operation, when in (("op-before", says('"doing"', "out of use")), ("op-after", says('"committed"'))):
        if "m3" in machines(three):
            assert three.done("machine", "rm", "m3")["fenced"]
        wait_until(partial(is_alone, m3), "m3 is alone")
        token = three.done("machine", "invite")["token"]
        kill_while_joining(m3, token, operation, when)
        again = m3.ctl("join", token)
        assert again.code == 0 or again.error["code"] == "join.member"
        for name in NAMES:
            wait_until(partial(sees_all, three.on(name)), f"{name} knows all three")
    assert machines(three)["m3"]["id"] != before


def kill_while_joining(cluster: Cluster, token: str, operation: str, when: Told) -> None:
    with cluster.begin("--json", "join", token, "--op-id", operation) as joining:
        assert kill_when(cluster.journal(operation), when, cluster.daemon()), "it was under way"
        joining.kill()
    machine = locate(cluster.name, Site(cluster.root, PLOYZD)).machine(cluster.at)
    asyncio.run(machine.start_daemon())
    wait_until(partial(is_settled, cluster), "its daemon answers, and no operation is open")


def is_settled(cluster: Cluster) -> bool:
    """The end of a join is a daemon that starts anew: for a moment nobody answers."""
    ran = cluster.ctl("op", "ls")
    return ran.code == 0 and ran.json["result"]["operations"] == []


def sees_all(cluster: Cluster) -> bool:
    told = machines(cluster)
    return list(told) == NAMES and all(row["reachable"] and row["state"] == "active" for row in told.values())


GIVEN = """
import socket
from pathlib import Path

given = Path("/proc/sys/net/ipv4/ip_local_port_range")
before = given.read_text()
given.write_text("51818 51857")
try:
    everybody = [socket.create_server(("127.0.0.1", 0)) for _ in range(20)]
    print(*(each.getsockname()[1] for each in everybody))
finally:
    given.write_text(before)
"""
"""Which ports the kernel gives to who asks for any, where it has few others than those of ployz."""


def test_nobody_is_given_a_port_that_a_daemon_needs_when_it_starts_anew(three: Cluster) -> None:
    """Else it could not start while a connection had it, and for a minute more."""
    ports = {int(port) for port in three.inside("python3", "-c", GIVEN).split()}
    assert len(ports) == 20
    assert not ports & {*range(51820, 51826)}
