"""Namespaces that stand for machines on one underlay, and what is done inside one of them. Root, in dev/sandbox."""

import asyncio
import ctypes
import multiprocessing
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from dataplane.calls import CallFailed
from dataplane.entry import Moved, StoreDown
from dataplane.store_move import MoveProblem
from runtime.command import CommandError
from tests.adapters.bridge import ip

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
FORK = multiprocessing.get_context("fork")


def underlay(number: int) -> str:
    """Where machine `number` is reached by the others, whatever the mesh does."""
    return f"192.0.2.{number}"


@contextmanager
def machines(*numbers: int) -> Iterator[None]:
    """A namespace `i<number>` for each (as tests.adapters.bridge names them), all on one bridge in another one."""
    with ExitStack() as stack:
        for name in ("underlay", *map(_name, numbers)):
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", "underlay", "link", "add", "net", "type", "bridge")
        ip("-n", "underlay", "link", "set", "net", "up")
        for number in numbers:
            name = _name(number)
            ip("-n", "underlay", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("-n", "underlay", "link", "set", name, "master", "net", "up")
            ip("-n", name, "address", "add", f"{underlay(number)}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        yield


def cut(number: int) -> None:
    """Take its cable out."""
    ip("-n", "underlay", "link", "set", _name(number), "down")


def mend(number: int) -> None:
    ip("-n", "underlay", "link", "set", _name(number), "up")


def on(number: int, effort: Callable[[], Awaitable[T]]) -> T:
    """Do something in a machine's namespace, in a process of its own; what it raises is raised here."""
    receiving, sending = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_enter_and_do, args=(number, effort, sending))
    child.start()
    sending.close()
    try:
        result: Any = receiving.recv()
    finally:
        child.join()
    if isinstance(result, BaseException):
        raise result
    return result  # type: ignore[no-any-return]


@contextmanager
def beside(number: int, effort: Callable[[], Awaitable[object]]) -> Iterator[None]:
    """Have something done in a machine's namespace meanwhile, and kill it then. What it raised before is raised."""
    receiving, sending = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_enter_and_do, args=(number, effort, sending))
    child.start()
    sending.close()
    try:
        yield
    finally:
        child.kill()
        child.join()
    try:
        result = receiving.recv()
    except EOFError:
        return
    if isinstance(result, BaseException):
        raise result


def _enter_and_do(number: int, effort: Callable[[], Awaitable[object]], sending: Any) -> None:
    handle = os.open(f"/run/netns/{_name(number)}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
        sending.send(OSError(ctypes.get_errno(), "setns"))
        return

    async def done() -> object:
        return await effort()

    try:
        sending.send(asyncio.run(done()))
    except (AssertionError, OSError, CommandError, StoreDown, Moved, CallFailed, MoveProblem) as failure:
        sending.send(failure)


def _name(number: int) -> str:
    return f"i{number}"
