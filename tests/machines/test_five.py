"""Five machines as one cluster: any of them is lost, cut off or removed, and what was acknowledged is there.

Whatever a test does, it leaves five machines that all know each other.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from daemon.addressing import DEFAULT, door
from daemon.meshing import INNER
from daemon.peers.talk import PORT as TALK
from daemon.tunnel import DOOR
from daemon.whereabouts import WHERE
from dataplane.layout import PORTS
from tests.machine.cluster import Cluster, Ran, gone, scratch, wait_until
from tests.machine.cutting import standing_still_at
from tests.machines.members import ELECTED, acknowledged, is_alone, is_stale, keepers, machines, secrets, set_secret
from tests.machines.sshd import Keys, add, serve_installed

NAME = "five"
ALL = ("m1", "m2", "m3", "m4", "m5")
EACH = 'namespace = "each"\n[services.one]\nruntime = "host"\ncommand = ["sleep", "1000"]\nreplicas = "global"\n'
DATA = (
    'namespace = "data"\n[services.one]\nruntime = "host"\ncommand = ["sleep", "%d"]\nvolumes = { data = "/mnt" }\n'
    'place = { machine = "m4" }\n[volumes.data]\n'
)
WRITE = """
import os, sys
file = os.open("/mnt/lines", os.O_RDWR | os.O_APPEND | os.O_CREAT)
os.write(file, sys.argv[1].encode() + b"\\n")
os.fsync(file)
"""
"""Writes a line, and has it be there whatever comes."""
TRY = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor
def takes(place):
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 2).close()
    except OSError:
        return False
    return True
places = sys.argv[1:]
with ThreadPoolExecutor(len(places)) as trying:
    print(*(place for place, took in zip(places, trying.map(takes, places)) if took))
"""
"""Prints those of the places that take a connection."""
KEYS = """
import asyncio, sys, nats
async def main():
    url, seed = sys.argv[1:]
    try:
        connected = await nats.connect(url, nkeys_seed_str=seed, connect_timeout=2, allow_reconnect=False)
    except nats.errors.Error as refused:
        print(refused)
    else:
        print("in")
        await connected.close()
asyncio.run(main())
"""
"""Prints `in` if a server takes a machine's key, else why it does not."""

READS = (("namespace", "ls"), ("ps", "lasting"), ("history", "lasting"), ("volume", "ls"))


def place(machine: str, seconds: int, namespace: str = "lasting") -> str:
    """A manifest of something that runs on one machine; with other seconds it is another deploy."""
    return (
        f'namespace = "{namespace}"\n[services.one]\nruntime = "host"\n'
        f'command = ["sleep", "{seconds}"]\nplace = {{ machine = "{machine}" }}\n'
    )


@pytest.fixture(scope="module")
def five() -> Iterator[Cluster]:
    with scratch(NAME) as made:
        made.up(5)
        acknowledged(made, "FIRST")
        made.deployed(place("m1", 99))
        yield made


# --------------------------------------------------------------------------------------------- what users would do


def dev(five: Cluster, *words: str) -> None:
    five.on("m1").done("dev", *words, "--name", five.name)


def others(*machines: str) -> list[str]:
    return [name for name in ALL if name not in machines]


def knows(cluster: Cluster, names: Iterable[str]) -> bool:
    """Whether it says that exactly these are in, and that they all answer."""
    ran = cluster.ctl("machine", "ls")
    rows = ran.json["result"]["machines"] if ran.code == 0 else []
    return [row["name"] for row in rows] == sorted(names) and all(row["reachable"] for row in rows)


def at_once(effort: Callable[[str], object], names: Sequence[str]) -> None:
    """Do it for each of the machines, at the same time."""
    with ThreadPoolExecutor(len(names)) as doing:
        list(doing.map(effort, names))


def all_know(five: Cluster, names: Sequence[str] = ALL) -> None:
    def known(name: str) -> None:
        wait_until(partial(knows, five.on(name), names), f"{name} knows {', '.join(names)}", within=ELECTED)

    at_once(known, names)


def same_everywhere(five: Cluster, names: Sequence[str] = ALL) -> None:
    """One state, and everybody has it."""

    def same(name: str) -> None:
        wait_until(lambda: state(five.on(name)) == wanted, f"{name} has what {names[0]} has", within=ELECTED)

    wait_until(lambda: not is_stale(five.on(names[0])), f"{names[0]} hears all that changes", within=ELECTED)
    wanted = state(five.on(names[0]))
    at_once(same, names)


def state(cluster: Cluster) -> Any:
    """What a machine tells of what was committed, and that it is not old."""
    told = cluster.done("status")
    namespaces = [(row["name"], row["deploy"], row["deployed_at"]) for row in told["namespaces"]]
    return secrets(cluster), namespaces, told["store"]["machines"], told["store"]["incarnation"], told["stale_since"]


def come(five: Cluster, newcomer: str, host: str) -> Any:
    """A machine that is alone joins, invited by another one under its own name: what it says of itself."""
    token = five.on(host).done("machine", "invite", "--name", newcomer, "--wait", "60")["token"]
    [joined] = five.on(newcomer).done("join", token)["machines"]
    return joined


def leave(five: Cluster, name: str, asked: str) -> None:
    """It leaves with everything in order, and is alone."""
    assert five.on(asked).done("machine", "rm", name)["fenced"]
    wait_until(partial(is_alone, five.on(name)), f"{name} is a cluster of its own", within=ELECTED)


# ------------------------------------------------------------------------------------------------------- the tests


@pytest.mark.parametrize("who", [("founder",), ("leaf", "keeper")])
def test_those_that_are_lost_are_removed_and_others_come_under_their_names(five: Cluster, who: tuple[str, ...]) -> None:
    """Also the founder, which is asked first by everybody else; one that keeps the records, and one that does not."""
    five.deployed(EACH)
    lost = [chosen(five, each) for each in who]
    there = five.on(others(*lost)[0])
    old_keys = [(five.on(name).machine / "data" / "store" / "machine.seed").read_text().strip() for name in lost]
    for name in lost:
        dev(five, "kill", name)
    for name in lost:
        wait_until(partial(is_missed, there, name), f"{name} is out of reach", within=ELECTED)
        is_removed_by_force(there, name)
    there.deployed(EACH)
    assert {row["machine"] for row in there.done("ps", "each")["instances"]} == {*others(*lost)}
    five.up()  # those that were to be off are not
    for name, keys in zip(lost, old_keys, strict=True):
        refused_everywhere(there, name, keys)
    at_once(lambda name: comes_anew(five, name, others(*lost, "m1")[0]), lost)
    all_know(five)
    five.deployed(EACH)
    five.deployed(place("m1", 98))  # which may have been lost with it
    rows = five.on(lost[0]).done("ps", "each")["instances"]
    assert {row["machine"]: row["state"] for row in rows} == dict.fromkeys(ALL, "running")
    five.done("namespace", "rm", "each", "--purge", "--yes")


def chosen(five: Cluster, who: str) -> str:
    """The founder, or of the others one that keeps the records, or a leaf, which does not."""
    if who == "founder":
        return "m1"
    held = keepers(five)
    return next(name for name in others("m1") if (name in held) == (who == "keeper"))


def is_removed_by_force(there: Cluster, lost: str) -> None:
    """It is missed everywhere, and then no machine any more; who kept the records besides goes on."""
    assert {row["machine"]: row["state"] for row in there.done("ps", "each")["instances"]}[lost] == "unknown"
    status, held = there.ctl("status").json, keepers(there)
    assert not {row["name"]: row["reachable"] for row in status["result"]["machines"]}[lost]
    assert any(f"{lost} does not answer" in warning for warning in status["warnings"])
    acknowledged(there, f"WITHOUT_{lost.upper()}")
    assert there.ctl("machine", "rm", lost).error["code"] == "machine.unreachable"
    removed = there.ctl("machine", "rm", lost, "--force").json
    assert not removed["result"]["fenced"]
    assert "each/one" in removed["warnings"][1]
    assert {*held} - {lost} <= {*keepers(there)}
    assert len(keepers(there)) == 3


def comes_anew(five: Cluster, name: str, host: str) -> Any:
    """One that was removed by force leaves what is left of its cluster, and joins: what it says of itself."""
    five.on(name).done("mesh", "destroy", "--force")
    wait_until(partial(is_alone, five.on(name)), f"{name} is alone", within=ELECTED)
    return come(five, name, host)


def is_missed(asked: Cluster, machine: str) -> bool:
    """Whether it says that this one does not answer; without the one that led those who keep the records it may take a
    moment until it says anything."""
    ran = asked.ctl("machine", "ls")
    return ran.code == 0 and not {row["name"]: row for row in ran.json["result"]["machines"]}[machine]["reachable"]


def refused_everywhere(five: Cluster, lost: str, old_keys: str) -> None:
    """It changes nothing, reaches nobody over the mesh, and no server takes its key, however that got there."""
    assert set_secret(five.on(lost), "BY_NOBODY").error["code"] == "store.down"
    known = machines(five)
    assert five.on(lost).inside("python3", "-c", TRY, *ports(row["overlay_ip"] for row in known.values())) == "\n"
    for name, row in known.items():
        there = five.on(name)
        assert lost not in {peer["machine"] for peer in there.done("mesh", "status")["peers"]}
        own_keys = (there.machine / "data" / "store" / "machine.seed").read_text().strip()
        [url] = [f"nats://{at}" for at in opened(there, [f"127.0.0.1:{each.clients}" for each in PORTS])]
        assert tried(there, url, own_keys) == "in"
        assert "Authorization Violation" in tried(there, url, old_keys), row


def ports(hosts: Iterable[str]) -> list[str]:
    return [f"{host}:{port}" for host in hosts for port in INNER]


def opened(cluster: Cluster, places: Iterable[str]) -> list[str]:
    return cluster.inside("python3", "-c", TRY, *places).split()


def tried(cluster: Cluster, url: str, seed: str) -> str:
    return cluster.inside(sys.executable, "-c", KEYS, url, seed).strip()


def test_no_process_of_an_instance_speaks_to_a_machine(five: Cluster) -> None:
    """Not to the bus, at the door, to where talks are or the store is: not at its own machine, and not at another."""
    five.deployed(place("m2", 1000, "probe"))
    places = [*ports(row["overlay_ip"] for row in machines(five).values()), f"{door(DEFAULT)}:{DOOR}"]
    theirs = machines(five)["m1"]["overlay_ip"]
    assert {f"{theirs}:{port}" for port in (TALK, WHERE)} < {*opened(five.on("m2"), places)}, "machines do"
    ran = five.plain("exec", "probe/one", "--", "python3", "-c", TRY, *places)
    assert (ran.code, ran.out) == (0, "\n")
    five.done("namespace", "rm", "probe", "--purge", "--yes")


def test_two_machines_add_two_others_at_the_same_time(five: Cluster) -> None:
    for name in ("m4", "m5"):
        leave(five, name, "m1")
    tokens, told = together(five, {"m4": "new", "m5": "new"})
    [first] = [name for name, answer in told.items() if answer["ok"]]
    [refused] = [answer["error"]["code"] for answer in told.values() if not answer["ok"]]
    assert refused == "machine.exists"
    [other] = {"m4", "m5"} - {first}
    assert five.on(other).ctl("join", tokens[first]).error["code"] == "join.used"
    five.done("machine", "rm", "new")
    wait_until(partial(is_alone, five.on(first), "new"), f"{first} is a cluster of its own", within=ELECTED)
    assert all(ran.code == 0 for ran in added(five, {"m1": "m4", "m2": "m5"}))
    all_know(five)
    assert len({row["subnet"] for row in machines(five).values()}) == 5


def together(five: Cluster, names: dict[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
    """Machines join at the same time, each under a name, invited by m1 and m2 at the same time: their tokens, and what
    they are answered."""
    inviting = [five.on(host).begin("--json", "machine", "invite") for host in ("m1", "m2")]
    told = [json.loads(each.communicate(timeout=60)[0])["result"]["token"] for each in inviting]
    tokens = dict(zip(names, told, strict=True))
    joining = {at: five.on(at).begin("--json", "join", tokens[at], "--name", name) for at, name in names.items()}
    return tokens, {at: json.loads(each.communicate(timeout=120)[0]) for at, each in joining.items()}


def added(five: Cluster, newcomers: dict[str, str]) -> list[Ran]:
    """Each of these machines adds another one by ssh, at the same time: what they are answered."""
    keys = Keys(five.root / "keys")
    keys.make()
    addresses = [asyncio.run(serve_installed(five.on(name), keys)) for name in newcomers.values()]
    for address in addresses:
        keys.trust(address)

    def adds(host: str, newcomer: str, address: str) -> Ran:
        return add(five.on(host), keys, f"root@{address}", "--name", newcomer)

    with ThreadPoolExecutor(len(newcomers)) as doing:
        return list(doing.map(adds, newcomers.keys(), newcomers.values(), addresses))


def written(five: Cluster, line: str) -> None:
    ran = five.plain("exec", "data/one", "--", "python3", "-c", WRITE, line)
    assert ran.code == 0, ran.err


def lines(five: Cluster) -> list[str]:
    return five.plain("exec", "data/one", "--", "cat", "/mnt/lines").out.split()


def data(five: Cluster) -> str:
    """The machine that the volume is on."""
    [row] = five.done("volume", "ls", "data")["volumes"]
    return str(row["machine"])


def test_one_with_data_is_removed_and_one_that_is_lost_with_it_is_gone_on_from(five: Cluster) -> None:
    five.deployed(DATA % 1000)
    written(five, "first")
    leave(five, "m4", "m1")
    left = data(five)
    assert (left != "m4", lines(five)) == (True, ["first"])
    come(five, "m4", "m1")
    all_know(five)
    five.done("migrate", "apply", "data/one", "--to", "m4")
    written(five, "second")
    copy = others("m4", left)[-1]
    whole = sent(five, copy)
    written(five, "third")
    assert 0 < sent(five, copy) < whole
    lost = os.urandom(2**15).hex()
    written(five, lost)
    wait_until(lambda: behind(five)[copy] > 2**14, "as much is written since as was")
    assert behind(five).keys() == {copy}
    [row] = five.done("volume", "ls", "data")["volumes"]
    dev(five, "kill", "m4")
    wait_until(lambda: not machines(five)["m4"]["reachable"], "m4 is out of reach")
    assert five.ctl("volume", "send", "data/data", "--to", copy).error["code"] == "machine.unreachable"
    refused = five.ctl("machine", "rm", "m4", "--force").error
    assert (refused["code"], f"what {copy} has of" in refused["why"]) == ("machine.data", True)
    assert not five.done("machine", "rm", "m4", "--force", "--accept-loss", "data/data")["fenced"]
    assert data(five) == copy
    five.deployed(DATA % 1001)
    assert lines(five) == ["first", "second", "third"]
    brought = comes_back(five, "m4")
    assert data(five) == copy, "the cluster went on without it"
    [one] = [one for one in brought if one["generation"] == row["generation"]]
    five.done("namespace", "rm", "data", "--purge", "--yes")
    kept = five.done("volume", "ls", "--kept")["volumes"]
    assert {(each["generation"], each["machine"], each["adopted"]) for each in kept} == {
        (each["generation"], "m4", True) for each in brought
    }
    five.done("volume", "restore", f"data/data@{one['snapshot']}", "data/data")
    five.deployed(DATA % 1002)
    assert (data(five), lines(five)) == ("m4", ["first", "second", "third", lost]), "what was lost is there again"
    all_forgotten(five, brought)


def all_forgotten(five: Cluster, brought: list[Any]) -> None:
    for each in brought:
        five.done("volume", "purge", "data/data", "--kept", each["generation"], "--yes")
    five.done("namespace", "rm", "data", "--purge", "--yes")
    assert five.done("volume", "ls", "--kept")["volumes"] == []


def behind(five: Cluster) -> dict[str, int]:
    """How many bytes the volume's copies lack, by machine."""
    [row] = five.done("volume", "ls", "data")["volumes"]
    return {one["machine"]: one["written"] for one in row["copies"]}


def sent(five: Cluster, to: str) -> int:
    """The bytes that it took to have a copy there."""
    return int(five.done("volume", "send", "data/data", "--to", to)["bytes"])


def comes_back(five: Cluster, name: str) -> list[Any]:
    """One that was removed by force is up again: it is refused, and joins anew. Returns what it brings along."""
    five.up()
    assert set_secret(five.on(name), "BY_NOBODY").error["code"] == "store.down"
    brought: list[Any] = comes_anew(five, name, "m1")["adopted"]
    all_know(five)
    return brought


def test_every_machine_is_removed_in_turn_the_founder_first(five: Cluster) -> None:
    five.deployed(place("m5", 100))
    before, left = {*secrets(five)}, list(ALL)
    for name in ALL[:-1]:
        leave(five, name, name if name in ("m1", "m4") else left[-1])
        left.remove(name)
        goes_on(five, left, before)
        before.add(f"WITH_{len(left)}")
        if len(left) == 2:
            survives_its_servers(five, left)
    assert five.on("m5").ctl("machine", "rm", "m5").error["code"] == "machine.last"
    at_once(lambda name: come(five, name, "m5"), ALL[:-1])
    all_know(five)
    five.deployed(place("m1", 100))
    leave(five, "m5", "m5")
    goes_on(five, list(ALL[:-1]), before, at="m1")
    come(five, "m5", "m2")
    all_know(five)


def goes_on(five: Cluster, left: list[str], before: set[str], at: str = "m5") -> None:
    """The records are there, kept by as many as can, and a deploy works."""
    asked = five.on(left[0])
    assert list(machines(asked)) == left
    assert len(keepers(asked)) == (3 if len(left) >= 3 else 1)
    assert {*secrets(asked)} >= before
    asked.deployed(place(at, 100 + len(left)))
    assert set_secret(five.on(left[-1]), f"WITH_{len(left)}").code == 0
    same_everywhere(five, left)


def survives_its_servers(five: Cluster, names: Sequence[str]) -> None:
    """All of them are killed right after a command that was acknowledged: what it did is there."""
    first, *_ = there = [five.on(name) for name in names]
    servers = [each.pid("nats-server") for each in there]
    assert set_secret(first, "RIGHT_BEFORE").code == 0
    for server in servers:
        os.kill(server, signal.SIGKILL)
    for server in servers:
        wait_until(partial(gone, server), "the server is gone")
    acknowledged(first, "RIGHT_AFTER")
    wait_until(lambda: not is_stale(first), f"{first.at} hears all that changes", within=ELECTED)
    assert {"RIGHT_BEFORE", "RIGHT_AFTER"} <= {*secrets(first)}
    same_everywhere(five, names)
    for name in ("RIGHT_BEFORE", "RIGHT_AFTER"):
        first.done("secret", "rm", f"told/{name}")


def test_three_keep_what_was_acknowledged_before_all_servers_were_killed(five: Cluster) -> None:
    assert len(keepers(five)) == 3
    survives_its_servers(five, ALL)


@pytest.mark.parametrize("seats", [1, 2])
def test_of_two_and_three_those_with_the_store_go_on_and_then_there_is_one_state(five: Cluster, seats: int) -> None:
    """Also where those are the two, with as many of the three seats: the larger side has to refuse."""
    held = keepers(five)
    two = [*held[:seats], *[name for name in ALL if name not in held][: 2 - seats]]
    going, waiting = (two, others(*two)) if seats == 2 else (others(*two), two)
    dev(five, "part", *two)
    at_once(lambda name: acknowledged(five.on(name), f"BY_{name.upper()}_OF_{len(going)}"), going)
    at_once(lambda name: reads_and_refuses(five.on(name), [each for each in held if each in going]), waiting)
    dev(five, "heal")
    at_once(lambda name: acknowledged(five.on(name), f"BY_{name.upper()}_AGAIN"), waiting)
    all_know(five)
    same_everywhere(five)
    assert {f"BY_{name.upper()}_OF_{len(going)}" for name in going} <= {*secrets(five)}
    assert "NEVER" not in secrets(five)


def test_each_of_five_alone_reads_and_refuses_and_then_there_is_one_state(five: Cluster) -> None:
    held = keepers(five)
    for name in ALL[:-1]:
        dev(five, "part", name)
    at_once(lambda name: reads_and_refuses(five.on(name), [other for other in held if other != name]), ALL)
    dev(five, "heal")
    at_once(lambda name: acknowledged(five.on(name), f"BY_{name.upper()}_HEALED"), ALL)
    all_know(five)
    same_everywhere(five)
    assert "NEVER" not in secrets(five)


def reads_and_refuses(cluster: Cluster, missing: list[str]) -> None:
    """Cut off from most of those who keep the records: it tells what it knew, since when, and takes no change."""
    wait_until(partial(is_stale, cluster), f"{cluster.at} says that it may be old", within=ELECTED)
    read = {words: cluster.ctl(*words).json for words in READS}
    for words, told in read.items():
        assert any("changes since" in warning for warning in told["warnings"]), words
    assert [row["name"] for row in read["namespace", "ls"]["result"]["namespaces"]] == ["lasting"]
    assert [row["machine"] for row in read["ps", "lasting"]["result"]["instances"]] == ["m1"]
    assert read["history", "lasting"]["result"]["deploys"]
    assert read["volume", "ls"]["result"]["volumes"] == []
    changes = set_secret(cluster, "NEVER"), cluster.deploy(place("m1", 97, "never")), cluster.ctl("machine", "invite")
    for refused in changes:
        assert (refused.code, refused.error["code"]) == (3, "store.down"), refused
        assert [name for name in ALL if name in refused.error["why"].rpartition("no answer")[2]] == missing


# ------------------------------------------------------------------------------------- a coordinator that stands still


def manifest(five: Cluster, seconds: int) -> str:
    """A file with one that is deployed over what is there."""
    file = five.root / f"still-{seconds}.toml"
    file.write_text(place("m2", seconds, "still"))
    return str(file)


def whole(five: Cluster) -> Any:
    """What there is of the namespace on every machine, in records and in the world."""
    told = five.on("m2")
    rows = [(row["id"], row["machine"], row["state"]) for row in told.done("ps", "still")["instances"]]
    folders = {name: sorted(os.listdir(five.on(name).machine / "data" / "host")) for name in ALL}
    return rows, folders, told.done("history", "still")["deploys"]


def test_a_coordinator_that_stood_still_and_was_taken_over_changes_nothing(five: Cluster) -> None:
    m1, m3 = five.on("m1"), five.on("m3")
    m1.deployed(place("m2", 1000, "still"))
    before = whole(five)
    with m1.begin("--json", "deploy", "-f", manifest(five, 1001), "--op-id", "op-still") as asked:
        with standing_still_at(m1.journal("op-still"), 5, m1.daemon()):
            over = m3.ctl("op", "resume", "op-still", "--take-over")
            assert over.error["state"] == "stuck", "until the one that stands still can be told"
            assert "m1" in over.error["why"]
            assert whole(five) == before
        asked.communicate(timeout=60)
    m3.settled()  # without anybody's doing
    m1.settled()
    assert m1.ctl("op", "resume", "op-still").error["state"] == "taken_back"
    assert whole(five) == before
    m1.deployed(place("m2", 1002, "still"))


def test_nor_does_one_that_stood_still_between_its_claim_and_its_record(five: Cluster) -> None:
    """On a busy machine it may have come further before it stands still: then another one is tried."""
    assert any(stood_still_before_its_record(five, f"op-claimed-{turn}") for turn in range(5))


def stood_still_before_its_record(five: Cluster, operation: str) -> bool:
    m1, m3 = five.on("m1"), five.on("m3")
    with m1.begin("--json", "deploy", "-f", manifest(five, 1003), "--op-id", operation) as asked:
        with standing_still_at(m1.journal(operation), 1, m1.daemon()):
            late = m3.ctl("op", "resume", operation, "--take-over").error["code"] != "operation.missing"
            if not late:
                changed_meanwhile(m3)
                after = whole(five)
        told = json.loads(asked.communicate(timeout=60)[0])
    assert not told["ok"]
    m1.settled()
    m3.settled()
    if not late:
        assert whole(five) == after
        m1.deployed(place("m2", 1005, "still"))
    return not late


def changed_meanwhile(m3: Cluster) -> None:
    assert m3.deploy(place("m2", 1004, "still")).error["code"] == "claim.unreachable"
    m3.deployed(place("m2", 1004, "still"), "--take-over")
