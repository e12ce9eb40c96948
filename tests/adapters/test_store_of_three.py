"""A store of three: what was acknowledged survives, a minority refuses in time and says since when it is old."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.mirror import Mirror
from daemon.records import Cluster
from dataplane.bus import ANSWER
from dataplane.entry import StoreDown
from dataplane.kv import Kv
from dataplane.layout import Layout
from dataplane.nats_keys import fresh_password
from tests.adapters.fleet import Fleet, connection, fleet, persist
from tests.adapters.places import beside, cut, mend, on, underlay
from tests.fakes.records import CLUSTER

HOLDERS = (1, 2, 3)
AGAIN = 40.0
"""Seconds within which a store is writable again."""
SILENCE = 5.0


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Machines 1 to 3 hold the store, 4 is a leaf."""
    with fleet(tmp_path_factory.mktemp("fleet"), *HOLDERS, 4) as made:
        layout, password = layout_of(made), fresh_password()
        for number in (*HOLDERS, 4):
            if number in HOLDERS:
                made.server(number, layout).agree(password)
            made.ensure(number, layout)
        made.records(4, layout, found)
        yield made


def layout_of(three: Fleet) -> Layout:
    return three.layout(HOLDERS, (*HOLDERS, 4))


async def found(kv: Kv) -> None:
    await writable(kv, "first", replicas=3)


async def writable(kv: Kv, where: str, *, replicas: int = 3) -> float:
    """Wait until a record can be written; how many seconds that took."""
    began = time.monotonic()
    while True:
        try:
            await kv.found(replicas=replicas)
            now = await kv.get(where)
            await kv.put(where, b"written", now.revision if now else 0)
            return time.monotonic() - began
        except StoreDown:
            if time.monotonic() > began + AGAIN:
                raise
            await asyncio.sleep(0.1)


def kill(three: Fleet, *numbers: int) -> None:
    servers = [(number, three.server(number, layout_of(three))) for number in numbers]
    for pid in [on(number, server.running) for number, server in servers]:
        assert pid
        os.kill(pid, signal.SIGKILL)


def test_what_was_acknowledged_survives_a_kill_of_all_three(three: Fleet) -> None:
    layout, log = layout_of(three), three.folder / "acknowledged"

    async def writing() -> None:
        async with connection(three.server(4, layout)) as bus:
            for count in range(10**6):
                try:
                    await Kv(bus, "records").put(f"w.{count}", b"%d" % count, 0)
                except StoreDown:
                    return
                with log.open("a") as acknowledged:
                    acknowledged.write(f"{count}\n")

    with beside(4, writing):
        until = time.monotonic() + AGAIN
        while not log.exists() or len(log.read_text().split()) < 50:
            assert time.monotonic() < until
            time.sleep(0.005)
        kill(three, *HOLDERS)
    for number in HOLDERS:
        three.ensure(number, layout)
    three.records(4, layout, lambda kv: writable(kv, "after"))
    there = three.records(4, layout, lambda kv: persist(lambda: kv.all("w")))
    assert {f"w.{count}" for count in log.read_text().split()} <= there.keys()


def test_with_one_machine_gone_writes_go_on(three: Fleet) -> None:
    layout = layout_of(three)
    kill(three, 2)
    try:
        three.records(4, layout, lambda kv: writable(kv, "without"))
        three.records(1, layout, lambda kv: writable(kv, "without"))
    finally:
        three.ensure(2, layout)


def test_a_leaf_whose_holder_is_cut_off_goes_on_with_another(three: Fleet) -> None:
    """Nothing tells it: what it sends is lost, and nothing comes."""
    layout = layout_of(three)
    three.records(4, layout, lambda kv: writable(kv, "linked"))
    [link] = on(4, three.server(4, layout).links)
    holder = next(number for number in HOLDERS if underlay(number) == link.ip)
    cut(holder)
    try:
        three.records(4, layout, lambda kv: writable(kv, "another"))
    finally:
        mend(holder)
    three.records(holder, layout, lambda kv: writable(kv, "healed"))


def test_a_minority_refuses_in_time_and_its_mirror_says_since_when_it_is_old(three: Fleet, tmp_path: Path) -> None:
    layout, seen = layout_of(three), tmp_path / "seen"

    async def following() -> None:
        async with connection(three.server(3, layout)) as bus:
            mirror = Mirror(tmp_path / "mirror", Kv(bus, "records", silence=SILENCE))
            told = asyncio.create_task(mirror.follow())
            while not told.done():
                cluster = mirror.cluster()
                note(seen, stale=mirror.stale_since, name=cluster.name if cluster else None)
                await asyncio.sleep(0.1)

    three.records(1, layout, lambda kv: name_it(kv, "before"))
    with beside(3, following):
        wait_for(seen, {"stale": None, "name": "before"})
        cut(3)
        parted = datetime.now(UTC)
        try:
            on(3, lambda: refused_in_time(three, layout))
            while (now := json.loads(seen.read_text()))["stale"] is None:
                assert datetime.now(UTC) < parted + timedelta(seconds=AGAIN), "it believes that it is current"
                time.sleep(0.1)
            assert datetime.fromisoformat(now["stale"]) < parted + timedelta(seconds=2 * SILENCE)
            assert now["name"] == "before"
            three.records(1, layout, lambda kv: name_it(kv, "after"))
            assert json.loads(seen.read_text())["name"] == "before"
        finally:
            mend(3)
        wait_for(seen, {"stale": None, "name": "after"})


async def name_it(kv: Kv, name: str) -> None:
    async with asyncio.timeout(AGAIN):
        while True:
            try:
                now = await kv.get("cluster")
                record = json.dumps({**to_builtins(CLUSTER), "name": name}).encode()
                await kv.put("cluster", record, now.revision if now else 0)
                return
            except StoreDown:
                await asyncio.sleep(0.1)


def to_builtins(cluster: Cluster) -> dict[str, Any]:
    return {name: getattr(cluster, name) for name in cluster.__struct_fields__}


async def refused_in_time(three: Fleet, layout: Layout) -> None:
    async with connection(three.server(3, layout)) as bus:
        began = time.monotonic()
        with pytest.raises(StoreDown):
            await Kv(bus, "records").put("minority", b"", 0)
        assert time.monotonic() - began < ANSWER + 1


def note(file: Path, **what: Any) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(what))
    fresh.replace(file)


def wait_for(file: Path, what: dict[str, Any]) -> None:
    until = time.monotonic() + AGAIN
    while not file.exists() or json.loads(file.read_text()) != what:
        assert time.monotonic() < until, file.read_text()
        time.sleep(0.05)
