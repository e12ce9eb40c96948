"""Which snapshot of a volume goes next, what it begins as, and how long that may take: pure decisions."""

from collections.abc import Collection

import click
import pytest

from ctl.commands.migrating import migrate
from ctl.flags import Flags
from daemon.migrating import MOST
from daemon.migrating.past import past
from daemon.migrating.planning import common, estimate, expected
from daemon.primitive import NotSo
from daemon.sending import Way, link
from dataplane.dataset import Dataset

G, X = "tank/shop/data/op-1", "tank/shop/data/op-0"


def line(*names: str, of: str = G) -> list[Dataset]:
    """Snapshots, oldest first; the guid of each is its name."""
    return [Dataset(f"{of}@{name}", name, order=at, refers=100 * at, alone=10) for at, name in enumerate(names)]


def way(there: Collection[str], along: Collection[str], upto: str = "e") -> list[str]:
    """What goes, one after the other, each `base>snapshot`."""
    snapshots, arrived, gone = line("a", "b", "c", "d", "e"), {*there}, list[str]()
    while found := link(snapshots, arrived, along, f"{G}@{upto}"):
        gone.append(f"{(found.base or '').partition('@')[2]}>{found.snapshot.guid}")
        arrived.add(found.snapshot.guid)
    return gone


def test_each_goes_since_the_one_before_it_and_what_nobody_needs_does_not_go() -> None:
    assert way((), ("b", "d")) == [">b", "b>d", "d>e"]
    assert way((), ()) == [">e"]
    assert way(("b",), ("a", "b", "d")) == ["b>d", "d>e"]
    assert way(("e",), ("a",)) == []
    assert way(("a", "c"), ("b",)) == ["c>e"], "what is older than what arrived last cannot go any more"


def test_what_arrived_of_something_else_is_not_added_to() -> None:
    with pytest.raises(NotSo):
        way(("x",), ())


def test_a_volume_begins_as_the_newest_that_a_kept_generation_has_in_common_with_it() -> None:
    kept = Dataset(X, "x", marks={"state": "kept"})
    snapshots = line("a", "b", "c")
    found = common(snapshots, [kept, *line("a", "b", "z", of=X)])
    assert found
    assert found.name == f"{X}@b"
    assert common(snapshots, [kept, *line("z", of=X)]) is None
    assert common(snapshots, [Dataset(X, "x", marks={"state": "current"}), *line("a", of=X)]) is None


def test_what_goes_is_what_it_holds_or_what_changed_since() -> None:
    now, snapshots = Dataset(G, "g", refers=1000), line("a", "b", "c")
    assert estimate(now, snapshots, None) == 1000 + 30
    assert estimate(now, snapshots, snapshots[1]) == 900 + 20
    assert estimate(now, (), None) == 1000


def test_rounds_go_on_until_one_would_be_short_or_there_were_enough() -> None:
    assert expected(0, None) == (2, 0.0)
    assert expected(10**9, 10**6)[0] == 5
    assert expected(10**18, 1)[0] == MOST + 1


@pytest.mark.parametrize("rate", ["fast", "0", "MiB/s"])
def test_what_is_no_rate_is_wrong_usage(rate: str) -> None:
    words = ["apply", "shop/db", "--to", "m2", "--rate", rate]
    with pytest.raises(click.UsageError, match="is no rate"):
        migrate.main(words, standalone_mode=False, obj=Flags())


@pytest.mark.parametrize(
    ("there", "base", "onto"),
    [
        (line("a", "b", of="far/op-7"), "far/op-7@b", "far/op-9@a"),
        ([*line("b", of="far/op-7"), *line("a", of="far/op-3")], "far/op-7@b", "far/op-3@a"),
        (line("b", of="far/op-7"), "far/op-7@b", None),
        ([], None, "far/op-9@a"),
        (line("a", of="far/op-3"), None, None),
        ([*line("a", "b", of="far/op-7"), *line("a", of="far/op-3")], "far/op-7@b", None),
    ],
    ids=[
        "a part of what it begins as",
        "in another generation",
        "not there any more",
        "it goes along",
        "it would be there twice",
        "it is there twice",
    ],
)
def test_a_clone_begins_where_the_target_has_its_origin(
    there: list[Dataset], base: str | None, onto: str | None
) -> None:
    left = Dataset(X, "left", f"{G}@a", {"state": "kept"}, refers=150)
    found = [Dataset(G, "now"), *line("a", "b", "c"), left, *line("x", of=X)]
    going = Way("m1", G, "now", "m2", "10.210.2.1", "far/op-9", base)
    [one], origins, _ = past(going, found, there, {"x"})
    assert (one.onto, one.origin) == (onto, f"{G}@a" if onto else None)
    assert (one.dataset, one.along, origins) == ("far/op-9-1", ("x",), ("a",) if onto else ())


def test_what_was_left_shares_the_rate_of_its_volume() -> None:
    """Each goes in a stream of its own, at the same time."""
    left = [Dataset(f"{G}-{guid}", guid, None, {"state": "kept"}) for guid in ("one", "two")]
    found = [Dataset(G, "now"), *line("a"), *left, *line("x", of=f"{G}-one"), *line("y", of=f"{G}-two")]
    going = Way("m1", G, "now", "m2", "10.210.2.1", "far/op-9", None, rate=1000)
    ways, _, _ = past(going, found, [], {"x", "y"})
    assert [way.rate for way in ways] == [500, 500]
