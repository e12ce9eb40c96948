"""A pool that fills up while each primitive is at work: it is taken back, who was served is served, no byte is lost.

Reserved space is as good as written: ZFS itself says that nothing is left.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError
from urllib.error import HTTPError

import pytest

from tests.machine.cluster import Cluster, Ran, wait_until
from tests.machine.cutting import standing_still_at
from tests.machine.manifests import demo
from tests.machine.world import World, assert_untouched, world

LARGEST, SMALLEST = 36, 12
"""Powers of two: of more bytes than a pool has, and of as few as nobody can begin anything with."""
PLANNED = 1
"""The line of a journal with which an operation begins: its plan, and no step yet."""


@dataclass(frozen=True)
class Filled:
    """A shop with a past, a branch and a file; `state` is what its users see, `world` what is on the machine."""

    cluster: Cluster
    file: Path

    @property
    def state(self) -> tuple[str, str]:
        return self.cluster.get("/version"), self.cluster.get("/rows")

    def answers(self, state: tuple[str, str]) -> bool:
        with suppress(HTTPError):
            return self.state == state
        return False

    def used(self) -> int:
        return int(zfs(self.cluster, "get", "-Hp", "-o", "value", "used", self.root()))

    def root(self) -> str:
        return next(name for name in self.cluster.datasets() if name.count("/") == 1)


@pytest.fixture(scope="module")
def filled(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    file = tmp_path_factory.mktemp("full") / "data"
    cluster.deployed(demo(1))
    cluster.write_row()
    cluster.deployed(demo(2))
    cluster.done("volume", "snapshot", "shop/data", "named")
    cluster.done("branch", "apply", "shop", "pr-42")
    cluster.done("volume", "export", "shop/data", "-o", str(file))
    yield Filled(cluster, file)
    cluster.done("namespace", "rm", "pr-42", "--purge", "--yes")
    cluster.done("volume", "purge", "shop/data@named", "--yes")


def zfs(cluster: Cluster, *words: str) -> str:
    return cluster.inside("zfs", *words).strip()


def leave_nothing(cluster: Cluster) -> str:
    """Reserve all that is left, as far as it goes, in a moment: somebody stands still meanwhile."""
    pool = cluster.datasets()[0]
    filler, reserved = f"{pool}/filler", 0
    zfs(cluster, "create", "-o", "mountpoint=none", filler)
    for step in (1 << power for power in range(LARGEST, SMALLEST - 1, -1)):
        with suppress(CalledProcessError):
            zfs(cluster, "set", f"reservation={reserved + step}", filler)
            reserved += step
    return filler


@contextmanager
def a_full_pool(cluster: Cluster) -> Iterator[None]:
    filler = leave_nothing(cluster)
    try:
        yield
    finally:
        zfs(cluster, "destroy", filler)


def carried_out(filled: Filled, words: tuple[str, ...], given: str) -> Ran:
    """The command, on a pool that is full from its first step on."""
    cluster, id = filled.cluster, f"full-{secrets.token_hex(4)}"
    before = ("--json", *words, "--op-id", id) if "--" not in words else ("--json", words[0], "--op-id", id, *words[1:])
    with cluster.begin(*before) as client:
        assert client.stdin
        client.stdin.write(given.encode())
        client.stdin.close()
        client.stdin = None
        with standing_still_at(cluster.journal(id), PLANNED, cluster.daemon()):
            filler = leave_nothing(cluster)
        try:
            out, error = client.communicate(timeout=120)
        finally:
            zfs(cluster, "destroy", filler)
    return Ran(client.returncode, out.decode(), error.decode())


TAKEN_BACK: dict[str, tuple[tuple[str, ...], str]] = {
    "deploy": (("deploy", "-f", "-"), demo(3)),
    "rollback": (("rollback", "shop"), ""),
    "restart": (("restart", "shop/db"), ""),
    "scale": (("scale", "shop/web", "2"), ""),
    "branch": (("branch", "apply", "shop", "pr-43"), ""),
    "promote": (("promote", "pr-42", "shop", "--with-data"), ""),
    "fork": (("fork-volume", "shop/data", "shop/data2"), ""),
    "restore": (("volume", "restore", "shop/data@named", "old/data"), ""),
    "snapshot": (("volume", "snapshot", "shop/data", "other"), ""),
    "export": (("volume", "export", "shop/data", "--tar", "-o", "{file}.2"), ""),
    "import": (("volume", "import", "{file}", "new/data"), ""),
    "remove": (("namespace", "rm", "pr-42"), ""),
}
"""Commands that take room, with what they are given."""


def words_of(name: str, filled: Filled) -> tuple[tuple[str, ...], str]:
    words, given = TAKEN_BACK[name]
    return tuple(word.format(file=filled.file) for word in words), given


@pytest.mark.parametrize("name", TAKEN_BACK)
def test_what_finds_no_room_on_its_way_is_taken_back(filled: Filled, name: str) -> None:
    cluster, state = filled.cluster, filled.state
    before, used = world(cluster), filled.used()
    ran = refused_room(filled, name)
    assert (ran.code, ran.error["code"], ran.error["state"]) == (4, "pool.full", "taken_back"), ran.out
    assert_as_before(filled, before, used, state)


def refused_room(filled: Filled, name: str) -> Ran:
    """On a busy machine the daemon may stand still for longer than it waits for its records: that changes nothing, so
    it is tried again."""
    for _ in range(8):
        ran = carried_out(filled, *words_of(name, filled))
        if ran.code == 0 or ran.error["code"] != "store.down":
            break
    return ran


def assert_as_before(filled: Filled, before: World, used: int, state: tuple[str, str]) -> None:
    """Also to the byte, but for what a database writes by itself and a transaction group has not freed yet."""
    assert filled.state == state
    before = {**before, "containers": []}
    wait_until(lambda: {**world(filled.cluster), "containers": []} == before, "nothing is left of it")
    wait_until(lambda: abs(filled.used() - used) < 1 << 20, "it takes the space that it took")
    explained_but_for_names(filled.cluster)


def explained_but_for_names(cluster: Cluster) -> None:
    """Containers too: those of the head run, and no others. A restored one has another start."""
    running = {line.split(" ")[1] for line in cluster.containers()}
    wanted = {row["id"] for row in cluster.done("ps")["instances"] if row["id"]}
    assert running == wanted


def test_what_takes_room_is_refused_before_it_begins(filled: Filled) -> None:
    cluster = filled.cluster
    before, state = world(cluster), filled.state
    with a_full_pool(cluster):
        for name in TAKEN_BACK.keys() - {"remove"}:
            words, given = words_of(name, filled)
            ran = cluster.ctl(*words, given=given)
            assert (ran.code, ran.error["code"]) == (3, "pool.full"), (name, ran.out)
            assert "100 % full" in ran.error["why"], name
        resized = cluster.ctl("volume", "resize", "shop/data", "2GiB")
        assert (resized.code, resized.error["code"]) == (3, "pool.full")
        assert any("100 % full" in warning for warning in cluster.ctl("status").json["warnings"])
    assert_untouched(cluster, before)
    wait_until(lambda: filled.answers(state), "a database that found no room for its log is back")


def test_what_takes_none_is_done_and_to_purge_makes_room(filled: Filled) -> None:
    cluster = filled.cluster
    cluster.done("branch", "apply", "shop", "pr-44")
    with a_full_pool(cluster):
        assert cluster.plain("run", "shop/web", "--", "echo", "here").out == "here\n"
        cluster.done("secret", "set", "shop/TOKEN", given="x")
        cluster.done("namespace", "rm", "pr-44", "--purge", "--yes")
        assert not [name for name in cluster.datasets() if "pr-44" in name]
        free = int(zfs(cluster, "get", "-Hp", "-o", "value", "available", cluster.datasets()[0]))
        assert free > 0
    cluster.done("secret", "rm", "shop/TOKEN")
    explained_but_for_names(cluster)
