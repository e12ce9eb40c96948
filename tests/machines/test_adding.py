"""`machine add` over a real ssh: a host with nothing of ployz becomes a machine, and who may not is told why."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from daemon.dev.cluster import Site, locate
from daemon.dev.main import PLOYZD
from tests.machine.cluster import Cluster, Ran, scratch, wait_until
from tests.machines.members import ELECTED, is_alone, machines
from tests.machines.sshd import USER, Inside, Keys, add, own_folders, serve_installed

NAME = "ssh"
MEMBER, HOST = "192.168.77.2", "192.168.77.3"
"""The address of m2, which has ployz, and of m3, which has nothing of it."""
SLEEPER = (
    'namespace = "one"\n[services.one]\nruntime = "host"\ncommand = ["sleep", "100"]\nplace = {{ machine = "{}" }}\n'
)


@dataclass(frozen=True)
class Scene:
    """m1, which is asked from a shell of its own; m2, beside it; and m3, of which there is no more than a network."""

    cluster: Cluster
    keys: Keys
    host: Inside

    def has(self, path: str) -> bool:
        """Whether m3 has such a file or folder."""
        return path in self.host("find", str(Path(path).parent), "-maxdepth", "1").split()

    def add(self, *words: str, key: str = "own") -> Ran:
        """`ployzctl machine add`, said on m1."""
        return add(self.cluster, self.keys, *words, key=key)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with scratch(NAME) as made:
        made.up(2)
        made.done("machine", "rm", "m2")
        wait_until(partial(is_alone, made.on("m2")), "m2 is alone", within=ELECTED)
        keys = Keys(made.root / "keys")
        keys.make()
        yield asyncio.run(served(made, keys))


async def served(cluster: Cluster, keys: Keys) -> Scene:
    """Both hosts answer by ssh; m2 as one on which ployz was installed, m3 with folders of its own for it."""
    places = locate(NAME, Site(cluster.root, PLOYZD))
    m3 = places.machine("m3").enclosure
    await serve_installed(cluster.on("m2"), keys)
    await m3.power_on()
    await places.underlay.connect(m3)
    host = Inside(m3.runs().pid)
    own_folders(cluster.root / "disk-of-m3", host)
    await keys.serve(m3, host, {"PATH": "/usr/local/bin:/usr/bin:/bin"})
    return Scene(cluster, keys, host)


def test_whoever_cannot_be_reached_is_told_of_with_what_was_tried(scene: Scene) -> None:
    refused = scene.add("192.168.77.1", HOST)
    assert (refused.code, refused.error["code"]) == (3, "ssh.unreachable")
    assert "192.168.77.1 port 22 (TCP) was tried: Connection refused" in refused.error["why"]
    unknown = scene.add(f"root@{HOST}")
    assert (unknown.code, unknown.error["code"]) == (3, "ssh.unknown_host")
    for address in (MEMBER, HOST):
        scene.keys.trust(address)
    denied = scene.add(f"root@{HOST}", key="strange")
    assert (denied.code, denied.error["code"]) == (3, "ssh.failed")
    assert "Permission denied" in denied.error["why"]
    assert scene.add(f"{USER}@{HOST}").error["code"] == "ssh.rights"
    assert scene.add(f"root@{HOST}", "--network", "other").error["code"] == "mesh.other"
    assert scene.add(f"root@{HOST}", MEMBER, "--name", "m3").code == 2
    assert list(machines(scene.cluster)) == ["m1"]
    assert not scene.has("/opt/ployz")


def test_a_host_that_has_ployz_is_only_asked_to_join(scene: Scene) -> None:
    m2 = scene.cluster.on("m2")
    m2.done("mesh", "init", "other")
    wait_until(lambda: m2.ctl("version").code == 0, "its daemon answers", within=ELECTED)
    refused = scene.add(f"root@{MEMBER}")
    assert (refused.code, refused.error["code"]) == (3, "join.member")
    assert "this machine is m2 of the mesh other" in refused.error["why"]
    assert list(machines(scene.cluster)) == ["m1"]
    m2.done("mesh", "destroy")
    wait_until(lambda: m2.ctl("version").code == 0, "its daemon answers", within=ELECTED)
    planned = scene.add(f"root@{MEMBER}", "--preview").json["result"]["steps"]
    assert [step["says"] for step in planned] == ["invite it, and have it join"]
    joined = scene.add(f"root@{MEMBER}", "--network", NAME).json
    assert [one["name"] for one in joined["result"]["machines"]] == ["m2"]
    assert list(machines(m2)) == list(machines(scene.cluster)) == ["m1", "m2"]


def test_a_host_that_cannot_have_it_is_left_as_it_is(scene: Scene) -> None:
    host = scene.host
    real = host("readlink", "-f", "/usr/bin/python3").strip()
    host("mount", "--bind", "/bin/false", real)
    refused = scene.add(f"root@{HOST}")
    host("umount", real)
    assert (refused.code, refused.error["code"]) == (3, "machine.platform")
    host("cp", "/bin/true", "/usr/local/bin/ployzctl")
    refused = scene.add(f"root@{HOST}")
    host("rm", "/usr/local/bin/ployzctl")
    assert (refused.code, refused.error["code"]) == (3, "machine.strange")
    assert not scene.has("/opt/ployz")


def test_a_host_with_nothing_of_ployz_becomes_a_machine_whatever_was_in_the_way(scene: Scene) -> None:
    host, add = scene.host, partial(scene.add, f"root@{HOST}", "--name", "m3")
    host("mkdir", "-p", "/opt/ployz/not-ours")
    stuck = add()
    assert (stuck.code, stuck.error["code"]) == (5, "machine.install")
    host("rm", "-r", "/opt/ployz")
    host("mount", "--bind", "/dev/null", "/usr/sbin/dnsmasq")
    stuck = add()
    assert (stuck.code, stuck.error["code"]) == (5, "machine.unready")
    assert "dnsmasq" in stuck.error["why"]
    assert "ployz was installed there" in stuck.error["why"]
    host("umount", "/usr/sbin/dnsmasq")
    host("cp", "/etc/hostname", "/var/lib/ployz/membership.json")
    stuck = add()
    assert (stuck.code, stuck.error["code"]) == (5, "machine.silent")
    host("rm", "/var/lib/ployz/membership.json")
    joined = add().json
    assert joined["ok"], joined
    assert "nothing starts ployzd on" in joined["warnings"][-1], "m3 has no systemd"
    assert [(one["name"], one["store"]) for one in joined["result"]["machines"]] == [("m3", True)]
    assert joined["result"]["store"] == {"machines": ["m1", "m2", "m3"], "replicas": 3}
    wait_until(lambda: machines(scene.cluster)["m3"]["reachable"], "m3 answers")
    scene.cluster.deployed(SLEEPER.format("m3"))
    assert host("ployzctl", "ps", "one").count("running") == 1
    again = add()
    assert (again.code, again.error["code"]) == (3, "machine.exists")
