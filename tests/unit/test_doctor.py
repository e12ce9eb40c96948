"""What the doctor makes of what it is told: each judgement, and how what cannot be asked is told."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.dev.cgroup import Hierarchy
from daemon.doctor import host, kernel, network, running, secrets, serving, storage, store
from daemon.doctor.assumption import Assumption, Finding, examine, ok
from daemon.doctor.network import Door
from daemon.records import Namespace, Sealed
from daemon.wire import InstanceRow, OperationRow
from dataplane import sockets
from dataplane.dataset import PoolUnavailable, Space
from dataplane.entry import Entry, StoreDown
from runtime.about import About
from runtime.instance import EngineUnavailable
from tests.fakes.kv import FakeKv
from tests.fakes.seen import AT, SeenEngine, SeenMirror, SeenPool
from tests.fakes.vault import FakeVault

NOW = datetime(2030, 1, 1, tzinfo=UTC)
V1, V2 = Hierarchy(Path("/cg"), 1), Hierarchy(Path("/cg2"), 2)
ALL = {"cpu", "memory", "pids"}


async def nobody() -> int | None:
    return None


DOOR = Door("caddy", 80, nobody)


def instance(state: Any, restarts: int = 0) -> InstanceRow:
    return InstanceRow("web-1", "shop", "web", "m1", "10.0.0.2", state, AT, restarts, None, "web:1", "x")


def operation(state: Any, code: str = "") -> OperationRow:
    return OperationRow("op-1", "deploy", state, "ann", AT, namespaces=["shop"], says="why", code=code)


GIB = 2**30
FORWARDS = {"ipv4/ip_forward": "1", "bridge/bridge-nf-call-iptables": "1"}
JUDGED: list[tuple[Finding, str, str, str]] = [
    (host.judge_rights(0), "ok", "root", ""),
    (host.judge_rights(1000), "failure", "uid 1000", "sudo"),
    (host.judge_programs(set(host.PROGRAMS), {"nft": "1.0.6", "ip": ""}), "ok", "nft 1.0.6", ""),
    (host.judge_programs(set(host.PROGRAMS) - {"nft", "zpool"}, {}), "failure", "nft", "install nftables zfs-fuse"),
    (host.judge_cgroups([], []), "failure", "none", "mount"),
    (host.judge_cgroups([V1], [{"cpu", "pids"}]), "warning", "memory (resources.memory)", "boot"),
    (host.judge_cgroups([V1, V2], [ALL, set()]), "ok", "v1 and v2", ""),
    (host.judge_disk("/x", GIB // 4, GIB), "failure", "0.2 of 1.0 GiB", "free space"),
    (host.judge_disk("/x", GIB, 9 * GIB), "warning", "1.0 of 9.0 GiB", "free space"),
    (host.judge_disk("/x", 5 * GIB, 9 * GIB), "ok", "/x", ""),
    (host.judge_memory(GIB // 16), "failure", "0.1 GiB", "end something"),
    (host.judge_memory(GIB // 4), "warning", "0.2 GiB", "0.3 GiB"),
    (host.judge_memory(GIB), "ok", "1.0 GiB", ""),
    (kernel.judge_zfs(in_kernel=True, fuse="none"), "ok", "kernel", ""),
    (kernel.judge_zfs(in_kernel=False, fuse=""), "ok", "zfs-fuse", ""),
    (kernel.judge_zfs(in_kernel=False, fuse="/dev/fuse: no"), "failure", "/dev/fuse: no", "modprobe fuse"),
    (kernel.judge_wireguard(in_kernel=True, tun="none"), "ok", "kernel", ""),
    (kernel.judge_wireguard(in_kernel=False, tun=""), "ok", "wireguard-go", ""),
    (kernel.judge_wireguard(in_kernel=False, tun="/dev/net/tun: no"), "warning", "/dev/net/tun: no", "modprobe"),
    (storage.judge_pool(Space(79, 100)), "ok", "79 % full", ""),
    (storage.judge_pool(Space(80, 100)), "warning", "80 % full", "free space"),
    (storage.judge_pool(Space(95, 100)), "warning", "95 % full", "free space"),
    (storage.judge_pool(Space(96, 100)), "failure", "nothing is changed", "free space"),
    (network.judge_forwarding(FORWARDS), "ok", "forwards", ""),
    (network.judge_forwarding({**FORWARDS, "ipv4/ip_forward": "0"}), "failure", "is 0", "sysctl -w net.ipv4.ip_f"),
    (network.judge_forwarding({"bridge/x": "missing"}), "failure", "net.bridge.x is missing", "modprobe br_netfilter"),
    (network.judge_mtu({}, 1500), "ok", "no default route", ""),
    (network.judge_mtu({"eth0": 1500}, 1500), "ok", "eth0", ""),
    (network.judge_mtu({"eth0": 1400, "eth1": 9000}, 1500), "warning", "eth0 takes 1400", "ip link set eth0 mtu 1500"),
    (network.judge_packets({}, 1420), "ok", "no other machine", ""),
    (network.judge_packets({"m2": 1420, "m3": 1420}, 1420), "ok", "1420 bytes get to m2, m3", ""),
    (network.judge_packets({"m2": 1232, "m3": None}, 1420), "failure", "than 1232 bytes to m2", "carry 1500 bytes"),
    (network.judge_packets({"m2": 1420, "m3": None}, 1420), "warning", "from m3", "ployzctl machine ls"),
    (network.judge_door(DOOR, 7, {"1", "2"}, {"2", "3"}), "ok", "caddy (pid 7)", ""),
    (network.judge_door(DOOR, 7, {"1"}, {"3"}), "failure", "does not listen at port 80", "ss -lnptu"),
    (network.judge_door(DOOR, None, {"1"}, ()), "failure", "somebody else listens", "caddy.log"),
    (network.judge_door(DOOR, None, (), ()), "failure", "nobody listens", "by itself"),
    (store.judge_speed(0.0015), "ok", "1.5 ms", ""),
    (store.judge_speed(1.0), "warning", "1000.0 ms", "disk"),
    (store.judge_mirror(None), "ok", "all", ""),
    (store.judge_mirror(AT), "warning", AT, "by itself"),
    (store.judge_clock(NOW, NOW + timedelta(seconds=1), NOW + timedelta(seconds=2)), "ok", "agrees", ""),
    (store.judge_clock(NOW, NOW - timedelta(seconds=3), NOW), "warning", "3.0 s", "NTP"),
    (store.judge_clock(NOW, NOW + timedelta(seconds=9), NOW + timedelta(seconds=5)), "warning", "4.0 s", "NTP"),
    (serving.judge("names", ""), "ok", "every", ""),
    (serving.judge("names", "it is dumb"), "failure", "it is dumb", "dnsmasq.log"),
    (secrets.judge(3, [], "", ""), "ok", "all 3", ""),
    (secrets.judge(3, ["version 2 of shop/KEY"], "", "x"), "failure", "version 2 of shop/KEY", "secret rotate"),
    (secrets.judge(3, [], "the key is gone", "x"), "failure", "the key is gone", "before ployzd is started"),
    (secrets.judge(3, [], "", "no tmpfs"), "failure", "no tmpfs", "start ployzd"),
    (running.judge_limits(()), "ok", "can limit", ""),
    (running.judge_limits(("memory",)), "warning", "cannot limit memory", "cgroup_enable"),
    (running.judge_instances([instance("running")], NOW), "ok", "all 1", ""),
    (running.judge_instances([instance("missing")], NOW), "failure", "does not know web-1", "deploy again"),
    (running.judge_instances([instance("stopped")], NOW), "warning", "web-1 (last exit None)", "deploy again"),
    (running.judge_instances([instance("running", 3)], NOW), "warning", "keeps restarting", "ployzctl logs"),
    (running.judge_operations([operation("running")]), "ok", "none is stuck", ""),
    (running.judge_operations([operation("stuck")]), "failure", "op-1, ann", "ployzctl op resume op-1"),
    (running.judge_operations([operation("stuck", "operation.unreadable")]), "failure", "op-1: why", "install"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "state", "says", "hint"), JUDGED)
def test_what_is_found_is_judged(found: Finding, state: str, says: str, hint: str) -> None:
    assert (found.state, says in found.says, hint in found.hint) == (state, True, True), found
    assert bool(found.hint) == (state != "ok"), "what to do is said exactly where something is to be done"


@pytest.mark.parametrize(
    ("words", "version"),
    [
        ("Docker version 20.10.24+dfsg1, build 297e128", "20.10.24"),
        ("nftables v1.0.6 (Lester Gooch #5)", "1.0.6"),
        ("Dnsmasq version 2.90  Copyright", "2.90"),
        ("ip utility, iproute2-6.1.0, libbpf 1.1.0", "6.1.0"),
        ("", ""),
    ],
)
def test_a_version_is_found_in_what_a_program_says(words: str, version: str) -> None:
    assert host.version_in(words) == version


# ------------------------------------------------------------------------------------------------- asking


def found(ask: Callable[[], Awaitable[Finding]], within: float = 5.0) -> Finding:
    [check] = asyncio.run(examine([Assumption("x", ask, "look at it")], "m1", within))
    assert (check.name, check.machine) == ("x", "m1")
    return Finding(check.state, check.says, check.hint)


async def hangs() -> Finding:
    await asyncio.Event().wait()
    return ok("never")


async def is_not_there() -> Finding:
    raise FileNotFoundError(2, "No such file", "/proc/x")


async def has_a_bug() -> Finding:
    raise KeyError("x")


def test_what_gives_no_answer_is_a_failure_with_what_to_do() -> None:
    assert found(hangs, within=0.01) == Finding("failure", "there was no answer within 0.01 seconds", "look at it")
    assert found(is_not_there).hint == "look at it"
    assert "/proc/x" in found(is_not_there).says


def test_what_the_kernel_does_not_do_is_told_in_its_own_words() -> None:
    told = asyncio.run(kernel.tried(kernel.Try(("sh", "-c", "echo no such thing >&2; false"), "it can", "modprobe it")))
    assert (told.state, "no such thing" in told.says, told.hint) == ("failure", True, "modprobe it")
    assert asyncio.run(kernel.tried(kernel.Try(("cat",), "it can", "modprobe it"))) == ok("it can")


def test_a_bug_is_not_taken_for_a_failure_of_the_world() -> None:
    with pytest.raises(KeyError):
        found(has_a_bug)


def test_a_pool_and_an_engine_that_do_not_answer() -> None:
    pool = SeenPool()
    pool.problem = PoolUnavailable("suspended")
    told = found(lambda: storage.pool(pool))
    assert (told.state, told.says, "zpool status" in told.hint) == ("failure", "suspended", True)

    class Engine(SeenEngine):
        async def about(self) -> About:
            raise EngineUnavailable("no answer")

    told = found(lambda: running.engine(Engine()))
    assert (told.state, told.says, "engine" in told.hint) == ("failure", "no answer", True)


def test_the_store_decides_and_nothing_is_written() -> None:
    async def asked() -> tuple[Finding, int, int]:
        kv = FakeKv()
        empty = await store.decides(kv)
        assert (empty.state, "no cluster" in empty.says) == ("failure", True)
        before = await kv.put("cluster", b"{}", 0)
        return await store.decides(kv), before, kv.revision

    finding, before, after = asyncio.run(asked())
    assert (finding.state, after) == ("ok", before)


def test_a_store_that_takes_any_write_or_none_is_a_failure() -> None:
    class Lies(FakeKv):
        async def get(self, key: str) -> Entry | None:
            return Entry(b"{}", 7)

        async def put(self, key: str, value: bytes, revision: int) -> int:
            return 8

    assert "not the newest" in found(lambda: store.decides(Lies())).says

    class Down(FakeKv):
        async def get(self, key: str) -> Entry | None:
            raise StoreDown("silence")

    told = found(lambda: store.decides(Down()))
    assert (told.says, "by itself" in told.hint) == ("silence", True)


class Locked(FakeVault):
    def lacks_key(self) -> str:
        return ""

    def lacks_memory(self) -> str:
        return ""


def test_each_that_is_sealed_is_opened_but_those_that_are_forgotten() -> None:
    sealed = {("KEY", 1): Sealed(b"spoilt"), ("KEY", 2): Sealed(), ("KEY", 3): Sealed(FakeVault().seal(b"x"))}
    mirror = SeenMirror({"shop": Namespace()}, sealed=sealed)
    told = found(lambda: secrets.readable(mirror, Locked()))
    assert told.says == "the key of this machine does not open version 1 of shop/KEY"
    del sealed["KEY", 1]
    assert "all 1 that" in found(lambda: secrets.readable(mirror, Locked())).says


HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0\n"


def test_whose_socket_listens_is_told_by_its_inode(tmp_path: Path) -> None:
    rows = [
        ROW.format(local="0100007F:107E", remote="00000000:0000", state="0A", inode=41),
        ROW.format(local="0100007F:107E", remote="0100007F:9999", state="01", inode=42),
        ROW.format(local="00000000:0050", remote="00000000:0000", state="0A", inode=43),
    ]
    (tmp_path / "tcp").write_text(HEAD + "".join(rows))
    assert sockets.at(4222, tmp_path) == {"41"}
    assert sockets.at(80, tmp_path) == {"43"}
    assert sockets.listening(tmp_path) == {80}
    assert sockets.held_by(2**22 + 1) == set()
