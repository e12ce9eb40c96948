"""Routes through a real Caddy: what leads where, what a flip and a kill cost, and what it does not take."""

import asyncio
import http.client
import os
import select
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.firewall import Firewall
from dataplane.gateway import Gateway, GatewayProblem, Route
from dataplane.maps import Maps
from tests.adapters.bridge import GATEWAY, PORT, SERVICES, Machine, machine, who

VIP, OTHER = "10.210.224.1", "10.210.224.2"
FIREWALL = Firewall(SERVICES, "ploy0", GATEWAY)
SHOP = Route("shop.example.com", "", f"{VIP}:80")
API = Route("shop.example.com", "/api", f"{OTHER}:80")


@pytest.fixture
def here() -> Iterator[Machine]:
    with machine() as here:
        asyncio.run(FIREWALL.ensure())
        yield here


@pytest.fixture
def gateway(here: Machine) -> Iterator[Gateway]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="g")))
        gateway = Gateway("127.0.0.1:80", folder / "gateway")
        stack.callback(lambda: asyncio.run(gateway.process.stop()))
        asyncio.run(gateway.ensure())
        yield gateway


def led(**targets: str) -> None:
    addresses = {"shop": VIP, "api": OTHER}
    asyncio.run(FIREWALL.apply(Maps({(addresses[name], 80): ((ip, PORT),) for name, ip in targets.items()})))


def get(
    path: str = "/", *, host: str = "shop.example.com", method: str = "GET", at: tuple[str, int] = ("127.0.0.1", 80)
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*at, timeout=20)
    try:
        connection.request(method, path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_the_longest_path_of_a_host_decides(here: Machine, gateway: Gateway) -> None:
    shop, api = here.add(2), here.add(3)
    led(shop=shop, api=api)
    asyncio.run(gateway.apply([SHOP, API]))
    asked = ("/", "/api", "/api/rows", "/apis")
    assert [who(get(path)[1]) for path in asked] == [shop, api, api, shop]


def test_a_host_of_its_own_comes_before_a_wildcard(here: Machine, gateway: Gateway) -> None:
    shop, other = here.add(2), here.add(3)
    led(shop=shop, api=other)
    asyncio.run(gateway.apply([Route("*.example.com", "", f"{OTHER}:80"), SHOP]))
    assert [who(get(host=host)[1]) for host in ("shop.example.com", "x.example.com")] == [shop, other]


def test_where_no_route_leads_it_says_so(gateway: Gateway) -> None:
    asyncio.run(gateway.apply([SHOP]))
    status, said = get(host="nobody.example.com")
    assert status == 404
    assert "no service has this route" in said


def test_a_flip_under_load_loses_no_request_and_returns_with_the_new_one(here: Machine, gateway: Gateway) -> None:
    instances = here.add(2), here.add(3)
    led(shop=instances[0])
    asyncio.run(gateway.apply([SHOP]))
    answers: list[tuple[int, str]] = []
    over = threading.Event()

    def load() -> None:
        while not over.is_set():
            answers.append(get(method="POST"))

    loads = [threading.Thread(target=load) for _ in range(2)]
    for thread in loads:
        thread.start()
    for address in instances * 10:
        led(shop=address)
        assert who(get()[1]) == address
    over.set()
    for thread in loads:
        thread.join()
    assert {status for status, _ in answers} == {200}
    assert {who(said) for _, said in answers} == set(instances)


def test_a_request_waits_for_an_instance_that_is_just_starting(here: Machine, gateway: Gateway) -> None:
    shop = here.add(2)
    led()
    asyncio.run(gateway.apply([SHOP]))
    answers: list[tuple[int, str]] = []
    early = threading.Thread(target=lambda: answers.append(get(method="POST")))
    early.start()
    led(shop=shop)
    early.join()
    assert [(status, who(said)) for status, said in answers] == [(200, shop)]


def test_each_request_has_a_connection_of_its_own(here: Machine, gateway: Gateway) -> None:
    led(shop=here.add(2))
    asyncio.run(gateway.apply([SHOP]))
    ports = [get()[1].split()[2] for _ in range(4)]
    assert len(set(ports)) == 4


def test_a_stream_arrives_as_it_is_written_and_outlives_a_change_of_routes(here: Machine, gateway: Gateway) -> None:
    led(shop=(shop := here.add(2)))
    asyncio.run(gateway.apply([SHOP]))
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=10)
    connection.request("GET", "/stream", headers={"Host": "shop.example.com"})
    answer = connection.getresponse()
    assert answer.read(5) == b"first"
    asyncio.run(gateway.apply([SHOP, API]))
    get("/go", at=(shop, PORT))  # not through the gateway: a reload may lose a new connection, as is known of it
    assert answer.read() == b"last"
    connection.close()


def test_after_a_kill_it_serves_what_it_had(here: Machine, gateway: Gateway) -> None:
    led(shop=here.add(2))
    asyncio.run(gateway.apply([SHOP]))
    kill(gateway)
    asyncio.run(gateway.ensure())
    assert asyncio.run(gateway.holds([SHOP]))
    assert get()[0] == 200


def test_a_dead_one_is_started_for_new_routes(here: Machine, gateway: Gateway) -> None:
    led(shop=here.add(2), api=here.add(3))
    asyncio.run(gateway.apply([SHOP]))
    kill(gateway)
    assert not asyncio.run(gateway.holds([SHOP]))
    asyncio.run(gateway.apply([SHOP, API]))
    assert [get(path)[0] for path in ("/", "/api")] == [200, 200]


def test_a_living_one_is_adopted_with_what_it_has(gateway: Gateway) -> None:
    asyncio.run(gateway.apply([SHOP]))
    pid = gateway.process.running()
    asyncio.run(gateway.ensure())
    assert gateway.process.running() == pid
    assert asyncio.run(gateway.holds([SHOP]))


def test_what_it_does_not_take_changes_nothing(here: Machine, gateway: Gateway) -> None:
    led(shop=here.add(2))
    asyncio.run(gateway.apply([SHOP]))
    elsewhere = replace(gateway, listen="127.0.0.1:no-port")
    for refused in (elsewhere.check, elsewhere.apply):
        with pytest.raises(GatewayProblem, match=r"(?s)(did|would) not take .*no-port"):
            asyncio.run(refused([SHOP]))
    assert asyncio.run(gateway.holds([SHOP]))
    assert get()[0] == 200
    asyncio.run(gateway.check([SHOP, API]))
    assert asyncio.run(gateway.holds([SHOP])), "checking is not applying"


def kill(gateway: Gateway) -> None:
    pid = gateway.process.running()
    assert pid
    ended = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    select.select([ended], [], [], 10)
    os.close(ended)
