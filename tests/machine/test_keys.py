"""Every setting of a service takes effect, changes with its deploy, and comes back with a rollback."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.machine.cluster import Cluster, Ran, wait_until
from tests.machine.manifests import lite, service
from tests.machine.world import assert_untouched, world

HOST = "10.210.1.1"
SETTINGS = {
    "files": '{ "/etc/app/web.conf" = "./web.conf", "/etc/binary" = "binary" }',
    "entrypoint": '["env", "SAID=so"]',
    "command": '["python3", "/srv/web.py"]',
    "user": '"999:999"',
    "workdir": '"/tmp"',
    "ulimits": "{ nofile = [1000, 2000] }",
    "devices": '["/dev/fuse"]',
    "cap_add": '["NET_ADMIN"]',
    "read_only": "true",
    "shm": '"1MiB"',
    "log": '{ max = "1MiB" }',
    "resources": '{ cpus = 0.5, memory = "128MiB" }',
    "pull": '"never"',
    "publish": '{ 5000 = "web" }',
    "place": '{ machine = "m1" }',
}
LOOK = """
import http.client, sys, threading
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
while not over.is_set():
    connection = http.client.HTTPConnection("10.210.1.1", 5000, timeout=5)
    connection.request("GET", "/version")
    print(connection.getresponse().read().decode().strip(), flush=True)
    connection.close()
"""
"""Asks the published port on and on, until its input ends; fails at the first request that is lost."""


@contextmanager
def looking(cluster: Cluster) -> Iterator[list[str]]:
    """The answers at the published port; there at the end."""
    answers = list[str]()
    argv = ["nsenter", "--target", str(cluster.holder()), "--mount", "--net", "--", "python3", "-c", LOOK]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        yield answers
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err.decode()
    answers += out.decode().split()


def inside(cluster: Cluster, script: str, of: str = "lite/web") -> str:
    ran = cluster.plain("exec", of, "--", "sh", "-c", script)
    return ran.out.strip()


def refused(ran: Ran) -> tuple[str, str]:
    assert ran.code == 3, ran.out
    return ran.error["code"], ran.error["why"]


def test_a_service_that_uses_everything(light: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "lite.toml"

    def deploy(content: str, version: int = 1) -> dict[str, str]:
        (tmp_path / "web.conf").write_text(content)
        (tmp_path / "binary").write_bytes(b"\xff\0")
        file.write_text(lite(version, **SETTINGS) + service("other"))
        return {s["name"]: s["action"] for s in light.done("deploy", "-f", str(file))["services"]}

    assert deploy("one\n") == {"web": "replace", "other": "create"}
    assert inside(light, "cat /etc/app/web.conf; wc -c < /etc/binary; id -u; pwd") == "one\n2\n999\n/tmp"
    assert inside(light, "ulimit -Sn; ulimit -Hn") == "1000\n2000"
    assert "Read-only" in inside(light, "touch /etc/app/x 2>&1")
    assert "SAID=so" in inside(light, "tr '\\0' '\\n' < /proc/1/environ")
    assert "size=1024k" in inside(light, "grep /dev/shm /proc/mounts")
    assert inside(light, "ls /dev/fuse; grep CapBnd /proc/1/status | grep -c 1$").startswith("/dev/fuse")
    limits = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
    assert inside(light, limits) == str(128 * 2**20)

    assert set(deploy("one\n").values()) == {"unchanged"}
    with looking(light) as answers:
        assert deploy("two\n") == {"web": "replace", "other": "unchanged"}
        assert inside(light, "cat /etc/app/web.conf") == "two"
        assert deploy("three\n", 2) == {"web": "replace", "other": "unchanged"}
        back = light.done("rollback", "lite")
    assert {s["name"]: s["action"] for s in back["services"]} == {"web": "replace", "other": "unchanged"}
    assert [a for a, b in zip(answers, [*answers[1:], ""], strict=True) if a != b] == ["1", "2", "1"]
    assert inside(light, "cat /etc/app/web.conf") == "two"

    before = world(light)
    exported = light.plain("export", "lite").out
    assert {s["action"] for s in light.deployed(exported)["services"]} == {"unchanged"}
    assert 'image = "ployz-demo/web:1"' in exported
    assert_untouched(light, before)

    broken = lite(1, **{**SETTINGS, "command": '["false"]'}) + service("other")
    file.write_text(broken)
    assert light.ctl("deploy", "-f", str(file)).code == 4
    assert_untouched(light, before)


def test_files_that_the_machine_lost_are_there_again_when_the_daemon_is(light: Cluster, tmp_path: Path) -> None:
    (tmp_path / "web.conf").write_text("one\n")
    (tmp_path / "lite.toml").write_text(lite(files='{ "/etc/x" = "web.conf" }'))
    light.done("deploy", "-f", str(tmp_path / "lite.toml"))
    [instance] = light.done("ps", "lite")["instances"]
    light.kill_daemon()
    light.inside("rm", "-r", str(light.machine / "data" / "files"))
    light.start_daemon()
    light.docker("restart", "--time", "0", instance["id"])
    assert inside(light, "cat /etc/x") == "one"
    light.deployed(lite())
    assert not list((light.machine / "data" / "files").iterdir())


@contextmanager
def stranger(cluster: Cluster, port: int) -> Iterator[None]:
    """A process of the host that listens there."""
    script = f'import socket, sys; s = socket.create_server(("", {port})); print(1, flush=True); sys.stdin.read()'
    argv = ["nsenter", "--target", str(cluster.holder()), "--net", "--", "python3", "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield
        process.communicate(timeout=10)


def test_a_port_of_the_host_has_one_owner(light: Cluster) -> None:
    published = lite(publish='{ 5001 = "web" }')
    with stranger(light, 5001):
        assert refused(light.deploy(published)) == ("name.taken", "a process of the host listens there")
    light.deployed(published)
    other = json.dumps(
        {
            "namespace": "rival",
            "services": {"x": {"image": "ployz-demo/web:1", "ports": {"x": 8080}, "publish": {"5001": "x"}}},
        }
    )
    assert refused(light.deploy(other)) == ("name.taken", "the namespace lite has that port")
    light.deployed(lite())
    light.deployed(other)
    light.deployed(json.dumps({"namespace": "rival"}))


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (lite(place='{ machine = "m9" }'), "machine.missing"),
        (lite(files='{ "/etc/x" = "./nowhere" }'), "file.missing"),
    ],
    ids=["machine", "file"],
)
def test_what_is_not_there_is_refused(light: Cluster, broken: str, code: str) -> None:
    before = world(light)
    assert refused(light.deploy(broken))[0] == code
    assert_untouched(light, before)


def test_one_that_takes_too_much_memory_is_told(light: Cluster) -> None:
    hog = """["python3", "-c", "import time; time.sleep(2); x = bytearray(300_000_000)"]"""
    greedy = service("greedy", command=hog, ready="", restart='"no"', resources='{ memory = "64MiB" }')
    light.deployed(lite() + greedy)

    def ended() -> bool:
        rows = light.done("ps", "lite")["instances"]
        return [row["last_exit"] for row in rows if row["service"] == "greedy"] == [137]

    wait_until(ended, "the greedy one was killed")
    warnings = light.ctl("status").json["warnings"]
    assert [said for said in warnings if "lite/greedy used more memory than resources.memory lets it" in said]
    light.deployed(lite())
