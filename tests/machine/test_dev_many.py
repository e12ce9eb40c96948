"""Local clusters of several machines, with stand-ins for the daemons: their network, and what is done to them."""

import asyncio
import ctypes
import json
import os
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from daemon.dev.processes import seen
from dataplane.process import started
from runtime.command import run
from tests.machine.clusters import Fields, Host, has_link, with_words

THREE: Fields = {"machines": 3}
CLONE_NEWNET = 0x40000000
SENT = 500


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A cluster of three machines; nothing may be left of it."""
    host = Host(tmp_path_factory.mktemp("many"))
    before = asyncio.run(run("ip", "-o", "link"))
    assert host.ask("up", THREE)[0] == 0
    yield host
    host.ask("down")
    assert host.left() == []
    assert asyncio.run(run("ip", "-o", "link")) == before


@pytest.fixture
def three(made: Host) -> Host:
    """The same, whole, whatever the test before left."""
    assert made.ask("heal")[0] == 0
    assert {machine["state"] for machine in made.ask("up")[1]["result"]["machines"]} == {"up"}
    return made


def told(host: Host) -> Any:
    """What `dev ls` says of the cluster."""
    [cluster] = host.ask("ls")[1]["result"]["clusters"]
    return cluster


def state(host: Host, name: str) -> str:
    return str({machine["name"]: machine["state"] for machine in told(host)["machines"]}[name])


def get(host: Host, name: str) -> bytes:
    """Ask a machine's gateway, from the host. Raises OSError."""
    url = {machine["name"]: machine["url"] for machine in told(host)["machines"]}[name]
    with urllib.request.urlopen(url, timeout=2) as answer:
        return bytes(answer.read())


def arrived(host: Host, source: str, target: str, count: int = 5) -> int:
    """How many datagrams of `count` get from one machine to another one."""
    with closing(_socket_in(host, source)) as sender, closing(_socket_in(host, target)) as receiver:
        receiver.bind((host.cluster.machine(target).address, 0))
        receiver.setblocking(False)
        found = 0
        for _ in range(count):
            sender.sendto(b"x", receiver.getsockname())
            found += _received(receiver)
        receiver.settimeout(0.3)
        return found + _received(receiver)


def _socket_in(host: Host, name: str) -> socket.socket:
    """A socket of the machine's network: it stays there, whoever uses it. Only a thread of its own goes there."""
    pid = host.cluster.machine(name).enclosure.runs().pid

    def make() -> socket.socket:
        with Path(f"/proc/{pid}/ns/net").open() as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(make).result()


def _received(receiver: socket.socket) -> int:
    found = 0
    try:
        while receiver.recv(16):
            found += 1
    except (BlockingIOError, TimeoutError):
        return found
    raise AssertionError("an empty datagram")


def test_each_machine_reaches_each_other_one_and_has_a_way_in(three: Host) -> None:
    names = ["m1", "m2", "m3"]
    assert [machine["name"] for machine in told(three)["machines"]] == names
    assert [machine["address"] for machine in told(three)["machines"]] == [f"192.168.77.{at}" for at in (1, 2, 3)]
    assert {get(three, name) for name in names} == {b"here is the machine\n"}
    ways = [(source, target) for source in names for target in names if source != target]
    assert {way: arrived(three, *way) for way in ways} == dict.fromkeys(ways, 5)


def test_another_cluster_with_the_same_addresses_is_not_reached(three: Host, tmp_path: Path) -> None:
    other = Host(tmp_path)
    try:
        assert other.ask("up")[0] == 0
        assert told(other)["machines"][0]["address"] == told(three)["machines"][0]["address"]
        with closing(_socket_in(other, "m1")) as sender, closing(_socket_in(three, "m2")) as receiver:
            receiver.bind(("192.168.77.2", 0))
            receiver.settimeout(0.3)
            sender.sendto(b"x", receiver.getsockname())
            assert _received(receiver) == 0
    finally:
        other.ask("down")
    assert other.left() == []


def test_parted_machines_reach_each_other_but_not_the_rest_until_it_is_healed(three: Host) -> None:
    code, answer, _ = three.ask("part", {"machines": ["m3", "m1"]})
    assert (code, answer["result"]["partings"]) == (0, [{"machines": ["m1", "m3"], "loss": 100, "one_way": False}])
    assert told(three)["partings"] == answer["result"]["partings"]
    assert (arrived(three, "m1", "m3"), arrived(three, "m3", "m1")) == (5, 5)
    assert (arrived(three, "m1", "m2"), arrived(three, "m2", "m3")) == (0, 0)
    assert get(three, "m2") == b"here is the machine\n"
    assert three.ask("heal")[1]["result"]["partings"] == []
    assert (arrived(three, "m1", "m2"), arrived(three, "m2", "m3")) == (5, 5)


def test_partings_add_up_and_the_same_machines_again_replace_theirs(three: Host) -> None:
    for machine in ("m1", "m2"):
        three.ask("part", {"machines": [machine]})
    assert [arrived(three, *way) for way in (("m1", "m2"), ("m2", "m3"), ("m3", "m1"))] == [0, 0, 0]
    three.ask("part", {"machines": ["m1"], "loss": 1, "one_way": True})
    assert [parting["loss"] for parting in told(three)["partings"]] == [100, 1]
    assert arrived(three, "m3", "m1") == 5


def test_one_way_only_what_they_send_is_lost(three: Host) -> None:
    three.ask("part", {"machines": ["m1"], "one_way": True})
    assert (arrived(three, "m1", "m2"), arrived(three, "m2", "m1")) == (0, 5)


def test_a_share_is_lost(three: Host) -> None:
    three.ask("part", {"machines": ["m2"], "loss": 30})
    got = [arrived(three, "m1", "m2", SENT), arrived(three, "m2", "m3", SENT), arrived(three, "m1", "m3", SENT)]
    assert got[2] == SENT
    assert all(0.58 * SENT < count < 0.82 * SENT for count in got[:2]), got  # six deviations of 30 %


def test_a_plug_is_pulled_and_up_starts_that_machine_again_in_its_parting(three: Host) -> None:
    three.ask("part", {"machines": ["m2"]})
    others = {name: three.cluster.machine(name).enclosure.group.members() for name in ("m1", "m3")}
    code, answer, _ = three.ask("kill", {"machine": "m2"})
    assert (code, answer["result"]["machines"][1]["state"], state(three, "m2")) == (0, "off", "off")
    assert not three.cluster.machine("m2").enclosure.group.members()
    assert three.ask("kill", {"machine": "m2"})[0] == 0
    assert three.ask("up")[0] == 0
    assert state(three, "m2") == "up"
    assert {name: three.cluster.machine(name).enclosure.group.members() for name in others} == others
    assert (arrived(three, "m1", "m2"), arrived(three, "m1", "m3")) == (0, 5)


def test_a_paused_machine_stands_still_and_goes_on_where_it_was(three: Host) -> None:
    before = seen(three.cluster.machine("m3").enclosure.group.members())
    code, answer, _ = three.ask("pause", {"machine": "m3"})
    assert (code, answer["result"]["machines"][2]["state"]) == (0, "paused")
    with pytest.raises(OSError, match="timed out"):
        get(three, "m3")
    assert three.ask("up")[0] == 0
    assert state(three, "m3") == "paused"
    assert three.ask("resume", {"machine": "m3"})[1]["result"]["machines"][2]["state"] == "up"
    assert get(three, "m3") == b"here is the machine\n"
    assert seen(three.cluster.machine("m3").enclosure.group.members()) == before


def test_a_paused_machine_is_let_go_by_heal_and_can_be_killed(three: Host) -> None:
    three.ask("pause", {"machine": "m1"})
    three.ask("pause", {"machine": "m3"})
    assert three.ask("kill", {"machine": "m3"})[1]["result"]["machines"][2]["state"] == "off"
    assert three.ask("heal")[0] == 0
    assert (state(three, "m1"), state(three, "m3")) == ("up", "off")


def test_a_network_whose_holder_was_killed_is_laid_again_to_all(three: Host) -> None:
    three.ask("part", {"machines": ["m1"]})
    holder = three.cluster.underlay.enclosure.runs()
    os.kill(holder.pid, signal.SIGKILL)
    asyncio.run(until(lambda: not three.cluster.underlay.enclosure.group.members()))
    assert told(three)["partings"] == []
    assert three.ask("part", {"machines": ["m1"]})[1]["error"]["code"] == "dev.off"
    assert three.ask("up")[0] == 0
    assert (arrived(three, "m1", "m2"), arrived(three, "m2", "m3")) == (5, 5)


def test_an_up_with_more_that_fails_leaves_those_that_were_there(three: Host) -> None:
    before, running = told(three), three.cluster.machine("m2").enclosure.group.members()
    (three.root / "broken").touch()
    code, answer, _ = three.ask("up", {"machines": 5})
    (three.root / "broken").unlink()
    assert (code, answer["error"]["code"]) == (4, "dev.machine")
    assert told(three) == before
    assert three.cluster.machine("m2").enclosure.group.members() == running
    assert sorted(path.name for path in three.cluster.folder.path.iterdir() if path.is_dir()) == [
        *("m1", "m2", "m3", "underlay")
    ]


def test_a_network_that_does_not_do_as_it_is_told_is_said_to(three: Host) -> None:
    holder = three.cluster.underlay.enclosure.runs()
    asyncio.run(run("nsenter", f"--net=/proc/{holder.pid}/ns/net", "--", "nft", "delete", "table", "bridge", "ployz"))
    code, answer, _ = three.ask("part", {"machines": ["m1"]})
    os.kill(holder.pid, signal.SIGKILL)
    assert (code, answer["error"]["state"]) == (5, "stuck")
    assert "nft" in answer["error"]["why"]


def test_fewer_than_there_are_is_refused_with_what_to_do(three: Host) -> None:
    code, answer, _ = three.ask("up", {"machines": 2})
    assert (code, answer["error"]["code"]) == (3, "dev.machines")
    assert "ployzctl dev down" in answer["error"]["try"]


def test_machines_are_added_also_to_the_far_side_of_a_parting(three: Host) -> None:
    """The last one on this cluster: no machine leaves it again."""
    three.ask("part", {"machines": ["m1"]})
    code, answer, events = three.ask("up", {"machines": 4})
    assert (code, [machine["state"] for machine in answer["result"]["machines"]]) == (0, ["up"] * 4)
    assert len({machine["url"] for machine in answer["result"]["machines"]}) == 4
    assert [event["step"].partition(" ")[0] for event in events] == [f"{at}" for at in (1, 2, 3, 4) for _ in range(2)]
    assert (arrived(three, "m2", "m4"), arrived(three, "m4", "m1")) == (5, 0)


def test_down_finds_everything_of_an_up_that_was_killed(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.cut("up", lambda cluster: with_words(cluster.machine("m2").serves), THREE)
    assert host.ask("down")[0] == 0
    assert host.left() == []


def test_up_finishes_an_up_that_was_killed_and_a_down_that_is_interrupted_is_stuck_until_it_is_asked_again(
    tmp_path: Path,
) -> None:
    host = Host(tmp_path)
    host.cut("up", lambda cluster: has_link(cluster.machine("m2")), THREE)
    assert [machine["state"] for machine in host.ask("up")[1]["result"]["machines"]] == ["up"] * 3
    assert (arrived(host, "m1", "m3"), arrived(host, "m3", "m2")) == (5, 5)
    first = host.cluster.machine("m1").enclosure.runs()
    said = host.cut("down", lambda _: started(first.pid) != first.since, by=signal.SIGINT)
    error = json.loads(said.splitlines()[-1])["error"]
    assert (error["state"], error["why"]) == ("stuck", "it was interrupted")
    assert host.ask("down")[0] == 0
    assert host.left() == []


@pytest.mark.parametrize("request_", ["kill", "pause"])
def test_what_was_killed_while_it_mistreated_a_machine_is_ended_by_heal_and_up(three: Host, request_: str) -> None:
    first = three.cluster.machine("m2").enclosure.runs()
    three.cut(
        request_,
        lambda cluster: cluster.machine("m2").is_paused() or not started(first.pid),
        {"machine": "m2"},
    )
    assert state(three, "m2") in ("off", "paused")
    three.ask("heal")
    assert three.ask("up")[0] == 0
    assert state(three, "m2") == "up"


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)
