"""Secrets as users meet them: seen by what names them, in the version that counts, and by nobody else."""

import os
import secrets
import subprocess
from pathlib import Path

from tests.machine.cluster import Cluster, Ran
from tests.machine.cutting import kill_at
from tests.machine.manifests import lite

SEES = '["PASSWORD"]'
NAME = "lite/PASSWORD"
FILE = "/run/secrets/PASSWORD"


def a_value() -> str:
    return f"value-{secrets.token_hex(16)}"


def inside(cluster: Cluster, *argv: str) -> Ran:
    return cluster.plain("exec", "lite/web", "--", *argv)


def seen(cluster: Cluster) -> str:
    ran = inside(cluster, "cat", FILE)
    assert ran.code == 0, ran.err
    return ran.out


def container(cluster: Cluster) -> str:
    [found] = [name for name in cluster.docker("ps", "--format", "{{.Names}}").split() if name.startswith("lite-web-")]
    return found


def row(cluster: Cluster) -> tuple[int, list[str]]:
    [found] = cluster.done("secret", "ls", "lite")["secrets"]
    return found["version"], found["used_by"]


def leaks(cluster: Cluster, value: str) -> list[str]:
    """Where a value is that should be nowhere: files of the cluster, words and variables of processes."""
    grep = ["grep", "-rlF", "--exclude=*.img", "--exclude=pool", "-e", value, str(cluster.root)]
    files = subprocess.run(grep, capture_output=True, text=True, check=False).stdout.split("\n")
    return [file for file in files if file] + [str(file) for file in _told_of_processes(value.encode())]


def _told_of_processes(value: bytes) -> list[Path]:
    found = []
    for folder in Path("/proc").iterdir():
        for file in ("cmdline", "environ") if folder.name.isdigit() and folder.name != str(os.getpid()) else ():
            try:
                if value in (folder / file).read_bytes():
                    found.append(folder / file)
            except OSError:
                continue  # it has ended meanwhile
    return found


def test_each_deploy_sees_its_version_and_nothing_else_sees_any(light: Cluster) -> None:
    old, new = a_value(), a_value()
    ran = light.deploy(lite(secrets=SEES))
    assert (ran.code, ran.error["code"], ran.error["try"]) == (3, "secret.missing", f"ployzctl secret set {NAME}")
    assert light.done("secret", "set", NAME, given=f"{old}\n") == {
        "namespace": "lite", "name": "PASSWORD", "version": 1, "kept": [],
    }  # fmt: skip
    first = light.deployed(lite(secrets=SEES))
    assert (seen(light), row(light)) == (old, (1, ["web"]))
    assert inside(light, "sh", "-c", "echo $PASSWORD_FILE").out.strip() == FILE
    assert inside(light, "sh", "-c", f"echo other > {FILE}").code != 0, "it can be written to"

    assert light.done("secret", "set", NAME, given=new)["kept"] == [1]
    assert (seen(light), row(light)) == (old, (2, ["web"]))
    owned = lite(secrets=SEES, user='"1000:1000"')
    assert light.deployed(owned)["services"][0]["action"] == "replace"
    assert seen(light) == new
    assert inside(light, "stat", "-c", "%u %g %a", FILE).out.split() == ["1000", "1000", "400"]
    light.kill_daemon()
    assert light.docker("exec", "-u", "0", container(light), "cat", FILE) == new, "it does not outlive the daemon"
    light.inside("sh", "-c", f"rm {light.machine}/data/vault/shown/*/PASSWORD")
    light.start_daemon()
    assert seen(light) == new, "what was lost, as by a boot, is not there again"

    light.done("rollback", "lite")
    assert seen(light) == old
    light.done("rollback", "lite", "--to", str(first["deploy"]), "--code-only")
    assert seen(light) == new
    ran = light.ctl("secret", "rm", NAME)
    assert (ran.code, ran.error["code"], ran.error["why"]) == (3, "secret.used", "web of lite uses it")
    assert [leaks(light, value) for value in (old, new)] == [[], []]

    light.deployed(lite())
    removed = light.done("secret", "rm", NAME)
    assert (removed["version"], removed["kept"]) == (None, [1, 2])
    assert light.done("secret", "ls", "lite")["secrets"] == []
    assert light.deploy(lite(secrets=SEES)).error["code"] == "secret.missing"
    light.done("rollback", "lite")
    assert seen(light) == new, "the deploy point does not have its version any more"
    light.deployed(lite())
    assert [leaks(light, value) for value in (old, new)] == [[], []]


def test_setting_one_is_killed_at_its_events_and_is_all_or_nothing(light: Cluster) -> None:
    light.done("secret", "set", NAME, given=a_value())
    version, _ = row(light)
    cut = 0
    for at in (2, 4, 6, 8):
        value, id = a_value(), f"cut-{secrets.token_hex(4)}"
        words, journal = ("secret", "set", NAME, "--op-id", id), light.journal(id)
        daemon = light.daemon()
        with light.begin("--json", *words) as client:
            assert client.stdin
            client.stdin.write(value.encode())
            client.stdin.close()
            killed = kill_at(journal, at, daemon)
            client.wait(timeout=60)
        cut += killed
        if killed:
            light.start_daemon()
            light.settled()
        done = '"kind":"committed"' in journal.read_text()
        version += done
        assert row(light)[0] == version, f"killed at line {at}"
        assert light.ctl(*words, given=value).code == (0 if done else 4)
        assert light.ctl(*words, given=a_value()).error["code"] == "operation.other_request"
        light.deployed(lite(secrets=SEES))
        assert (seen(light) == value) == done
        assert leaks(light, value) == []
    assert cut, "it was over each time before it could be cut"
    light.deployed(lite())


def test_credentials_that_no_registry_takes_are_refused_and_told_nobody(light: Cluster) -> None:
    value = a_value()
    ran = light.ctl("registry", "login", "127.0.0.1:1", "--user", "ann", given=value)
    assert (ran.code, ran.error["code"]) == (3, "registry.refused"), ran.out
    assert light.done("registry", "ls") == {"registries": []}
    ran = light.ctl("registry", "logout", "127.0.0.1:1")
    assert (ran.code, ran.error["code"]) == (3, "registry.missing")
    assert leaks(light, value) == []
