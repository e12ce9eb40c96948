"""Verbs on other machines: the same as here, for whoever is entitled to them, and never for anybody else."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from daemon.journal import Answer, Listener
from daemon.members import Members
from daemon.membership import alone
from daemon.node import Node
from daemon.peers.calls import Call, Part, answer_of
from daemon.peers.failures import heard, told
from daemon.peers.others import Fate
from daemon.peers.participant import Participant
from daemon.peers.questions import answers
from daemon.peers.remote import RemotePeers
from daemon.peers.verbs import LOOKS, verbs
from daemon.records import Machine, Token, Turn
from daemon.serving import ServingPlane
from daemon.store import Store
from daemon.wire import Refused, Success
from dataplane.dataset import Layout, NoRoom, NotOurs, ZfsProblem
from runtime.instance import NotReady, Specification
from tests.fakes.engine import FakeEngine
from tests.fakes.host import FakeHost
from tests.fakes.kv import FakeKv, Late
from tests.fakes.line import FakeLine
from tests.fakes.mesh import FakeMesh
from tests.fakes.moves import FakeMoves, FakeStores
from tests.fakes.seen import AT
from tests.fakes.serving import FakeFirewall, FakeGateway, FakeNames
from tests.fakes.streams import FakeStreams
from tests.fakes.transfers import FakeTransfers
from tests.fakes.vault import FakeVault
from tests.fakes.zfs import FakeZfs

NONE = Layout()
T = TypeVar("T")


class NobodyKnows:
    """No operation of this machine is asked about."""

    async def own_fate(self, id: str) -> Fate:
        raise AssertionError(id)

    def own_answer(self, id: str) -> Answer | None:
        raise AssertionError(id)

    async def show(self, id: str, tell: Listener, *, follow: bool) -> Success:
        raise AssertionError(id)

    async def abort(self, id: str) -> Success:
        raise AssertionError(id)

    def hear_over(self, id: str) -> None:
        raise AssertionError(id)

    def carry_on(self) -> None:
        raise AssertionError


class Site:
    """Two machines: m1 asks, and m2 has a participant that can be started anew."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.line, self.kv = folder, FakeLine(), FakeKv(Late())
        self.zfs, self.engine = {"m1": FakeZfs("tank1"), "m2": FakeZfs("tank2")}, FakeEngine()
        self.over: dict[str, int] = {}
        self.restart()

    def restart(self) -> None:
        participant = Participant(self.node("m2"), self.folder / "m2" / "asked", self.ended)
        self.participant = participant
        for what, answer in answers(participant, NobodyKnows()).items():
            self.line.there["m2", what] = answer

    async def ended(self, operation: str) -> int | None:
        return self.over.get(operation)

    def node(self, machine: str) -> Node:
        store = Store(self.kv)
        folder = self.folder / machine / "serving"
        folder.mkdir(parents=True, exist_ok=True)
        plane = ServingPlane(FakeFirewall(), FakeNames(), FakeGateway(), store, folder)
        zfs = self.zfs[machine]
        return Node(
            machine=machine,
            subnet="10.210.1.0/24",
            services="10.210.224.0/19",
            datasets=zfs.datasets,
            instances=self.engine,
            records=store,
            serving=plane,
            streams=FakeStreams(zfs),
            transfers=FakeTransfers(zfs),
            vault=FakeVault(),
            host=FakeHost(),
            members=Members(self.kv),
            mesh=FakeMesh(alone(machine, AT, "0.1.0")),
            moves=FakeMoves(FakeStores({"": self.kv})),
        )

    def streams(self, machine: str) -> FakeStreams:
        return FakeStreams(self.zfs[machine])

    def peers(self) -> RemotePeers:
        record = Machine("2", "m2", "10.210.2.0/24", "10.210.2.1", AT, "0.1.0", root="tank2")
        return RemotePeers(self.line, lambda: {"m2": record}, lambda: self.node("m1"), self.streams)

    def during(self, operation: str = "op-1", revision: int = 5, turn: int = 1) -> Node:
        return self.peers().during(operation, {"shop": Token(1, revision)}, Turn(0, turn))("m2")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def play(story: Callable[[], Awaitable[None]]) -> None:
    async def played() -> None:
        await story()

    asyncio.run(played())


async def make(node: Node, name: str = "tank2/shop/data/op-1", by: str = "op-1") -> None:
    await node.datasets.create(name, by, {"volume": "data"}, NONE)


def test_every_verb_can_be_asked_for_and_what_is_looked_at_is_one() -> None:
    assert verbs().keys() >= LOOKS
    assert {"datasets.clone", "instances.create", "serving.drop", "vault.place"} <= verbs().keys()
    assert "vault.seal" not in verbs()


def test_a_verb_is_done_there_and_returns_what_it_returns_here(site: Site) -> None:
    async def story() -> None:
        node = site.during()
        await make(node)
        there = await node.datasets.look("tank2/shop/data/op-1")
        assert there is not None
        assert there == await site.zfs["m2"].datasets.look("tank2/shop/data/op-1")
        assert there.marks == {"operation": "op-1", "volume": "data"}
        assert await site.zfs["m1"].datasets.look("tank2/shop/data/op-1") is None
        assert await node.datasets.look("tank2/nothing") is None
        assert node.datasets.root == "tank2"
        assert (await node.datasets.space()).size > 0

    play(story)


def test_what_is_bytes_and_structures_arrives_as_it_was(site: Site) -> None:
    async def story() -> None:
        made = Specification("a-1", "sha256:1", "10.210.2.5", {"ployz.service": "a"}, files={"/etc/x": b"\x00\xff"})
        await site.during().instances.create(made, "op-1")
        assert site.engine.instances["a-1"].specification == made
        [condition] = await site.during().instances.all()
        assert condition.id == "a-1"

    play(story)


def test_a_failure_there_is_the_same_failure_here_and_names_the_machine(site: Site) -> None:
    async def story() -> None:
        with pytest.raises(NotOurs, match="on m2"):
            await make(site.during(), "tank2/shop/data/op-9", by="op-1")

    play(story)
    for failure in (NoRoom("full"), NotReady("it ended", "oh no"), Refused("name.taken", "cannot", "why", "try")):
        failed = told(failure)
        assert failed
        again = heard(failed, "m2")
        assert type(again) is type(failure)
        assert "full" in str(again) or "oh no" in str(again) or again.args == failure.args
    assert told(KeyError("a bug")) is None


def test_a_machine_that_does_not_answer_is_named_at_once(site: Site) -> None:
    async def story() -> None:
        site.line.away.add("m2")
        with pytest.raises(Refused) as refused:
            await make(site.during())
        assert refused.value.code == "machine.unreachable"
        assert "m2" in refused.value.what

    play(story)


def test_without_an_operation_nothing_can_be_changed(site: Site) -> None:
    async def story() -> None:
        anybody = site.peers()("m2")
        assert await anybody.instances.all() == []
        with pytest.raises(Refused) as refused:
            await make(anybody)
        assert refused.value.code == "peer.no_operation"

    play(story)


def test_a_verb_that_is_not_known_there_is_refused(site: Site) -> None:
    async def story() -> None:
        call = Call("datasets.explode", msgspec.Raw(b"{}"), "op-1", Part({}, Turn(0, 1)))
        with pytest.raises(Refused) as refused:
            await answer_of(site.line, "m2", "do", msgspec.json.encode(call))
        assert refused.value.code == "peer.verb"

    play(story)


def test_who_shows_an_older_token_changes_nothing_also_after_a_restart(site: Site) -> None:
    async def story() -> None:
        old, new = site.during("op-1", revision=5), site.during("op-2", revision=6)
        await make(new, "tank2/shop/data/op-2", "op-2")
        for _ in range(2):
            with pytest.raises(Refused) as refused:
                await make(old)
            assert refused.value.code == "token.old"
            site.restart()
        assert await site.zfs["m2"].datasets.look("tank2/shop/data/op-1") is None

    play(story)


def test_a_newer_incarnation_counts_more_than_any_revision(site: Site) -> None:
    async def story() -> None:
        await make(site.peers().during("op-2", {"shop": Token(2, 1)}, Turn(0, 1))("m2"), "tank2/shop/data/op-2", "op-2")
        with pytest.raises(Refused, match="taken over"):
            await make(site.peers().during("op-1", {"shop": Token(1, 900)}, Turn(0, 1))("m2"))

    play(story)


def test_what_comes_late_for_an_earlier_turn_is_refused(site: Site) -> None:
    async def story() -> None:
        back = site.during(turn=4)
        await back.datasets.take_back("tank2/shop/data/op-1", "op-1")
        with pytest.raises(Refused) as refused:
            await make(site.during(turn=1))
        assert refused.value.code == "token.old"
        await make(site.during(turn=4))

    play(story)


class Slow:
    """A touch that waits at its first `zfs set`, until it is let go."""

    def __init__(self) -> None:
        self.times = 0
        self.begun, self.ended, self.go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, what: str, effect: Callable[[], T]) -> T:
        if what.startswith("zfs set"):
            self.times += 1
            self.begun.set()
            try:
                await self.go.wait()
            finally:
                self.ended.set()
        return effect()


def test_a_later_turn_ends_what_the_earlier_one_still_does_and_waits_for_it(site: Site) -> None:
    async def story() -> None:
        await make(site.during())
        slow = site.zfs["m2"].touch = Slow()
        marking = asyncio.create_task(site.during().datasets.mark("tank2/shop/data/op-1", {"state": "current"}))
        await slow.begun.wait()
        await site.during(turn=2).datasets.take_back("tank2/shop/data/op-1", "op-1")
        assert slow.ended.is_set()
        with pytest.raises(Refused) as refused:
            await marking
        assert refused.value.code == "token.old"

    play(story)


def test_who_asks_again_waits_for_what_is_being_done_already(site: Site) -> None:
    async def story() -> None:
        await make(site.during())
        slow = site.zfs["m2"].touch = Slow()
        mark = {"state": "current"}
        efforts = [asyncio.create_task(site.during().datasets.mark("tank2/shop/data/op-1", mark)) for _ in range(3)]
        await slow.begun.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        slow.go.set()
        await asyncio.gather(*efforts)
        assert slow.times == 1

    play(story)


def test_nothing_more_is_done_for_an_operation_that_is_over(site: Site) -> None:
    async def story() -> None:
        await make(site.during())
        await site.participant.end("op-1")
        site.restart()
        with pytest.raises(Refused) as refused:
            await site.during(turn=9).datasets.mark("tank2/shop/data/op-1", {"state": "current"})
        assert refused.value.code == "operation.over"

    play(story)


def test_whoever_was_away_asks_what_became_of_the_operations_that_it_knows(site: Site) -> None:
    async def story() -> None:
        await make(site.during())
        site.restart()
        await site.participant.ask_for_endings()
        await site.during().datasets.mark("tank2/shop/data/op-1", {"state": "current"})
        site.over["op-1"] = 1
        site.restart()
        await site.participant.ask_for_endings()
        with pytest.raises(Refused, match="it is over"):
            await site.during().datasets.mark("tank2/shop/data/op-1", {"state": "kept"})

    play(story)


def test_what_is_over_is_forgotten_but_not_where_somebody_may_not_know_that_it_was_taken_over(site: Site) -> None:
    async def story() -> None:
        for operation in ("op-1", "op-2", "op-3"):
            await site.participant.fence(operation, Part({}, Turn(0, 1)))
        await site.participant.end("op-1")
        site.over |= {"op-1": 0, "op-2": 1}
        await site.participant.ask_for_endings()
        left = sorted(file.stem for file in site.folder.rglob("*.entry"))
        assert left == ["op-2", "op-3"], "one was over, one was taken over, and one goes on"
        site.restart()
        with pytest.raises(Refused, match="it is over"):
            await site.participant.fence("op-2", Part({}, Turn(0, 2)))
        await site.participant.fence("op-3", Part({}, Turn(0, 2)))

    play(story)


def test_a_fence_is_as_good_as_a_call(site: Site) -> None:
    async def story() -> None:
        await site.participant.fence("op-1", Part({"shop": Token(1, 8)}, Turn(0, 1)))
        with pytest.raises(Refused, match="taken over"):
            await make(site.during(revision=7))

    play(story)


def test_a_failure_that_only_a_newer_version_knows_is_a_failure_all_the_same() -> None:
    failed = told(ZfsProblem("odd"))
    assert failed
    again = heard(msgspec.structs.replace(failed, kind="OddProblem"), "m2")
    assert isinstance(again, ZfsProblem)
