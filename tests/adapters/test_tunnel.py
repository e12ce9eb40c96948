"""A guest's way to a door between real namespaces: who has the token gets there, and to nothing else."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from daemon import addressing, problems
from daemon.letters import Letter
from daemon.tunnel import DOOR, Knock, Tunnel, Unreached
from daemon.wire import Admitted, MachineAdmit, Refused, Success, encode
from dataplane.mesh_rules import MeshRules
from dataplane.peers import Peer
from dataplane.secret_file import write_secret
from dataplane.wireguard import Wireguard, public_key_of
from runtime.command import run
from tests.adapters.bridge import CLIENT, end, inside
from tests.adapters.places import machines, on, underlay

CIDR, GUEST, DOORSTEP = addressing.DEFAULT, "10.210.223.2", "10.210.223.254"
SUBNET, GUESTS, ELSEWHERE = "10.210.1.0/24", addressing.guests(CIDR), (4222, 80)
ASK = Knock(MachineAdmit("op-i", "c", "m2", "id", "key", "nkey", None, "0.1.0", "2026"), preview=False)
ADMITTED = Admitted({"name": "prod"}, {"name": "m2"}, {})
YES = encode(Success("admitted", {"cluster": ADMITTED.cluster, "machine": ADMITTED.machine, "machines": {}}))
SERVER = """
import http.server, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(sys.argv[2])))
        self.end_headers()
        self.wfile.write(sys.argv[2].encode())
    do_GET = do_POST
servers = [http.server.ThreadingHTTPServer((sys.argv[1], int(port)), Answer) for port in sys.argv[3:]]
[threading.Thread(target=server.serve_forever).start() for server in servers]
print("listening", flush=True)
"""


def inviter(folder: Path) -> Wireguard:
    return Wireguard("ploymesh0", folder / "mesh", "10.210.1.1", CIDR, 51820, also=(DOORSTEP,))


@pytest.fixture
def letter(tmp_path: Path) -> Iterator[Letter]:
    """Machine 1 expects a guest, and has something to say at its door and elsewhere; what it wrote to machine 2."""
    mesh = inviter(tmp_path)
    rules = MeshRules("ploymesh0", "ploy0", CIDR, SUBNET, GUESTS, (DOORSTEP, DOOR), ELSEWHERE[:1])

    async def expect() -> Letter:
        secret = (await run("wg", "genkey")).strip()
        await mesh.ensure()
        await rules.ensure()
        await mesh.apply([Peer(await public_key_of(secret), (f"{GUEST}/32",))])
        where, key = f"{underlay(1)}:51820", await mesh.public_key()
        return Letter("op-i", "prod", "c", CIDR, where, key, DOORSTEP, secret, GUEST, "2026", None)

    with machines(1, 2):
        found = on(1, expect)
        words = (DOORSTEP, YES.decode(), *map(str, (DOOR, *ELSEWHERE)))
        serving = subprocess.Popen(inside(1, SERVER, *words), stdout=subprocess.PIPE)
        assert serving.stdout
        with serving.stdout as said:
            assert said.readline()
        yield found
        end(serving)
        on(1, rules.remove)
        on(1, mesh.remove)


def knock(letter: Letter, folder: Path, connects: float = 10.0) -> Admitted | None:
    return on(2, lambda: Tunnel(folder / "guest", connects=connects).knock(letter, ASK))


def test_who_has_the_token_is_heard_and_leaves_nothing_behind(letter: Letter, tmp_path: Path) -> None:
    assert knock(letter, tmp_path) == ADMITTED
    assert knock(letter, tmp_path) == ADMITTED, "one may knock again"
    assert_nothing_is_left(tmp_path)


def assert_nothing_is_left(folder: Path) -> None:
    links = subprocess.run(["ip", "-n", "i2", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert "ployguest0" not in links
    assert not list((folder / "guest").glob("*.key"))


def test_a_guest_reaches_the_door_and_nothing_else(letter: Letter, tmp_path: Path) -> None:
    write_secret(tmp_path / "guest" / "machine.key", letter.secret.encode())
    way = Wireguard("ployguest0", tmp_path / "guest", GUEST, f"{DOORSTEP}/32", 51822)

    async def open_way() -> None:
        await way.ensure()
        await way.apply([Peer(letter.key, (f"{DOORSTEP}/32",), letter.endpoint)])

    on(2, open_way)
    places = [(DOORSTEP, port) for port in (DOOR, *ELSEWHERE)]
    told = subprocess.run(inside(2, CLIENT, json.dumps(places), ""), check=True, capture_output=True, timeout=60)
    on(2, Tunnel(tmp_path / "guest").clear)
    assert_nothing_is_left(tmp_path)
    door, *elsewhere = json.loads(told.stdout)
    assert door == YES.decode()
    assert elsewhere == ["TimeoutError"] * len(ELSEWHERE)


def test_nobody_beside_the_mesh_gets_at_the_ports_of_machines(letter: Letter) -> None:
    """A neighbour who sends what is for a machine's address on the mesh straight to the machine."""
    assert letter.endpoint
    on(2, lambda: run("ip", "route", "add", "10.210.1.1/32", "via", underlay(1)))
    places = [("10.210.1.1", port) for port in ELSEWHERE]
    told = subprocess.run(inside(2, CLIENT, json.dumps(places), ""), check=True, capture_output=True, timeout=60)
    on(2, lambda: run("ip", "route", "del", "10.210.1.1/32"))
    assert json.loads(told.stdout) == ["TimeoutError", "ConnectionRefusedError"]


@pytest.mark.parametrize(
    "change", [{"key": "A" * 43 + "="}, {"endpoint": f"{underlay(9)}:51820"}, {"endpoint": "m1:x"}]
)
def test_who_cannot_get_there_is_told_what_was_tried(letter: Letter, tmp_path: Path, change: dict[str, str]) -> None:
    """Another cluster at that endpoint, nobody there, and no place at all."""
    began = time.monotonic()
    with pytest.raises(Unreached) as caught:
        knock(structs.replace(letter, **change), tmp_path, connects=2.0)
    assert problems.code(caught.value) == "join.unreachable"
    assert change.get("endpoint", letter.endpoint) in str(caught.value)
    assert time.monotonic() - began < 10


def test_an_invitation_that_is_over_is_told_of_where_nobody_knows_it_any_more(letter: Letter, tmp_path: Path) -> None:
    """But not to who may have been let in: that would be taken for good."""
    forgotten = structs.replace(letter, key="A" * 43 + "=", expires_at="2026-01-01T00:00:00.000Z")

    async def asked() -> str:
        try:
            await Tunnel(tmp_path / "guest", connects=2.0).knock(forgotten, structs.replace(ASK, preview=True))
        except Refused as refused:
            return refused.code
        return "in"

    assert on(2, asked) == "join.expired"
    with pytest.raises(Unreached):
        knock(forgotten, tmp_path, connects=2.0)
