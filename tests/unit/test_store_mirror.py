"""The mirror: readable before and without the store, honest about since when, and quiet where nothing changes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from daemon.mirror import Mirror
from daemon.records import Claim, DeployPoint, Head, Namespace, Token
from daemon.store import Store
from daemon.wire import Problem
from dataplane.entry import key
from tests.fakes.kv import FakeKv
from tests.fakes.records import CLUSTER, MACHINE, founded, operation

HEAD = Head("shop", 3, "op-1", "2026-01-01T00:00:00Z", "ann", "", {}, {})
POINT = DeployPoint(HEAD, (), "op-2", "2026-01-01T00:00:00Z")


async def filled(kv: FakeKv) -> Store:
    store = await founded(kv)
    token = await store.claim("shop", Claim("op-1", "m1", "change", "deploy", "ann", "then"))
    assert isinstance(token, Token)
    await store.commit("shop", HEAD, "op-1", token)
    await store.free("shop", "op-1")
    await store.keep_point(POINT)
    await store.begin(operation("op-1"))
    return store


@asynccontextmanager
async def following(mirror: Mirror) -> AsyncIterator[Mirror]:
    task = asyncio.create_task(mirror.follow())
    try:
        async with asyncio.timeout(5):
            await mirror.current()
        yield mirror
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


def settled(mirror: Mirror, last: str) -> bool:
    return last in (one.settled for one in mirror.namespaces().values())


def holds_everything(mirror: Mirror) -> bool:
    return (
        mirror.cluster() == CLUSTER
        and mirror.machines() == {"m1": MACHINE}
        and mirror.namespaces() == {"shop": Namespace(HEAD, by="op-1", last_deploy=HEAD.deploy)}
        and mirror.points("shop") == [POINT]
        and mirror.points("sho") == []
        and mirror.operations() == [operation("op-1")]
    )


def test_it_holds_what_the_store_holds_and_follows_it(tmp_path: Path) -> None:
    async def story() -> None:
        kv = FakeKv()
        store = await filled(kv)
        async with following(Mirror(tmp_path / "mirror", kv)) as mirror:
            assert holds_everything(mirror)
            assert mirror.stale_since is None
            await store.settle("blog", "op-2")
            await until(lambda: "blog" in mirror.namespaces())

    asyncio.run(story())


def test_after_a_restart_it_is_readable_without_the_store_and_says_that_it_is_stale(tmp_path: Path) -> None:
    async def story() -> None:
        kv = FakeKv()
        await filled(kv)
        async with following(Mirror(tmp_path, kv)):
            pass
        kv.kill()
        mirror = Mirror(tmp_path, kv)
        mirror.load(CLUSTER.id)
        assert holds_everything(mirror)
        assert mirror.stale_since
        assert datetime.fromisoformat(mirror.stale_since) <= datetime.now(UTC)

    asyncio.run(story())


def test_an_empty_mirror_is_stale_and_empty(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "never-was", FakeKv())
    mirror.load(CLUSTER.id)
    assert mirror.stale_since
    assert (mirror.cluster(), mirror.machines(), mirror.namespaces(), mirror.operations()) == (None, {}, {}, [])


def test_it_is_stale_from_when_it_lost_sight_until_it_has_caught_up(tmp_path: Path) -> None:
    async def story() -> None:
        kv = FakeKv()
        store = await filled(kv)
        async with following(Mirror(tmp_path, kv)) as mirror:
            kv.kill()
            await until(lambda: mirror.stale_since)
            since = mirror.stale_since
            kv.kill()
            assert mirror.namespaces() == {"shop": Namespace(HEAD, by="op-1", last_deploy=HEAD.deploy)}
            await asyncio.sleep(0)
            assert mirror.stale_since == since
            kv.start()
            await mirror.current()
            assert mirror.stale_since is None
            await store.settle("blog", "op-2")
            await until(lambda: "blog" in mirror.namespaces())

    asyncio.run(story())


def test_what_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    async def story() -> None:
        kv = FakeKv()
        await filled(kv)
        async with following(Mirror(tmp_path, kv)):
            pass
        before = {file.name: file.stat().st_ino for file in tmp_path.iterdir()}
        again = Mirror(tmp_path, kv)
        again.load(CLUSTER.id)
        async with following(again):
            kv.kill()
            await until(lambda: again.stale_since)
            kv.start()
            await again.current()
        assert {file.name: file.stat().st_ino for file in tmp_path.iterdir()} == before

    asyncio.run(story())


def test_what_is_told_never_waits_for_the_disk_which_gets_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, synced = Event(), list[int]()

    def slow(file: int) -> None:
        synced.append(file)
        assert turns.wait(10)

    async def story() -> None:
        kv = FakeKv()
        store = await filled(kv)
        async with following(Mirror(tmp_path, kv)) as mirror:
            try:
                for last in (f"op-{number}" for number in range(20)):
                    await store.settle("blog", last)
                    await until(partial(settled, mirror, last))
            finally:
                turns.set()
        written = Mirror(tmp_path, kv)
        written.load(CLUSTER.id)
        assert written.namespaces() == mirror.namespaces()

    monkeypatch.setattr("os.fsync", slow)
    asyncio.run(story())
    assert len(synced) < 20


def test_a_spoilt_or_half_written_file_is_passed_over_and_mended(tmp_path: Path) -> None:
    async def story() -> None:
        kv = FakeKv()
        await filled(kv)
        async with following(Mirror(tmp_path, kv)):
            pass
        (tmp_path / "cluster.record").write_bytes(b"\xff\x00")
        (tmp_path / "machines.m1.record").write_bytes(b"")
        (tmp_path / "cluster.new").write_bytes(b"clu")
        mirror = Mirror(tmp_path, kv)
        mirror.load(CLUSTER.id)
        assert mirror.cluster() is None
        async with following(mirror):
            pass
        mended = Mirror(tmp_path, kv)
        mended.load(CLUSTER.id)
        assert holds_everything(mended)

    asyncio.run(story())


def test_the_longest_keys_have_files_of_their_own(tmp_path: Path) -> None:
    async def story() -> None:
        kv = FakeKv()
        keys = [key("reserved", "hostname", "a." * 125 + end) for end in ("b", "c")]
        for where in keys:
            await kv.put(where, b'{"operation":"op-1","namespace":"shop"}', 0)
        async with following(Mirror(tmp_path, kv)):
            pass
        assert sorted(file.read_bytes().partition(b" ")[0].decode() for file in tmp_path.iterdir()) == keys

    asyncio.run(story())


def test_a_record_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    async def story() -> None:
        kv = FakeKv()
        await kv.put("namespaces.shop", b"{", 0)
        async with following(Mirror(tmp_path, kv)) as mirror:
            with pytest.raises(Problem) as problem:
                mirror.namespaces()
            assert problem.value.code == "record.unreadable"
            assert "namespaces.shop" in str(problem.value)

    asyncio.run(story())


def test_it_says_when_the_store_is_back_in_sight(tmp_path: Path) -> None:
    async def story() -> None:
        kv = FakeKv()
        await filled(kv)
        async with following(Mirror(tmp_path / "mirror", kv)) as mirror:
            back = asyncio.Event()
            mirror.when_back(back.set)
            kv.kill()
            await until(lambda: mirror.stale_since)
            assert not back.is_set()
            kv.start()
            async with asyncio.timeout(5):
                await back.wait()

    asyncio.run(story())
