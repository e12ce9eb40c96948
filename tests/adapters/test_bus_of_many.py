"""Several machines on one bus: leaves use the store, machines call each other, strangers can do nothing."""

import asyncio
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import aclosing, suppress

import nkeys  # type: ignore[import-untyped]
import pytest
from msgspec.structs import replace

from dataplane.bus import Bus, Gone, Message
from dataplane.calls import LIFE, Calls, Question, Unanswered, Undelivered
from dataplane.entry import Entry, Moved, Sight, StoreDown
from dataplane.kv import Kv
from dataplane.layout import Layout
from dataplane.nats_configuration import PING, seen
from dataplane.nats_programs import programs
from dataplane.nats_server import NatsServer
from dataplane.process import Process
from dataplane.secret_file import write_secret
from runtime.command import CommandFailed
from tests.adapters.fleet import Fleet, connection, fleet, persist
from tests.adapters.places import beside, on, underlay

PATIENCE = 2.5 * LIFE
GIVEN_UP = 4 * PING
"""Seconds after which a server has surely closed the connection of whoever says nothing."""


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Machine 1 holds the store, 2 and 3 are leaves, and 4 is none of them."""
    with fleet(tmp_path_factory.mktemp("fleet"), 1, 2, 3, 4) as made:
        layout = layout_of(made)
        for number in (1, 2, 3):
            made.ensure(number, layout)
        made.records(1, layout, Kv.found)
        for number in (2, 3):
            on(number, lambda number=number: linked(made.server(number, layout)))  # type: ignore[misc]
        yield made


def layout_of(four: Fleet) -> Layout:
    return four.layout([1], [1, 2, 3])


async def linked(server: NatsServer, within: float = 10) -> None:
    """Wait until a leaf has its link to the store."""
    async with asyncio.timeout(within):
        while not await server.links():
            await asyncio.sleep(0.05)


def test_a_leaf_uses_the_store_like_its_holder(four: Fleet) -> None:
    async def at_the_leaf(kv: Kv) -> int:
        first = await kv.put("a.b", b"one", 0)
        with pytest.raises(Moved):
            await kv.put("a.b", b"late", 0)
        assert await kv.get("a.b") == Entry(b"one", first)
        assert await kv.all("a") == {"a.b": Entry(b"one", first)}
        async with aclosing(kv.watch()) as told:
            while await anext(told) is not Sight.CURRENT:
                continue
            second = await kv.put("a.b", b"two", first)
            assert await anext(told) == ("a.b", Entry(b"two", second))
        return second

    revision = four.records(2, layout_of(four), at_the_leaf)
    assert four.records(1, layout_of(four), lambda kv: kv.get("a.b")) == Entry(b"two", revision)


def test_machines_call_each_other_whatever_their_roles(four: Fleet) -> None:
    layout = layout_of(four)

    async def answering() -> None:
        async def greet(question: Question) -> bytes:
            await question.say(b"well")
            return b"hello " + question.data

        async with connection(four.server(3, layout)) as bus:
            await (await Calls.over(bus)).answer("svc.m3.greet", greet)
            await asyncio.Event().wait()

    async def asking(number: int) -> None:
        heard: list[bytes] = []
        async with connection(four.server(number, layout)) as bus:
            calls = await Calls.over(bus)
            assert await sooner_or_later(calls, "svc.m3.greet", heard) == b"hello you"
            assert heard == [b"well"]
            with pytest.raises(Undelivered):
                await calls.request("svc.m3.other", b"", PATIENCE)

    with beside(3, answering):
        on(2, lambda: asking(2))
        on(1, lambda: asking(1))


async def sooner_or_later(calls: Calls, subject: str, heard: list[bytes]) -> bytes:
    """Ask until somebody listens: whoever is to do so has only just begun."""
    async with asyncio.timeout(10):
        while True:
            with suppress(Undelivered):
                return await calls.request(subject, b"you", PATIENCE, heard.append)
            await asyncio.sleep(0.05)


def test_a_machine_whose_server_is_killed_in_a_call_is_given_up(four: Fleet) -> None:
    layout = layout_of(four)
    server = four.server(3, layout)

    async def answering() -> None:
        async def never(question: Question) -> bytes:
            await asyncio.Event().wait()
            return b""

        async with connection(server) as bus:
            await (await Calls.over(bus)).answer("svc.m3.never", never)
            await asyncio.Event().wait()

    pid = pid_of(3, server)

    async def asking() -> None:
        async with connection(four.server(2, layout)) as bus:
            calls = await Calls.over(bus)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(sooner_or_later(calls, "svc.m3.never", []), 2 * LIFE)
            began = time.monotonic()
            waiting = asyncio.create_task(calls.request("svc.m3.never", b"", PATIENCE))
            await asyncio.sleep(LIFE / 2)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(Unanswered, match="nothing was heard"):
                await waiting
            assert time.monotonic() - began < 2 * PATIENCE

    with beside(3, answering):
        on(2, asking)
    four.ensure(3, layout)
    on(3, lambda: linked(server))


def test_one_that_stood_still_until_its_server_gave_it_up_is_connected_again(four: Fleet) -> None:
    """What it says when it goes on cannot be sent, nor what its client would say as it closes."""

    async def standing_still() -> None:
        async with connection(four.server(1, layout_of(four))) as bus:
            kv = Kv(bus, "records")
            await kv.put("a.still", b"", 0)
            stop = "kill -STOP $1; sleep $2; kill -CONT $1"
            stopping = await asyncio.create_subprocess_exec("sh", "-c", stop, "sh", str(os.getpid()), str(GIVEN_UP))
            await stopping.wait()
            assert await persist(lambda: kv.get("a.still"))

    on(1, standing_still)


def pid_of(number: int, server: NatsServer) -> int:
    pid = on(number, server.running)
    assert pid
    return pid


def test_a_machine_may_not_say_what_others_say(four: Fleet) -> None:
    layout = layout_of(four)

    async def forbidden(number: int) -> None:
        """It may not hear another's calls or answers, nor speak as the store, nor as the keeper of a server."""
        heard: list[Message | Gone] = []
        async with connection(four.server(number, layout)) as bus:
            for subject in ("svc.m1.>", "inbox.m1.>", "$KV.>", ">"):
                complaint = bus.complaint
                await bus.hear(subject, heard.append)
                await complains(bus, complaint)
            for subject in ("inbox.m1.abc", seen("m1"), "somebody.else", "$SYS.REQ.SERVER.PING"):
                complaint = bus.complaint
                await bus.tell(subject, b"forged")
                await complains(bus, complaint)
            assert heard == []

    on(2, lambda: forbidden(2))


@pytest.mark.parametrize("number", [1, 2])
def test_what_a_machine_says_of_itself_is_heard_by_all(four: Fleet, number: int) -> None:
    layout = layout_of(four)

    async def speaking() -> None:
        async with connection(four.server(3, layout)) as bus:
            while True:
                await bus.tell(seen("m3"), b"here")
                await asyncio.sleep(0.05)

    async def hearing() -> None:
        heard = asyncio.Queue[Message | Gone]()
        async with connection(four.server(number, layout)) as bus:
            await bus.hear(seen("*"), heard.put_nowait)
            async with asyncio.timeout(5):
                told = await heard.get()
            assert isinstance(told, Message)
            assert (told.subject, told.data) == ("seen.m3", b"here")

    with beside(3, speaking):
        on(number, hearing)


async def complains(bus: Bus, before: Exception | None) -> None:
    async with asyncio.timeout(5):
        while bus.complaint is before:
            await asyncio.sleep(0.01)
    assert "permissions violation" in str(bus.complaint).lower()


def test_a_stranger_with_a_route_to_the_port_is_refused(four: Fleet) -> None:
    """Neither a server that calls itself a member, nor a client; and clients of other machines find no port at all."""
    layout = four.layout([1], [1, 4])
    posing = four.ensure(4, layout)

    async def strange() -> None:
        assert await posing.links() == []
        async with connection(posing) as bus:
            with pytest.raises(StoreDown):
                await Kv(bus, "records").put("a.stranger", b"", 0)
        assert await posing.links() == []

    async def knocking() -> None:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((underlay(1), 4222), timeout=5)
        seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode()
        bus = await Bus.connect(f"nats://{underlay(1)}:7422", seed=seed, inbox="inbox.m2", within=2)
        assert not bus.is_connected
        await bus.close()

    on(4, strange)
    on(4, knocking)
    on(4, posing.stop)
    assert four.records(1, layout_of(four), lambda kv: kv.get("a.stranger")) is None


def test_a_member_that_forges_its_own_server_may_no_more_than_before(four: Fleet) -> None:
    """What a leaf's own configuration allows counts for nothing at the others'."""
    layout = four.layout([1], [1, 2, 3, 4])
    four.ensure(1, layout)
    rogue = forged(four.server(4, layout))
    heard: list[Message | Gone] = []

    async def intruding() -> None:
        await rogue.ensure()
        async with connection(four.server(4, layout)) as bus:
            for subject in ("svc.>", "inbox.>"):
                await bus.hear(subject, heard.append)
            await linked(four.server(4, layout))
            while True:
                for subject in ("inbox.m2.abc", "svc.m2.allowed"):
                    await bus.tell(subject, b"forged")
                await asyncio.sleep(0.02)
                assert not [one for one in heard if isinstance(one, Message) and one.data != b"forged"]

    async def listening() -> None:
        came: list[Message | Gone] = []
        async with connection(four.server(2, layout)) as bus:
            await bus.hear("inbox.m2.>", came.append)
            await bus.hear("svc.m2.>", came.append)
            async with asyncio.timeout(20):
                while sum(isinstance(one, Message) and one.data == b"forged" for one in came) < 20:
                    await bus.tell("svc.m2.own", b"")
                    await asyncio.sleep(0.02)
            assert {one.subject for one in came if isinstance(one, Message)} <= {"svc.m2.own", "svc.m2.allowed"}

    try:
        with beside(4, intruding):
            on(2, listening)
    finally:
        on(4, rogue.stop)
        four.ensure(1, layout_of(four))


def forged(server: NatsServer) -> Process:
    """The machine's own server with a configuration in which everything is allowed."""
    allowed = re.sub(r"(publish|subscribe): \[.*\]", r'\1: [">"]', server.configuration())
    file = server.home / "forged.conf"
    write_secret(file, allowed.encode())
    [program, *_] = asyncio.run(programs())
    return Process("forged", (str(program), "-c", str(file)), server.home)


def test_who_joins_is_let_in_by_the_running_server_and_who_is_removed_is_cut_for_good(four: Fleet) -> None:
    before, after = layout_of(four), four.layout([1], [1, 2, 3, 4])
    holder = four.server(1, before)
    pid = pid_of(1, holder)
    holder = four.ensure(1, after)
    leaf = four.ensure(4, after)
    on(4, lambda: linked(leaf))
    assert pid_of(1, holder) == pid

    async def writing(kv: Kv) -> None:
        await kv.put("a.four", b"", 0)

    four.records(4, after, writing)
    four.ensure(1, before)
    assert pid_of(1, holder) == pid

    async def cut_off() -> None:
        until = time.monotonic() + 3
        async with connection(leaf) as bus:
            while time.monotonic() < until:
                with pytest.raises(StoreDown):
                    await asyncio.wait_for(Kv(bus, "records").put("a.removed", b"", 0), 5)
                assert await leaf.links() == []

    on(4, cut_off)
    on(4, leaf.stop)
    assert four.records(1, before, lambda kv: kv.get("a.removed")) is None
    four.records(2, before, lambda kv: kv.get("a.b"))


def test_a_bad_configuration_is_told_and_leaves_the_old_one_in_force(four: Fleet) -> None:
    layout = layout_of(four)
    pid = pid_of(1, four.server(1, layout))
    nonsense = replace(layout, members=(*layout.members, replace(layout.members[0], machine="m9")))
    with pytest.raises(CommandFailed, match=r"(?i)duplicate"):
        four.ensure(1, nonsense)
    server = four.ensure(1, layout)
    assert pid_of(1, server) == pid
    four.records(3, layout, lambda kv: kv.get("a.b"))
