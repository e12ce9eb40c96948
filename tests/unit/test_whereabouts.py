"""Where the store is, as machines tell each other: the newest counts, and who is missing is named."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec import structs

from daemon.bucket import answered, change
from daemon.members import Members
from daemon.membership import Membership, alone
from daemon.mirror import Mirror
from daemon.records import Cluster, Machine, Reservation
from daemon.whereabouts import Whereabouts
from daemon.wire import Refused
from dataplane.entry import Entry, Moved
from tests.fakes.kv import FakeKv

AT = "2026-01-01T00:00:00Z"
NET = f"127.{random.randrange(1, 250)}.{random.randrange(250)}"
"""Of loopback, where each machine of a test has an address of its own, also beside other runs."""


@dataclass
class Member:
    """A machine that goes by what it is told."""

    membership: Membership
    turned: list[int] = field(default_factory=list)

    async def turn(self, cluster: Cluster, machines: dict[str, Machine]) -> None:
        self.turned.append(cluster.incarnation)
        self.membership = Membership(cluster, self.membership.name, machines)


def machine(number: int) -> Machine:
    return Machine(str(number), f"m{number}", "", f"{NET}.{number}", AT, "0.1.0")


def member(number: int, incarnation: int, of: tuple[int, ...] = (1, 2, 3)) -> Member:
    cluster = structs.replace(
        alone("m1", AT, "0.1.0").cluster, id="one", incarnation=incarnation, store=("m1", "m2", "m3")
    )
    return Member(Membership(cluster, f"m{number}", {f"m{n}": machine(n) for n in of}))


@dataclass
class Site:
    """Machines that tell each other; `tidied` counts how often one removed what it has of other stores."""

    folder: Path
    tidied: int = 0
    left: list[str] = field(default_factory=list)
    open: list[Whereabouts] = field(default_factory=list)

    async def tidy(self) -> None:
        self.tidied += 1
        self.left.clear()

    def at(self, one: Member) -> Whereabouts:
        kv = FakeKv()
        return Whereabouts(one, Mirror(self.folder, kv), Members(kv), lambda: self.left, self.tidy)

    async def telling(self, *others: Member) -> None:
        for other in others:
            self.open.append(self.at(other))
            await self.open[-1].answer()


def play(folder: Path, story: Callable[[Site], Awaitable[None]]) -> None:
    async def played() -> None:
        site = Site(folder)
        try:
            await story(site)
        finally:
            for one in site.open:
                await one.close()

    asyncio.run(played())


def test_who_was_away_goes_by_the_newest_that_anybody_tells(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        here = member(1, 2)
        await site.telling(member(2, 3), member(3, 4))
        await site.at(here).look()
        assert (here.turned, site.tidied) == ([4], 1)
        await site.at(here).look()
        assert here.turned == [4], "nobody knows of a newer one"

    play(tmp_path, story)


def test_what_others_went_by_before_is_nothing_new(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        here = member(4, 3, (4, 5, 6))
        await site.telling(member(5, 3, (4, 5, 6)), member(6, 2, (4, 5, 6)))
        await site.at(here).look()
        assert (here.turned, site.tidied) == ([], 0)

    play(tmp_path, story)


def test_a_store_that_is_down_names_who_is_missing(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        elsewhere = {f"m{n}": structs.replace(machine(n), overlay_ip=f"{NET}.{n + 10}") for n in (1, 2, 3)}
        here = Member(structs.replace(member(7, 2).membership, machines=elsewhere))
        await site.telling(Member(structs.replace(here.membership, name="m2")))
        down = Refused("store.down", "cannot reach the records", "no answer", "again")
        told = await site.at(here).explained(down)
        assert told.state == "refused"
        assert told.why == "no answer; of m1, m2, m3, which keep the records, no answer comes from m1, m3"
        other = Refused("claim.held", "cannot", "why")
        assert await site.at(here).explained(other) is other

    play(tmp_path, story)


class Pending(FakeKv):
    """A leader without a majority: it tells what was, and refuses every write for one that never gets to its end."""

    async def put(self, key: str, value: bytes, revision: int) -> int:
        raise Moved(key)

    async def get(self, key: str) -> Entry | None:
        return None


def test_a_change_that_never_gets_to_its_end_is_the_stores_failure() -> None:
    with pytest.raises(Refused, match="does not get to its end") as caught:
        asyncio.run(answered(change(Pending(), "reserved.a", Reservation, lambda _: Reservation("op", "shop"))))
    assert caught.value.code == "store.down"
