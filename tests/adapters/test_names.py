"""Names by a real dnsmasq: what appears is answered, what goes is not, and it is started again when it died."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.names import Names, NamesProblem, resolve
from tests.adapters.bridge import GATEWAY, machine
from tests.stopping import stopped

ZONE = "ployz.internal"
DB, WEB, OTHER = f"db.shop.{ZONE}", f"web.shop.{ZONE}", f"db.blog.{ZONE}"


@pytest.fixture
def names() -> Iterator[Names]:
    with started() as names:
        yield names


@contextmanager
def started(resolvers: str = "") -> Iterator[Names]:
    with ExitStack() as stack:
        stack.enter_context(machine())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "resolv.conf").write_text(resolvers)
        names = Names(GATEWAY, ZONE, folder / "names", folder / "resolv.conf")
        stack.callback(lambda: asyncio.run(names.process.stop()))
        asyncio.run(names.ensure())
        yield names


def answers(names: Names, *asked: str) -> list[str | None]:
    async def ask() -> list[str | None]:
        return [await names.ask(name) for name in asked]

    return asyncio.run(ask())


def apply(names: Names, **hosts: str) -> None:
    known = {"db": DB, "web": WEB, "other": OTHER}
    asyncio.run(names.apply({known[name]: address for name, address in hosts.items()}))


def test_names_appear_change_and_go(names: Names) -> None:
    asked = (DB, WEB, OTHER)
    apply(names, db="10.210.224.1", other="10.210.224.9")
    assert answers(names, *asked) == ["10.210.224.1", None, "10.210.224.9"]
    apply(names, db="10.210.224.2", web="10.210.224.3", other="10.210.224.9")
    assert answers(names, *asked) == ["10.210.224.2", "10.210.224.3", "10.210.224.9"]
    apply(names, web="10.210.224.3", other="10.210.224.9")
    assert answers(names, *asked) == [None, "10.210.224.3", "10.210.224.9"]
    apply(names, other="10.210.224.9")
    assert answers(names, *asked) == [None, None, "10.210.224.9"]
    apply(names)
    assert answers(names, *asked) == [None, None, None]


def test_what_did_not_change_is_not_written(names: Names) -> None:
    apply(names, db="10.210.224.1", other="10.210.224.9")
    before = (names.hosts / "shop").stat()
    apply(names, db="10.210.224.1", other="10.210.224.8")
    assert (names.hosts / "shop").stat() == before


def test_a_resolver_finds_it_by_its_search_domain(names: Names) -> None:
    apply(names, db="10.210.224.1")
    assert "10.210.224.1" in by_the_system("db", search=f"shop.{ZONE}")
    assert "10.210.224.1" in by_the_system("db.shop", search=f"blog.{ZONE} {ZONE}")


def test_other_names_are_refused_at_once_where_there_are_no_resolvers(names: Names) -> None:
    with pytest.raises(NamesProblem, match="response code 5"):
        answers(names, "example.com")


def test_other_names_are_asked_of_the_resolvers() -> None:
    with upstream() as server, started(f"nameserver {server}\n") as names:
        assert answers(names, "example.com", f"example.{ZONE}") == ["192.0.2.7", None]


def test_it_is_adopted_and_started_again_when_it_died(names: Names) -> None:
    apply(names, db="10.210.224.1")
    pid = names.process.running()
    asyncio.run(names.ensure())
    assert pid
    assert names.process.running() == pid
    ended = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    select.select([ended], [], [], 10)
    os.close(ended)
    with pytest.raises(ConnectionRefusedError):
        answers(names, DB)
    apply(names, db="10.210.224.1", web="10.210.224.3")
    assert answers(names, DB, WEB) == ["10.210.224.1", "10.210.224.3"]


def test_one_that_hangs_is_found_out(names: Names) -> None:
    pid = names.process.running()
    assert pid
    with stopped(pid), pytest.raises(NamesProblem, match="did not answer within"):
        apply(replace(names, within=0.3), db="10.210.224.1")


def test_one_that_does_not_see_its_files_is_found_out(names: Names) -> None:
    elsewhere = replace(names, folder=names.folder / "elsewhere", within=0.3)
    elsewhere.hosts.mkdir(parents=True)
    with pytest.raises(NamesProblem, match=rf"does not answer {DB} with 10.210.224.1"):
        apply(elsewhere, db="10.210.224.1")


def test_one_that_cannot_listen_says_so(names: Names) -> None:
    second = replace(names, folder=names.folder / "second", address="192.0.2.1", within=0.5)
    with pytest.raises(NamesProblem, match=r"192\.0\.2\.1 cannot be reached"):
        asyncio.run(second.ensure())
    asyncio.run(second.process.stop())


def by_the_system(name: str, *, search: str) -> str:
    """What the C library finds, with a resolv.conf as in an instance."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
        conf.write(f"nameserver {GATEWAY}\nsearch {search}\noptions ndots:2\n")
        conf.flush()
        script = f"mount --bind {conf.name} /etc/resolv.conf && exec getent ahostsv4 {name}"
        return subprocess.run(["unshare", "-m", "sh", "-c", script], check=True, capture_output=True, text=True).stdout


@contextmanager
def upstream() -> Iterator[str]:
    """A resolver of the host's that answers every question with 192.0.2.7."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.53", 53))

        def answer() -> None:
            while (got := server.recvfrom(512))[0] != b"over":
                question, client = got
                record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton("192.0.2.7")
                end = question.index(b"\0", 12) + 5
                server.sendto(question[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question[12:end] + record, client)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield "127.0.0.53"
        finally:
            server.sendto(b"over", ("127.0.0.53", 53))
            thread.join()


def test_a_server_that_is_not_there_is_not_an_answer() -> None:
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(resolve(DB, "127.0.0.99", 1.0))
