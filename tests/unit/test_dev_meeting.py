"""Which machine of a local cluster lets the others in: one that has the records of a mesh in sight."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from daemon.dev.cluster import Cluster, Site, locate
from daemon.dev.meeting import meet
from daemon.dev.story import Story
from daemon.wire import Call, Failure, Join, MachineInvite, MachineLs, MeshInit, Refused, Success, encode


@dataclass
class Door:
    """A machine's daemon, as far as that goes: whom it knows, and why it lets nobody in."""

    knows: list[str]
    refuses: str = ""
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        call = msgspec.json.decode(await request.read(), type=Call)
        match call.request:
            case MachineLs():
                return self._told("machines", {"machines": [{"name": name} for name in self.knows]})
            case MachineInvite(name=name) if not self.refuses:
                self.asked += [] if call.how.preview else [f"invite {name}"]
                return self._told("invitation", {"token": f"for {name}"})
            case Join(token=token):
                self.asked.append(f"join by a token {token}")
                return self._told("machines", {})
            case MeshInit():
                self.refuses = ""
                self.asked.append("found")
                return self._told("mesh", {})
        return web.Response(body=encode(Failure(Refused(self.refuses, "cannot invite", "it is so").error)))

    def _told(self, kind: str, result: dict[str, object]) -> web.Response:
        return web.Response(body=encode(Success(kind, result)))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    root = Path(tempfile.mkdtemp(prefix="pz", dir="/tmp"))
    yield locate("dev", Site(root, ("nothing",)))
    shutil.rmtree(root)


def met(cluster: Cluster, doors: dict[str, Door]) -> dict[str, list[str]]:
    async def whole() -> None:
        async with AsyncExitStack() as stack:
            for name, door in doors.items():
                cluster.machine(name).door.parent.mkdir(parents=True)
                application = web.Application()
                application.router.add_post("/v1/call", door.answer)
                runner = web.AppRunner(application)
                await runner.setup()
                stack.push_async_callback(runner.cleanup)
                await web.UnixSite(runner, str(cluster.machine(name).door)).start()
            await meet(cluster, list(doors), Story("op-1", lambda _: None), asyncio.Semaphore(2))

    asyncio.run(whole())
    return {name: door.asked for name, door in doors.items()}


def test_the_first_founds_a_mesh_where_there_is_none(cluster: Cluster) -> None:
    doors = {name: Door([name], "mesh.missing") for name in ("m1", "m2")}
    assert met(cluster, doors) == {"m1": ["found", "invite m2"], "m2": ["join by a token for m2"]}


def test_who_was_removed_and_knows_the_most_is_not_asked(cluster: Cluster) -> None:
    removed, stays = Door(["m1", "m2", "m3"], "store.down"), Door(["m2", "m3"])
    new = Door(["m4"], "mesh.missing")
    told = met(cluster, {"m1": removed, "m2": stays, "m4": new})
    assert told == {"m1": [], "m2": ["invite m4"], "m4": ["join by a token for m4"]}


def test_the_last_one_of_a_mesh_lets_others_in_again(cluster: Cluster) -> None:
    told = met(cluster, {"m1": Door(["m1"], "mesh.missing"), "m2": Door(["m2"])})
    assert told == {"m1": ["join by a token for m1"], "m2": ["invite m1"]}
