"""What is served, decided without a world: from heads, views and what is down."""

import pytest

from daemon import manifest, projection
from daemon.node import View
from daemon.records import Head, Namespace, Port, Running, Service
from dataplane.gateway import Route
from dataplane.maps import SLOTS, Maps, elements, maps_of

OLD, NEW = Running("old", "m1", "10.210.1.2", "op-1"), Running("new", "m1", "10.210.1.3", "op-2")
DB, WEB = "10.210.224.1", "10.210.224.2"
MEMBER = "10.210.1.9"


def service(
    name: str, address: str | None, *up: Running, ports: dict[str, int], routes: tuple[str, ...] = ()
) -> Service:
    return Service(
        name=name,
        specification=manifest.Service(image="web:1"),
        image="",
        digest="",
        identity="",
        address=address,
        ports=tuple(Port(port, number) for port, number in ports.items()),
        routes=routes,
        instances=up,
    )


def head(*services: Service, namespace: str = "shop") -> Head:
    return Head(
        namespace=namespace,
        deploy=1,
        operation="op-1",
        at="",
        who="",
        manifest="",
        services={service.name: service for service in services},
        volumes={},
    )


def heads(*services: Service) -> dict[str, Head]:
    return {"shop": head(*services)}


def view(*candidates: Service, withdrawn: tuple[str, ...] = ()) -> View:
    return View("op-2", "shop", candidates, (MEMBER,), withdrawn)


def test_everybody_is_led_to_what_is_committed() -> None:
    shop = heads(service("db", DB, OLD, NEW, ports={"pg": 5432, "stats": 9000}))
    assert projection.maps(shop, [], ()).everybody == {
        (DB, 5432): (("10.210.1.2", 5432), ("10.210.1.3", 5432)),
        (DB, 9000): (("10.210.1.2", 9000), ("10.210.1.3", 9000)),
    }


@pytest.mark.parametrize("how", ["withdrawn", "down", "stopped"])
def test_nobody_is_led_to_what_is_away(how: str) -> None:
    shop = heads(service("db", DB, *(() if how == "stopped" else (OLD,)), ports={"pg": 5432}))
    views = [view(withdrawn=("old",))] if how == "withdrawn" else []
    assert projection.maps(shop, views, {"old"} if how == "down" else ()) == Maps()


def test_members_are_led_to_their_candidates_and_else_as_everybody() -> None:
    shop = heads(service("db", DB, OLD, ports={"pg": 5432}), service("web", WEB, OLD, ports={"http": 80}))
    maps = projection.maps(shop, [view(service("db", DB, NEW, ports={"pg": 5432}))], ())
    assert maps.everybody == {(DB, 5432): (("10.210.1.2", 5432),), (WEB, 80): (("10.210.1.2", 80),)}
    assert maps.members == {(MEMBER, (DB, 5432)): (("10.210.1.3", 5432),)}


def test_members_are_refused_where_the_candidate_has_nothing() -> None:
    shop = heads(service("db", DB, OLD, ports={"pg": 5432, "stats": 9000}))
    no_instance_yet = projection.maps(shop, [view(service("db", DB, ports={"pg": 5432, "stats": 9000}))], ())
    assert no_instance_yet.members == {(MEMBER, (DB, 5432)): (), (MEMBER, (DB, 9000)): ()}
    a_port_less = projection.maps(shop, [view(service("db", DB, NEW, ports={"pg": 5432}))], ())
    assert a_port_less.members == {(MEMBER, (DB, 5432)): (("10.210.1.3", 5432),), (MEMBER, (DB, 9000)): ()}


def test_a_service_that_is_only_a_candidate_has_a_name_and_serves_members_only() -> None:
    views = [view(service("db", DB, NEW, ports={"pg": 5432}, routes=("db.example.com",)))]
    assert projection.hosts({}, views) == {"db.shop.ployz.internal": DB}
    assert projection.maps({}, views, ()) == Maps({}, {(MEMBER, (DB, 5432)): (("10.210.1.3", 5432),)})
    assert projection.routes({}) == ()


def test_a_service_without_ports_has_no_name() -> None:
    assert projection.hosts(heads(service("job", None, OLD, ports={})), []) == {}


def test_what_is_committed_keeps_its_name_whatever_a_candidate_is_called() -> None:
    shop = heads(service("db", DB, OLD, ports={"pg": 5432}))
    assert projection.hosts(shop, [view(service("db", WEB, NEW, ports={"pg": 5432}))]) == {"db.shop.ployz.internal": DB}


def test_namespaces_that_are_no_more_serve_nothing() -> None:
    assert projection.heads_of({"shop": Namespace(), "blog": Namespace(head(namespace="blog"))}).keys() == {"blog"}


def test_routes_are_a_host_and_perhaps_a_path() -> None:
    web = service(
        "web", WEB, OLD, ports={"web": 8080}, routes=("a.example.com", "b.example.com/api/v1", "c.example.com/")
    )
    to = f"{WEB}:8080"
    assert set(projection.routes(heads(web))) == {
        Route("a.example.com", "", to),
        Route("b.example.com", "/api/v1", to),
        Route("c.example.com", "", to),
    }


@pytest.mark.parametrize(
    ("ports", "led"),
    [
        ({"a": 1, "web": 2, "http": 3}, 2),
        ({"a": 1, "http": 3}, 3),
        ({"a": 1}, 1),
        ({"a": 1, "b": 2}, None),
        ({}, None),
    ],
)
def test_which_port_a_route_leads_to(ports: dict[str, int], led: int | None) -> None:
    assert projection.gateway_port(service("web", WEB, ports=ports)) == led


@pytest.mark.parametrize("instances", [1, 2, 3, 4, 5, 6, 7, 30, 60])
def test_each_instance_has_its_share_of_the_slots(instances: int) -> None:
    targets = tuple((f"10.210.1.{number}", 80) for number in range(instances))
    maps = Maps({(WEB, 80): targets})
    held = elements(maps)
    led = [*held["one"].values(), *held["many"].values()]
    shares = [led.count(target) for target in targets]
    assert max(shares) - min(shares) <= (0 if SLOTS % instances == 0 else 1)
    assert maps_of(held) == maps
