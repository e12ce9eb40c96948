"""An engine of our own: its containers outlive it, and it comes back after being killed."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from runtime.command import detach
from runtime.dockerd import EnginePlace, engine_answers, engine_command, prepare_engine
from runtime.instance import EngineProblem, EngineUnavailable
from tests.adapters.engines import IMAGE, real_engine, specification


def test_containers_outlive_the_engine_and_it_comes_back() -> None:
    async def scenario() -> None:
        wanted = specification(await real.instances.resolve(IMAGE))
        await real.instances.create(wanted, "op-1")
        await real.instances.start(wanted.id)
        before = await real.instances.look(wanted.id)
        os.kill(real.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            await asyncio.to_thread(os.waitpid, real.pid, 0)
        with pytest.raises(EngineUnavailable):
            await real.instances.look(wanted.id)
        await prepare_engine(real.place)
        pids.append(await detach(*engine_command(real.place), log=real.place.folder / "log"))
        await engine_answers(real.place.socket)
        assert await real.instances.look(wanted.id) == before

    pids: list[int] = []
    with real_engine(ended_by=pids) as real:
        asyncio.run(scenario())


def test_a_pid_that_is_somebody_elses_is_no_engine(tmp_path: Path) -> None:
    place = EnginePlace(tmp_path / "engine", tmp_path / "s", "10.209.1.1/24")
    for file in (place.pid_file, place.exec_root / "containerd" / "containerd.pid"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(os.getpid()))
    asyncio.run(prepare_engine(place))
    assert not place.pid_file.exists()
    assert not (place.exec_root / "containerd" / "containerd.pid").exists()


def test_a_socket_path_that_no_socket_can_have(tmp_path: Path) -> None:
    with pytest.raises(EngineProblem, match="too long"):
        asyncio.run(prepare_engine(EnginePlace(tmp_path, tmp_path / ("s" * 120), "10.209.1.1/24")))


def test_an_engine_that_never_answers(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="did not answer within"):
        asyncio.run(engine_answers(tmp_path / "s", within=0.2))
