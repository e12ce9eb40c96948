"""Open ends: a client that goes away, and an operation that can be neither finished nor taken back for a while."""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.machine.cluster import Cluster, wait_until
from tests.machine.cutting import lines
from tests.machine.explained import explained
from tests.machine.test_killed import new_version


def id() -> str:
    return f"open-{secrets.token_hex(4)}"


def test_an_operation_goes_on_without_its_client_and_is_attached_to_again(shop: Cluster, tmp_path: Path) -> None:
    words = new_version(tmp_path / "shop.toml", "alone")
    journal = shop.journal(words[-1])
    with shop.begin("--json", *words) as client:
        wait_until(lambda: len(lines(journal)) > 8, "it is under way")
        client.kill()
    shown = shop.plain("--json", "--events", "op", "show", words[-1], "-f")
    assert shown.code == 0, shown.out
    *events, last = shown.out.splitlines()
    assert len(events) == len(lines(journal)) - 2
    assert '"state":"done"' in last
    assert shop.get("/version") == "alone"
    explained(shop)
    [head] = [one for one in shop.done("status")["namespaces"] if one["name"] == "shop"]
    assert shop.done(*words)["deploy"] == head["deploy"]


@contextmanager
def somebody_in(cluster: Cluster, generation: Path) -> Iterator[None]:
    """A process whose working directory is in a generation, once it is mounted: it can't be unmounted meanwhile."""
    seen, mounts = Path(f"/proc/{cluster.holder()}/root{generation}"), Path(f"/proc/{cluster.holder()}/mountinfo")
    wait_until(lambda: f" {generation} " in mounts.read_text(), f"{generation} is mounted")
    words = ("nsenter", "--target", str(cluster.holder()), "--mount", f"--wd={seen}", "sleep", "infinity")
    with subprocess.Popen(words) as process:
        wait_until(lambda: os.readlink(f"/proc/{process.pid}/cwd").endswith(generation.name), "somebody is in it")
        try:
            yield
        finally:
            process.kill()


def test_what_can_not_be_taken_back_is_stuck_and_is_carried_on(shop: Cluster) -> None:
    operation, before, rows = id(), shop.datasets(), shop.rows()
    generation = shop.machine / "data" / "volumes" / "shop" / "data" / operation
    words = ("deploy", "-f", "shop-3.toml", "--op-id", operation)
    with shop.begin("--json", *words) as client, somebody_in(shop, generation):
        out, _ = client.communicate(timeout=120)
        assert client.returncode == 5, out
        assert json.loads(out)["error"]["state"] == "stuck"
        assert (shop.get("/version"), shop.rows()) == ("1", rows)
        [row] = shop.done("op", "ls")["operations"]
        assert (row["id"], row["state"]) == (operation, "stuck")
        assert [row["id"] for row in shop.done("status")["operations"]] == [operation]
        other = shop.ctl("deploy", "-f", "shop-2.toml")
        assert (other.code, other.error["code"]) == (3, "claim.stuck")
        assert operation in other.error["try"]
    ran = shop.ctl("op", "resume", operation)
    assert (ran.code, ran.error["state"]) == (4, "taken_back"), ran.out
    assert (shop.datasets(), shop.rows()) == (before, rows)
    explained(shop)
    shop.done("deploy", "-f", "shop-2.toml")
