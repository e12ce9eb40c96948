"""Each kind of result as text, byte for byte."""

from typing import Any

import pytest
from msgspec import structs, to_builtins

from ctl import quantities, texts
from ctl.style import Style
from ctl.tables import bar
from daemon import wire
from daemon.wire import Event, Problem

PLAIN = Style()
LONG_AGO = "2020-01-31T13:05:07Z"
ID = "op-aaaaaaaaaaaa"
OPERATION = wire.OperationRow(ID, "deploy", "stuck", "alice", LONG_AGO, "2020-01-31T13:06:12Z", ["shop"], machine="m2")
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
    move = wire.Expected("data", "m1", "m2", 100 << 20, 3, 5 << 30, 1.2)
    assert text("preview", wire.Preview("migrate", steps, 1, [move]))[-3:] == [
        "",
        "VOLUME   GOES TO       ABOUT   ROUNDS   DOWN FOR ABOUT   FREE THERE",
        "data     m2        100.0 MiB   3        1.2 s            5.0 GiB",
    ]


def test_a_preview_of_a_move_tells_where_images_come_from_and_who_is_down() -> None:
    steps = [wire.PreviewStep("move shop/web to m2", "m1", None, ["web"], 1.0)]
    images = [
        wire.Supply("web:1", "m2", "there"),
        wire.Supply("db:1", "m2", "registry"),
        wire.Supply("own:1", "m2", "machine", "m3"),
    ]
    assert text("preview", wire.Preview("migrate", steps, 1, [], images, 1.0)) == [
        "migrate would take 1 step:",
        "    STEP                  MACHINE   BYTES   DOWN",
        "1   move shop/web to m2   m1                web for about 1.0 s",
        "",
        "IMAGE   NEEDED ON   COMES FROM",
        "web:1   m2          it is there",
        "db:1    m2          its registry",
        "own:1   m2          m3",
        "",
        "down for about  1.0 s",
    ]


def test_a_deploy_that_changed_nothing_and_a_service_that_was_stopped() -> None:
    web = wire.ServiceResult("web", "unchanged", [wire.ResultInstance("i1", "m1", "10.210.1.5")])
    assert text("deployed", wire.Deployed("shop", 4, None, [web], [], [], {})) == [
        "shop is at deploy 4  (nothing was to be changed)",
        "",
        "          NAME   WAS         WHERE",
        "service   web    unchanged   10.210.1.5 on m1",
    ]
    stopped, still = wire.ServiceResult("db", "replace", []), wire.ServiceResult("web", "unchanged", [])
    assert text("deployed", wire.Deployed("shop", 5, 4, [stopped, still], [], [], {})) == [
        "shop is at deploy 5  (before: 4)",
        "",
        "          NAME   WAS         WHERE",
        "service   db     stopped",
        "service   web    unchanged   stopped",
    ]


def test_a_move() -> None:
    volume = wire.MovedVolume("data", 100 << 20, 1 << 20, 3, "op-1")
    assert text("migrated", wire.Migrated("shop", "db", "m1", "m2", [volume], 1.2)) == [
        "shop/db is on m2  (before: m1)",
        "",
        "VOLUME   WHILE IT RAN   WHILE IT WAS DOWN   ROUNDS",
        "data     100.0 MiB      1.0 MiB             3",
        "",
        "down for  1.2 s",
    ]
    assert text("migrated", wire.Migrated("shop", "web", "m1", "m2", [], 0.0)) == ["shop/web is on m2  (before: m1)"]


def test_a_machine_that_is_emptied() -> None:
    moved = [
        wire.Departed("shop", "db", ["data"], "m3", 100 << 20, 1.2, "op-1"),
        wire.Departed("shop", "web", [], "m1", 0, 0.0, "op-2"),
        wire.Departed("shop", "", ["old"], "m1", 1 << 20, 0.0, "op-3"),
    ]
    assert text("drained", wire.Drained("m2", moved)) == [
        "Nothing is on m2 any more, and nothing new comes there.",
        "",
        "MOVED      TO       BYTES   DOWN FOR   OPERATION",
        "shop/db    m3   100.0 MiB   1.2 s      op-1",
        "shop/web   m1                          op-2",
        "shop/old   m1     1.0 MiB              op-3",
    ]
    assert text("machine_state", wire.MachineMarked("m2", "active")) == ["m2 may have something placed on it again."]
    assert text("machine_state", wire.MachineMarked("m2", "draining")) == ["m2 takes nothing new."]
    assert text("machine_labels", wire.MachineLabels("m2", {"disk": "ssd", "zone": "a"})) == [
        "m2 has disk=ssd, zone=a."
    ]
    assert text("machine_labels", wire.MachineLabels("m2", {})) == ["m2 has no labels."]


MACHINE = wire.MachineRow(
    *("id-1", "m1", "active", "10.210.1.1", "10.210.1.0/24"),
    store=True,
    reachable=True,
    version="0.1.0",
    created_at=LONG_AGO,
    labels={},
    stale_since=None,
)


def test_machines_and_which_of_them_do_not_answer_are_leaving_or_do_not_see_the_records() -> None:
    when = years()
    rows = [
        MACHINE,
        structs.replace(MACHINE, name="m2", state="draining", store=False),
        structs.replace(MACHINE, name="m3", reachable=False),
        structs.replace(MACHINE, name="m4", stale_since=LONG_AGO),
    ]
    state, away = f"● active · as of {when}", "○ active, does not answer"
    assert text("machines", {"machines": rows}) == [
        f"MACHINE   {'STATE'.ljust(len(state))}   ADDRESS      SUBNET          STORE   VERSION   SINCE",
        f"m1        {'● active'.ljust(len(state))}   10.210.1.1   10.210.1.0/24   yes     0.1.0     {when}",
        f"m2        {'● draining'.ljust(len(state))}   10.210.1.1   10.210.1.0/24           0.1.0     {when}",
        f"m3        {away.ljust(len(state))}   10.210.1.1   10.210.1.0/24   yes     0.1.0     {when}",
        f"m4        {state}   10.210.1.1   10.210.1.0/24   yes     0.1.0     {when}",
    ]
    painted = texts.text("machines", {"machines": to_builtins(rows)}, Style(colours=True)).splitlines()
    assert "\x1b[32m● active\x1b[0m" in painted[1]
    assert "\x1b[33m● draining\x1b[0m" in painted[2]
    assert "\x1b[31m○ active, does not answer\x1b[0m" in painted[3]
    assert f"\x1b[32m● active\x1b[0m\x1b[33m · as of {when}\x1b[0m" in painted[4]


def seen(row: wire.MachineRow, **said: Any) -> dict[str, Any]:
    unknown: dict[str, Any] = {"heard_at": None, "capacity": None, "runtime": None, "instances": [], "volumes": []}
    nothing = {**unknown, "pool": wire.MachinePool("tank/ployz", None, None)}
    return {**structs.asdict(row), **nothing, **said}


def test_a_machine_that_is_looked_into() -> None:
    when, labels = years(), {"disk": "ssd", "zone": "a"}
    up = wire.InstanceRow("i1", "shop", "web", "m1", "10.210.1.5", "running", LONG_AGO, 0, None, "shop/web:2", "x")
    data = wire.VolumeRow("shop", "data", "m1", "op-2", 2, 40 << 20, 42 << 20, None, mounted=True, copies=[])
    has = seen(
        structs.replace(MACHINE, labels=labels),
        capacity=wire.MachineCapacity(4, 8 << 30, 3 << 30),
        pool=wire.MachinePool("tank/ployz", 3 << 30, 4 << 30),
        runtime=wire.MachineRuntime("docker", "26.1.5", "overlay2", ["memory"]),
        instances=[up],
        volumes=[data],
    )
    assert text("machine", has) == [
        "machine   m1",
        "state     ● active",
        "address   10.210.1.1 in 10.210.1.0/24",
        "store     yes",
        "version   0.1.0",
        f"since     {when} (2020-01-31 13:05:07 UTC)",
        "labels    disk=ssd, zone=a",
        "capacity  4 processors, 3.0 GiB of 8.0 GiB memory free",
        "pool      ████████░░  75 %  3.0 GiB of 4.0 GiB  tank/ployz",
        "runtime   docker 26.1.5, images by overlay2 · cannot limit memory",
        "id        id-1",
        "",
        f"SERVICE    INSTANCE   MACHINE   ADDRESS      STATE     {'SINCE'.ljust(len(when))}   RESTARTS   IMAGE",
        f"shop/web   i1         m1        10.210.1.5   running   {when}          0   shop/web:2",
        "",
        "VOLUME      MACHINE       DATA       HELD   QUOTA   GENERATION",
        "shop/data   m1        40.0 MiB   42.0 MiB    none   op-2",
    ]


def test_a_machine_that_does_not_answer_is_shown_as_the_records_have_it() -> None:
    when = years()
    away = seen(structs.replace(MACHINE, reachable=False, store=False), heard_at=LONG_AGO)
    assert text("machine", away) == [
        "machine   m1",
        f"state     ○ active, does not answer · last heard {when} (2020-01-31 13:05:07 UTC)",
        "address   10.210.1.1 in 10.210.1.0/24",
        "store     no",
        "version   0.1.0",
        f"since     {when} (2020-01-31 13:05:07 UTC)",
        "capacity  unknown",
        "pool      unknown  tank/ployz",
        "runtime   unknown",
        "id        id-1",
        "",
        "no instances",
        "",
        "no volumes",
    ]


def test_the_mesh_and_how_far_machines_are_from_each_other() -> None:
    rows = [
        wire.PeerRow("m2", "203.0.113.6:51820", 21, 0.84, 1420),
        wire.PeerRow("m3", None, None, None, 1420),
    ]
    assert text("peers", {"peers": rows}) == [
        "MACHINE   ENDPOINT            HEARD            RTT    MTU",
        "m2        203.0.113.6:51820   21 s ago      0.8 ms   1420",
        "m3                            never      no answer   1420",
    ]
    pairs = [wire.RttRow("m1", "m2", 0.84, 0.06), wire.RttRow("m2", "m1", None, None)]
    assert text("rtts", {"pairs": pairs}) == [
        "FROM   TO      MEDIAN   DEVIATION",
        "m1     m2      0.8 ms      0.1 ms",
        "m2     m1   no answer   no answer",
    ]
    assert text("peers", {"peers": []}) == text("rtts", {"pairs": []}) == ["There is no other machine."]


def test_an_invitation_says_what_to_type_where_and_how_to_take_it_back() -> None:
    there = ("10.210.2.0/24", "10.210.223.2", "203.0.113.5:51820", "key")
    invited = wire.Invited(ID, "m2", *there, LONG_AGO, "ployz-1-abc")
    assert text("invitation", invited) == [
        f"One machine may join m2, until {LONG_AGO}. On that machine:",
        "",
        "ployzctl join ployz-1-abc",
        "",
        f"ployzctl machine revoke {ID} takes the invitation back.",
    ]
    unnamed = text("invitation", structs.replace(invited, name=None))
    assert unnamed[0] == f"One machine may join, until {LONG_AGO}. On that machine:"


def test_what_a_machine_brings_along_is_listed() -> None:
    brought = wire.AdoptedGeneration("shop", "data", "op-1", "op-9-1", 1536)
    joined = [wire.JoinedMachine("id", "m3", "10.210.3.1", "10.210.3.0/24", store=True, adopted=[brought])]
    assert text("machines", wire.Machines(joined, wire.StoreMachines(["m3"], 1))) == [
        "m3 (10.210.3.1) has joined.",
        "",
        "Its pool holds data of before, which was adopted: ployzctl volume ls --kept",
        "",
        "VOLUME      GENERATION   SNAPSHOT     BYTES",
        "shop/data   op-1         op-9-1     1.5 KiB",
    ]


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
        f"OPERATION         WHAT          MACHINE   STATE   WHO     {'BEGAN'.ljust(len(when))}        TOOK",
        f"{ID}   deploy shop   m2        stuck   alice   {when}   1 min 5 s",
    ]
    assert text("operation", {"operation": OPERATION, "events": events}) == [
        f"deploy shop  {ID}",
        "",
        "state    stuck",
        "machine  m2",
        "who      alice",
        f"began    {when} (2020-01-31 13:05:07 UTC)",
        "took     1 min 5 s",
        "",
        "  ✗ stop db: no",
        "",
        f"Carry on with: ployzctl op resume {ID}",
    ]


def test_status_is_one_screen() -> None:
    services = [wire.ServiceStatus("shop", "db", 1, 1), wire.ServiceStatus("shop", "web", 1, 2)]
    now_is = wire.ClusterStatus(
        [
            wire.MachineStatus("m1", True, True, "0.1.0", stale_since=LONG_AGO),
            wire.MachineStatus("m2", False, False, "0.1.0"),
            wire.MachineStatus("m3", True, False, "0.1.0", "draining"),
        ],
        {"machines": ["m1", "m2", "m3"], "answering": ["m1", "m3"], "replicas": 3, "reachable": False},
        [wire.NamespaceStatus("shop", 4, LONG_AGO, services, ["shop.localhost"])],
        [wire.PoolStatus("m1", 3 << 30, 4 << 30)],
        [OPERATION],
        LONG_AGO,
    )
    when = years()
    seen = f"● reachable · as of {when} · store"
    assert text("status", now_is) == [
        f"The store cannot be reached. What follows was so {when} (2020-01-31 13:05:07 UTC).",
        "",
        "machines",
        f"  NAME   {'STATE'.ljust(len(seen))}   VERSION   POOL",
        f"  m1     {seen}   0.1.0     ████████░░  75 %  3.0 GiB of 4.0 GiB",
        f"  m2     {'○ unreachable'.ljust(len(seen))}   0.1.0     unknown",
        f"  m3     {'● reachable · draining'.ljust(len(seen))}   0.1.0     unknown",
        "",
        "store  on m1, m2, m3 · 2 of 3 answer · cannot be reached",
        "",
        f"shop  deploy 4, {when}  1 service not ready",
        "  SERVICE   READY",
        "  db        ● 1/1",
        "  web       ◐ 1/2",
        "  at  shop.localhost",
        "",
        "operations",
        f"  OPERATION         WHAT          MACHINE   STATE   WHO     {'BEGAN'.ljust(len(when))}        TOOK",
        f"  {ID}   deploy shop   m2        stuck   alice   {when}   1 min 5 s",
    ]


def test_a_manifest_is_printed_as_it_is() -> None:
    assert texts.text("manifest", {"manifest": "a = 1\n"}, PLAIN) == "a = 1\n"


def test_local_clusters() -> None:
    m1 = wire.DevMachine("m1", "192.168.77.1", "/run/p/s", "http://127.0.0.1:8080", "up")
    m2 = wire.DevMachine("m2", "192.168.77.2", "/run/p/t", "http://127.0.0.1:8081", "paused")
    m3 = wire.DevMachine("m3", "192.168.77.3", "/run/p/u", "http://127.0.0.1:8082", "off")
    partings = [wire.DevParting(["m1"], 100, one_way=True), wire.DevParting(["m1", "m3"], 20, one_way=False)]
    assert text("dev", wire.DevCluster("dev", "namespace", [m1, m2, m3], partings)) == [
        "CLUSTER   MACHINE   STATE      ADDRESS        GATEWAY                 SOCKET",
        "dev       m1        ● up       192.168.77.1   http://127.0.0.1:8080   /run/p/s",
        "dev       m2        ○ paused   192.168.77.2   http://127.0.0.1:8081   /run/p/t",
        "dev       m3        ○ off      192.168.77.3   http://127.0.0.1:8082   /run/p/u",
        "Lost from m1 to the others of dev: all",
        "Lost between m1, m3 and the others of dev: 20 %",
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


def test_volumes_what_is_kept_of_them_and_their_snapshots() -> None:
    when = years()
    alone = wire.VolumeRow("shop", "data", "m1", "op-2", 2, 40 << 20, 42 << 20, 10 << 30, mounted=True, copies=[])
    listed = [
        "VOLUME      MACHINE       DATA       HELD      QUOTA   GENERATION",
        "shop/data   m1        40.0 MiB   42.0 MiB   10.0 GiB   op-2",
    ]
    assert text("volumes", {"volumes": [alone]}) == listed
    there = [wire.CopyRow("m2", "op-5", LONG_AGO, 1 << 20), wire.CopyRow("m3", "op-6", LONG_AGO, None)]
    assert text("volumes", {"volumes": [structs.replace(alone, copies=there)]}) == [
        *listed,
        "",
        f"COPY OF     ON   {'AS OF'.ljust(len(when))}    BEHIND   GENERATION",
        f"shop/data   m2   {when}   1.0 MiB   op-5",
        f"shop/data   m3   {when}   unknown   op-6",
    ]
    kept = wire.KeptRow("shop", "data", "m1", "op-1", LONG_AGO, "op-2", 1 << 20, [], "op-2-1", adopted=True)
    assert text("kept", {"volumes": [kept]}) == [
        f"VOLUME      MACHINE   GENERATION   {'SINCE'.ljust(len(when))}   SNAPSHOT      HELD   NEEDED BY",
        f"shop/data   m1        op-1         {when}   op-2-1     1.0 MiB   nobody (adopted)",
    ]
    named = wire.SnapshotRow("op-3", "before", "77", LONG_AGO, "op-3", "op-2", "m1", 0, ["the name before"])
    assert text("snapshots", {"snapshots": [named]}) == [
        f"SNAPSHOT   MACHINE   {'WHEN'.ljust(len(when))}   HELD   GUID   NEEDED BY",
        f"before     m1        {when}    0 B   77     the name before",
    ]


def test_branches_stand_below_what_they_came_from() -> None:
    when = years()
    rows = [wire.BranchRow("pr-42", "shop", 3, LONG_AGO, 1 << 20), wire.BranchRow("pr-43", "pr-42", 1, LONG_AGO, None)]
    assert text("branches", {"branches": rows}) == [
        f"BRANCH    OF      DEPLOY   {'WHEN'.ljust(len(when))}      HELD",
        f"pr-42     shop         3   {when}   1.0 MiB",
        f"  pr-43   pr-42        1   {when}",
    ]
    code = [wire.CodeDifference("services.web.image", "web:1", "web:2")]
    differs = wire.BranchDifference("shop", "pr-42", code, [wire.VolumeDifference("data", 4 << 20, 1 << 20)])
    assert text("difference", differs) == [
        "SETTING              SHOP    PR-42",
        "services.web.image   web:1   web:2",
        "",
        "VOLUME, ALONE      SHOP     PR-42",
        "data            4.0 MiB   1.0 MiB",
    ]


def test_images() -> None:
    id = f"sha256:{'ab' * 32}"
    rows = [wire.ImageRow("m1", "shop/web:2", id, 3 << 19), wire.ImageRow("m2", "", f"web@{id}", 10)]
    assert text("images", {"images": rows}) == [
        "MACHINE   IMAGE        DIGEST                  BYTES",
        "m1        shop/web:2   sha256:abababababab   1.5 MiB",
        "m2        none         sha256:abababababab      10 B",
    ]
    assert text("images", {"images": []}) == ["There are no images."]
    both = wire.Distributed("web:2", id, ["m2", "m3"], ["m1"])
    assert text("distributed", both) == ["web:2 was brought to m2, m3; it was there already on m1."]
    assert text("distributed", wire.Distributed("web:2", id, [], ["m1"])) == ["web:2 was there already on m1."]
