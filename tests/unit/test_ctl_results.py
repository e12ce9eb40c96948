"""Each kind of result as text, byte for byte."""

from typing import Any

import pytest
from msgspec import to_builtins

from ctl import quantities, texts
from ctl.style import Style
from ctl.tables import bar
from daemon import wire
from daemon.wire import Event, Problem

PLAIN = Style()
LONG_AGO = "2020-01-31T13:05:07Z"
ID = "op-aaaaaaaaaaaa"
OPERATION = wire.OperationRow(ID, "deploy", "stuck", "alice", LONG_AGO, "2020-01-31T13:06:12Z", ["shop"])
POINT = wire.DeployRow(3, "d-3", LONG_AGO, "alice", ID, True, {"web": "shop/web:1"}, {"data": "12345"})


def years() -> str:
    return quantities.ago(LONG_AGO, quantities.now())


def text(kind: str, result: Any) -> list[str]:
    return texts.text(kind, to_builtins(result), PLAIN).splitlines()


def test_instances() -> None:
    up = wire.InstanceRow("i1", "shop", "web", "m1", "10.210.1.5", "running", LONG_AGO, 0, None, "shop/web:2", "x")
    down = wire.InstanceRow("i2", "shop", "db", "m1", "10.210.1.6", "missing", None, 12, 137, "shop/db:1", "x")
    when = years()
    since, never = "SINCE".ljust(len(when)), " " * len(when)
    assert text("instances", {"instances": [up, down]}) == [
        f"SERVICE    INSTANCE   MACHINE   ADDRESS      STATE                     {since}   RESTARTS   IMAGE",
        f"shop/web   i1         m1        10.210.1.5   running                   {when}          0   shop/web:2",
        f"shop/db    i2         m1        10.210.1.6   missing (last exit 137)   {never}         12   shop/db:1",
    ]
    assert text("instances", {"instances": []}) == ["There are no instances."]


def test_a_preview_shows_where_the_commit_is() -> None:
    steps = [
        wire.PreviewStep("fetch shop/web:2", "m1", 3 << 19),
        wire.PreviewStep("point shop at deploy 4", "m1"),
        wire.PreviewStep("remove i1", "m1"),
    ]
    assert text("preview", wire.Preview("deploy", steps, 1)) == [
        "deploy would take 3 steps:",
        "    STEP                     MACHINE     BYTES   DOWN",
        "1   fetch shop/web:2         m1        1.5 MiB",
        "── whatever fails before this line is taken back; from here on the way is forward ──",
        "2   point shop at deploy 4   m1",
        "3   remove i1                m1",
    ]
    assert text("preview", wire.Preview("deploy", [], 0)) == ["deploy would do nothing: it is so already."]


def test_deploy_points() -> None:
    when = years()
    assert text("deploys", {"deploys": [POINT]}) == [
        f"    DEPLOY   {'WHEN'.ljust(len(when))}   WHO     OPERATION         DATA     IMAGES",
        f"▸        3   {when}   alice   {ID}   in use   web=shop/web:1",
    ]
    assert text("deploy", {"deploy": POINT, "manifest": 'namespace = "shop"\nkeep = 3\n'}) == [
        "deploy 3  current",
        "",
        "id            d-3",
        f"when          {when} (2020-01-31 13:05:07 UTC)",
        "who           alice",
        f"operation     {ID}",
        "image of web  shop/web:1",
        "data of data  12345",
        "",
        '  namespace = "shop"',
        "  keep = 3",
    ]


def test_operations() -> None:
    events = [Event(ID, LONG_AGO, "doing", "1 stop db"), Event(ID, "2020-01-31T13:05:09Z", "failed", "1 stop db", "no")]
    when = years()
    assert text("operations", {"operations": [OPERATION]}) == [
        f"OPERATION         WHAT          STATE   WHO     {'BEGAN'.ljust(len(when))}        TOOK",
        f"{ID}   deploy shop   stuck   alice   {when}   1 min 5 s",
    ]
    assert text("operation", {"operation": OPERATION, "events": events}) == [
        f"deploy shop  {ID}",
        "",
        "state  stuck",
        "who    alice",
        f"began  {when} (2020-01-31 13:05:07 UTC)",
        "took   1 min 5 s",
        "",
        "  ✗ stop db: no",
        "",
        f"Carry on with: ployzctl op resume {ID}",
    ]


def test_status_is_one_screen() -> None:
    services = [wire.ServiceStatus("shop", "db", 1, 1), wire.ServiceStatus("shop", "web", 1, 2)]
    now_is = wire.ClusterStatus(
        [wire.MachineStatus("m1", True, True, "0.1.0"), wire.MachineStatus("m2", False, False, "0.1.0")],
        {"machines": ["m1"], "replicas": 1},
        [wire.NamespaceStatus("shop", 4, LONG_AGO, services, ["shop.localhost"])],
        [wire.PoolStatus("m1", 3 << 30, 4 << 30)],
        [OPERATION],
        LONG_AGO,
    )
    when = years()
    assert text("status", now_is) == [
        f"The store cannot be reached. What follows was so {when} (2020-01-31 13:05:07 UTC).",
        "",
        "machines",
        "  NAME   STATE                 VERSION   POOL",
        "  m1     ● reachable · store   0.1.0     ████████░░  75 %  3.0 GiB of 4.0 GiB",
        "  m2     ○ unreachable         0.1.0     unknown",
        "",
        "store  machines m1 · replicas 1",
        "",
        f"shop  deploy 4, {when}  1 service not ready",
        "  SERVICE   READY",
        "  db        ● 1/1",
        "  web       ◐ 1/2",
        "  at  shop.localhost",
        "",
        "operations",
        f"  OPERATION         WHAT          STATE   WHO     {'BEGAN'.ljust(len(when))}        TOOK",
        f"  {ID}   deploy shop   stuck   alice   {when}   1 min 5 s",
    ]


def test_a_manifest_is_printed_as_it_is() -> None:
    assert texts.text("manifest", {"manifest": "a = 1\n"}, PLAIN) == "a = 1\n"


def test_local_clusters() -> None:
    machine = wire.Machine("m1", "/run/p/s", "http://127.0.0.1:8080", True)
    assert text("dev", wire.DevCluster("dev", "namespace", [machine])) == [
        "CLUSTER   MACHINE   STATE   GATEWAY                 SOCKET",
        "dev       m1        ● up    http://127.0.0.1:8080   /run/p/s",
    ]
    assert text("clusters", {"clusters": []}) == ["There are no local clusters. Make one with: ployzctl dev up"]


def test_releases() -> None:
    assert text("version", {"ployzctl": "0.1.0", "daemon": {"version": "0.1.0", "machine": "m1"}}) == [
        "ployzctl  0.1.0",
        "daemon    0.1.0, machine m1",
    ]


def test_a_kind_that_is_not_known_is_shown_as_it_is() -> None:
    assert text("newer", {"a": 1}) == ["{", '  "a": 1', "}"]


@pytest.mark.parametrize("kind", ["instances", "deploys", "deploy", "operations", "operation", "status", "deployed"])
def test_a_result_that_is_not_as_agreed_is_said_to_be(kind: str) -> None:
    with pytest.raises(Problem) as caught:
        text(kind, {"other": 1})
    assert caught.value.code == "daemon.answer"


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536 << 20, "1.5 GiB"), ((1 << 20) - 1, "1.0 MiB")],
)
def test_sizes(count: int, said: str) -> None:
    assert quantities.size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (65, "1 min 5 s"), (7260, "2 h 1 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert quantities.span(seconds) == said


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-01-31T13:05:07.5Z", "just now"),
        ("2026-01-31T14:05:06+01:00", "2 seconds ago"),
        ("2026-01-31T13:04:08Z", "1 minute ago"),
        ("2026-01-30T13:05:08Z", "1 day ago"),
        ("2027-01-01T00:00:00Z", "just now"),
    ],
)
def test_times(at: str, said: str) -> None:
    assert quantities.ago(at, quantities.moment("2026-01-31T13:05:08Z")) == said


@pytest.mark.parametrize(("percent", "code"), [(10, "32"), (80, "33"), (95, "31"), (130, "31")])
def test_a_bar_turns_red_while_it_fills(percent: float, code: str) -> None:
    assert bar(percent, Style(colours=True), 10).startswith(f"\x1b[{code}m")
    assert len(bar(percent, PLAIN, 10)) == 10


def test_namespaces() -> None:
    row = wire.NamespaceRow("shop", 4, LONG_AGO, ["db", "web"], ["data"], ["shop.localhost"], 3 << 19)
    gone = wire.RemovedRow("test", 9, None)
    titles, there, before = text("namespaces", {"namespaces": [row], "removed": [gone]})
    assert titles.split() == ["NAMESPACE", "DEPLOY", "WHEN", "SERVICES", "VOLUMES", "ROUTES", "HELD"]
    assert there.split() == ["shop", "4", *years().split(), "db,", "web", "data", "shop.localhost", "1.5", "MiB"]
    assert before.split() == ["test", "9", "removed", "unknown"]
    assert text("namespaces", {"namespaces": []}) == ["There are no namespaces."]


def test_a_removed_namespace_says_how_it_comes_back() -> None:
    volumes = [wire.RemovedVolume("data", "kept", 1024)]
    told = text("removed", wire.NamespaceRemoved("shop", 4, ["shop-db-1"], volumes, ["shop.localhost"]))
    assert told[-1] == "ployzctl rollback shop brings it back as of deploy 4."
    purged = wire.NamespaceRemoved("shop", 4, [], [wire.RemovedVolume("data", "purged", 1024)], [])
    assert not any("brings it back" in line for line in text("removed", purged))
