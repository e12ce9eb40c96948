"""A real Docker engine for tests, with one tiny image. Inside dev/sandbox only, where everything ends with the test."""

import asyncio
import io
import itertools
import os
import shutil
import signal
import tarfile
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from runtime.command import detach, run
from runtime.container import OPERATION
from runtime.docker import Docker
from runtime.dockerd import EnginePlace, engine_answers, engine_command, prepare_engine
from runtime.instance import Mount, Runtime, Specification
from runtime.network import Bridge, ensure_network

IMAGE = "ployz-test/busybox:1"
APPLETS = (
    "sh",
    "sleep",
    "echo",
    "cat",
    "true",
    "false",
    "id",
    "pwd",
    "env",
    "stty",
    "nc",
    "httpd",
    "seq",
    "touch",
    "ps",
)
BRIDGE = Bridge(subnet="10.210.1.0/24", gateway="10.210.1.1", mtu=1420)
ADDRESSES = itertools.count(2)
FOREVER = ("sleep", "1000")


@dataclass(frozen=True)
class RealEngine:
    """A running engine: where it is, the adapter on it, a raw client for asking behind the adapter's back."""

    place: EnginePlace
    instances: Docker
    raw: Any
    pid: int


@contextmanager
def real_engine(*more: str, ended_by: Sequence[int] = ()) -> Iterator[RealEngine]:
    """Start an engine, with the image and the network, and end it together with everything it runs.

    `ended_by` are the pids of engines that took its place meanwhile.
    """
    folder = Path(tempfile.mkdtemp(prefix="p"))
    place = EnginePlace(folder, folder / "s", "10.209.1.1/24", 1420)
    pid = asyncio.run(_started(place, more))
    instances = Docker(place.socket, BRIDGE.name, BRIDGE.gateway, files=folder / "files")
    raw = docker.APIClient(f"unix://{place.socket}", version="auto", timeout=60)
    try:
        assert raw.info()["Driver"] == "overlay2", "the tests' folder is on a filesystem that overlay2 cannot use"
        raw.import_image_from_data(packed(), repository=IMAGE.partition(":")[0], tag="1")
        asyncio.run(ensure_network(instances.engine, BRIDGE))
        yield RealEngine(place, instances, raw, pid)
    finally:
        for container in raw.containers(all=True):
            raw.remove_container(container["Id"], force=True)
        for client in (instances, raw):
            client.close()
        for each in (pid, *ended_by):
            _end(each)
        asyncio.run(_unmount(folder))
        asyncio.run(_leave_the_network())
        shutil.rmtree(folder)


@contextmanager
def bare_engine(data: Path | None = None) -> Iterator[RealEngine]:
    """Start an engine beside the other one that has no network, and only keeps images; perhaps on a disk of its own."""
    with tempfile.TemporaryDirectory(prefix="q") as name:
        folder = Path(name)
        place = EnginePlace(folder, folder / "s", "")
        words = ("--data-root", data or folder / "data", "--exec-root", folder / "exec", "-H", f"unix://{place.socket}",
                 "-p", place.pid_file, "--bridge=none", "--iptables=false")  # fmt: skip
        pid = asyncio.run(detach("dockerd", *words, log=folder / "log"))
        instances = Docker(place.socket, "none", files=folder / "files")
        try:
            asyncio.run(engine_answers(place.socket))
            raw = docker.APIClient(f"unix://{place.socket}", version="auto", timeout=60)
            yield RealEngine(place, instances, raw, pid)
            raw.close()
        finally:
            instances.close()
            _end(pid)
            asyncio.run(_unmount(folder))


async def _started(place: EnginePlace, more: Sequence[str]) -> int:
    await prepare_engine(place)
    pid = await detach(*engine_command(place), *more, log=place.folder / "log")
    await engine_answers(place.socket)
    return pid


async def _leave_the_network() -> None:
    """An engine leaves its bridges and rules behind, and other tests make theirs in the same network namespace."""
    for bridge in (BRIDGE.interface, "docker0"):
        await run("ip", "link", "del", bridge, may_exit=(0, 1))  # 1: it never got as far as making it
    await run("nft", "flush", "ruleset")


async def _unmount(folder: Path) -> None:
    """An engine that was killed leaves its folders mounted."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if Path(mount).is_relative_to(folder)), reverse=True):
        await run("umount", "--lazy", mount)


def _end(pid: int) -> None:
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def packed(more: str = "") -> bytes:
    """A root filesystem of busybox, as a tar archive; `more` makes it another one."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for name, kind, target in [(f"bin/{a}", tarfile.SYMTYPE, "busybox") for a in APPLETS] + [("tmp", b"5", "")]:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = kind, target, 0o777
            tar.addfile(entry)
        note = tarfile.TarInfo("note")
        note.size = len(more)
        tar.addfile(note, io.BytesIO(more.encode()))
    return buffer.getvalue()


def specification(image: str, *command: str, id: str = "", ip: str = "", **more: Any) -> Specification:
    """A specification with a name and an address that nobody else has."""
    name = id or f"i-{uuid.uuid4().hex[:12]}"
    runtime: Runtime = "host" if image == "host" else "docker"
    address, labels = ip or f"10.210.1.{next(ADDRESSES)}", {"ployz.service": "web"}
    return Specification(name, image, address, labels, command=command or FOREVER, runtime=runtime, **more)


__all__ = [
    "BRIDGE",
    "FOREVER",
    "IMAGE",
    "OPERATION",
    "Mount",
    "RealEngine",
    "bare_engine",
    "packed",
    "real_engine",
    "specification",
]
