"""The daemon's door, over a real socket, mostly as curl finds it."""

import asyncio
import base64
import json
import logging
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon.listening import listen
from daemon.server import Server
from daemon.wire import VERSION, Call, Deploy, How, Input, Logs, OpAbort, OpLs, Ps, TakenBack, encode
from runtime.command import CommandFailed, run
from tests.fakes.answers import Answering, stuck

NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can ask as somebody else")


@asynccontextmanager
async def serving(answers: Answering, viewers: frozenset[int] = frozenset()) -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="p") as folder:  # a socket's path has at most 107 bytes
        Path(folder).chmod(0o755)
        server = Server(answers, viewers)
        await server.start(Path(folder) / "s")
        try:
            yield Path(folder) / "s"
        finally:
            await server.close()


def scenario(test: Callable[[Answering, Path], Awaitable[None]], viewers: frozenset[int] = frozenset()) -> None:
    async def story() -> None:
        answers = Answering()
        async with asyncio.timeout(20), serving(answers, viewers) as path:
            await test(answers, path)

    asyncio.run(story())


async def curl(path: Path, what: str, *more: str, input: str = "", before: tuple[str, ...] = ()) -> list[Any]:
    said = await run(*before, "curl", "-sS", "--unix-socket", path, *more, f"http://d{what}", input=input, within=10)
    return [json.loads(line) for line in said.splitlines()]


async def posted(path: Path, body: bytes, *more: str) -> list[Any]:
    return await curl(path, "/v1/call", "--data-binary", "@-", *more, input=body.decode())


def call(request: Any, **how: Any) -> bytes:
    return encode(Call(request, How(**how)))


def test_a_look_by_its_path_with_a_query() -> None:
    async def test(answers: Answering, path: Path) -> None:
        first, last = await curl(path, "/v1/ps?namespace=shop")
        assert base64.b64decode(first["data"]) == b"first\n"
        assert (last["ok"], last["kind"], last["result"]) == (True, "looked", {"namespace": "shop"})
        await curl(path, "/v1/op.ls?all=true")
        await curl(path, "/v1/logs?namespace=shop&service=web&tail=3")
        assert answers.asked == [(Ps("shop"),), (OpLs(all=True),), (Logs("shop", "web", tail=3),)]

    scenario(test)


def test_a_mutation_with_its_events() -> None:
    async def test(answers: Answering, path: Path) -> None:
        doing, done, last = await posted(path, call(Deploy("text"), op_id="op-1"))
        assert (doing["kind"], done["kind"], last["kind"]) == ("doing", "done", "deployed")
        assert last["operation"] == "op-1"
        [(request, how, who)] = answers.asked
        assert (request, how) == (Deploy("text"), How(op_id="op-1"))
        assert (who.uid, who.may_change) == (os.getuid(), True)  # type: ignore[attr-defined]

    scenario(test)


def test_resume_and_abort_are_changes_too() -> None:
    async def test(answers: Answering, path: Path) -> None:
        *_, last = await posted(path, call(OpAbort("op-1")))
        assert last["ok"]
        assert answers.asked[0][0] == OpAbort("op-1")

    scenario(test)


def test_an_answer_says_its_type_and_version() -> None:
    async def test(answers: Answering, path: Path) -> None:
        said = await run("curl", "-sSi", "--unix-socket", path, "http://d/v1/version")
        head = said.partition("\r\n\r\n")[0].lower()
        assert head.startswith("http/1.1 200")
        assert f"ployz-version: {VERSION}" in head
        assert "content-type: application/x-ndjson" in head

    scenario(test)


@pytest.mark.parametrize(
    ("body", "code", "why"),
    [
        ("", "request.invalid", "it is not JSON"),
        ("{", "request.invalid", "it is not JSON"),
        ("[]", "request.invalid", "Expected `object`"),
        ('{"request":{"type":"shout"}}', "request.invalid", "$.request.type"),
        ('{"request":{"type":"ps","namespace":1}}', "request.invalid", "$.request.namespace"),
        ('{"request":{"type":"ps","color":1}}', "request.invalid", "color"),
        ('{"request":{"type":"ps"}}\n{"end":true}', "request.invalid", "something follows"),
        ('{"request":{"type":"sing"},"version":2,"more":1}', "version.mismatch", "version 2"),
        ('{"request":"' + "x" * 1_100_000, "request.too_large", "1048576"),
    ],
)
def test_what_is_no_call_is_refused(body: str, code: str, why: str) -> None:
    async def test(answers: Answering, path: Path) -> None:
        [last] = await posted(path, body.encode())
        assert (last["ok"], last["error"]["code"], last["error"]["state"]) == (False, code, "refused")
        assert why in last["error"]["why"]
        assert not answers.asked

    scenario(test)


@pytest.mark.parametrize(
    ("what", "status", "code", "hint"),
    [
        ("/", 404, "request.unknown", "GET /v1/status"),
        ("/v2/status", 404, "request.unknown", "GET /v1/status"),
        ("/v1/staus", 404, "request.unknown", "GET /v1/status"),
        ("/v1/exec", 404, "request.unknown", ""),
        ("/v1/call", 404, "request.unknown", ""),
        ("/v1/history", 400, "request.invalid", ""),
        ("/v1/logs?namespace=a&service=b&tail=many", 400, "request.invalid", ""),
        ("/v1/ps?name=shop", 400, "request.invalid", ""),
    ],
)
def test_an_unknown_path_is_answered_in_the_same_way(what: str, status: int, code: str, hint: str) -> None:
    async def test(answers: Answering, path: Path) -> None:
        last, told = await curl(path, what, "-w", "%{http_code}")
        assert (told, last["error"]["code"]) == (status, code)
        assert hint in last["error"]["try"]
        assert not answers.asked

    scenario(test)


def test_json_may_have_several_lines() -> None:
    async def test(answers: Answering, path: Path) -> None:
        await posted(path, b'{\n "request": {"type": "ps"}\n}\n')
        await posted(path, b'{"request": {"type": "ps"}}\n\n')
        assert answers.asked == [(Ps(),), (Ps(),)]

    scenario(test)


@pytest.mark.parametrize(
    ("raised", "state", "operation"),
    [(TakenBack("x.y", "cannot x", "of y"), "taken_back", "op-mine"), (stuck("op-its"), "error", "op-its")],
)
def test_another_ending_is_a_failure_that_names_the_operation(raised: Exception, state: str, operation: str) -> None:
    async def test(answers: Answering, path: Path) -> None:
        answers.raises = raised
        *_, last = await posted(path, call(Deploy(""), op_id="op-mine"))
        assert (last["error"]["state"], last["error"]["what"], last["operation"]) == (state, "cannot x", operation)

    scenario(test)


@pytest.mark.parametrize("way", ["/v1/call", "/v1/status"])
def test_a_bug_is_told_in_short_and_logged_in_full(caplog: pytest.LogCaptureFixture, way: str) -> None:
    async def test(answers: Answering, path: Path) -> None:
        answers.raises = ZeroDivisionError("a secret place")
        lines = await (posted(path, call(Deploy(""))) if way == "/v1/call" else curl(path, way))
        assert lines[-1]["error"]["code"] == "bug"
        assert lines[-1]["error"]["state"] == "error"
        assert "ZeroDivisionError" in lines[-1]["error"]["why"]
        assert "Traceback" not in json.dumps(lines)

    with caplog.at_level(logging.ERROR):
        scenario(test)
    assert "_come_to_an_end" in caplog.text


def test_a_result_that_cannot_be_written_is_a_bug() -> None:
    async def test(answers: Answering, path: Path) -> None:
        answers.result = {"namespace": object()}
        *_, last = await posted(path, call(Deploy("")))
        assert last["error"]["code"] == "bug"

    scenario(test)


def test_a_change_that_is_cancelled_with_the_daemon_has_an_ending_too() -> None:
    async def test(answers: Answering, path: Path) -> None:
        answers.raises = asyncio.CancelledError()
        *_, last = await posted(path, call(Deploy("")))
        assert last["error"]["code"] == "daemon.stopping"

    scenario(test)


# ---------------------------------------------------------------------------------------- who may, who may not


@as_root
def test_a_viewer_may_look_and_nothing_else() -> None:
    async def test(answers: Answering, path: Path) -> None:
        as_nobody = ("setpriv", f"--reuid={NOBODY}", "--regid=0", "--clear-groups")
        assert (await curl(path, "/v1/status", before=as_nobody))[-1]["ok"]
        for request in ('{"type":"deploy","manifest":""}', '{"type":"op.resume","id":"op-1"}', EXEC):
            body = f'{{"request":{request}}}'
            last, status = await curl(
                path, "/v1/call", "--data-binary", "@-", "-w", "%{http_code}", input=body, before=as_nobody
            )
            assert (status, last["error"]["code"], last["error"]["state"]) == (403, "caller.viewer", "refused")
        assert len(answers.asked) == 1

    scenario(test, frozenset({NOBODY}))


EXEC = '{"type":"exec","namespace":"shop","service":"web","argv":["sh"]}'


@as_root
def test_whoever_may_connect_and_is_no_viewer_may_change() -> None:
    async def test(answers: Answering, path: Path) -> None:
        body = call(Deploy("")).decode()
        member = ("setpriv", f"--reuid={NOBODY}", "--regid=0", "--clear-groups")
        *_, last = await curl(path, "/v1/call", "--data-binary", "@-", input=body, before=member)
        assert last["ok"]
        assert answers.asked[0][2].uid == NOBODY  # type: ignore[attr-defined]

    scenario(test)


@as_root
def test_a_stranger_cannot_even_connect() -> None:
    async def test(answers: Answering, path: Path) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with pytest.raises(CommandFailed) as failed:
            await curl(path, "/v1/status", before=("setpriv", f"--reuid={NOBODY}", "--regid=65534", "--clear-groups"))
        assert failed.value.code == 7

    scenario(test)


# ------------------------------------------------------------------------------------------------- the socket


def test_a_socket_that_a_dead_daemon_left_is_replaced() -> None:
    async def story() -> None:
        with tempfile.TemporaryDirectory(prefix="p") as folder:
            path = Path(folder) / "s"
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(path))
            server = Server(Answering())
            await server.start(path)
            assert (await curl(path, "/v1/status"))[-1]["ok"]
            await server.close()
            assert list(Path(folder).iterdir()) == []

    asyncio.run(story())


def test_a_living_daemon_is_not_replaced() -> None:
    async def test(answers: Answering, path: Path) -> None:
        with pytest.raises(Exception, match="something answers there") as refused:
            await Server(Answering()).start(path)
        assert refused.value.code == "daemon.running"  # type: ignore[attr-defined]
        assert (await curl(path, "/v1/status"))[-1]["ok"]

    scenario(test)


def test_what_is_no_socket_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(Exception, match="no socket"):
        asyncio.run(Server(Answering()).start(path))
    assert path.read_text() == "precious"


def test_the_folder_that_the_socket_is_in_is_made(tmp_path: Path) -> None:
    with listen(tmp_path / "run" / "s"):
        assert (tmp_path / "run" / "s").is_socket()


def test_a_place_that_cannot_be_listened_on(tmp_path: Path) -> None:
    for path in (tmp_path / "all/missing/s", tmp_path / ("s" * 120)):
        with pytest.raises(Exception, match="cannot listen") as refused:
            asyncio.run(Server(Answering()).start(path))
        assert refused.value.code == "daemon.socket"  # type: ignore[attr-defined]


def test_closing_leaves_the_socket_of_whoever_came_after() -> None:
    async def story() -> None:
        with tempfile.TemporaryDirectory(prefix="p") as folder:
            path = Path(folder) / "s"
            first, second = Server(Answering()), Server(Answering())
            await first.start(path)
            path.unlink()
            await second.start(path)
            await first.close()
            assert (await curl(path, "/v1/status"))[-1]["ok"]
            await second.close()

    asyncio.run(story())


# ---------------------------------------------------------------------------------- who goes away, who stays on


async def connected(path: Path, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(path)
    head = f"POST /v1/call HTTP/1.1\r\nHost: d\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    return reader, writer


def test_a_change_goes_on_without_its_client() -> None:
    async def test(answers: Answering, path: Path) -> None:
        answers.may_end.clear()
        reader, writer = await connected(path, call(Deploy("")))
        await answers.began.wait()
        assert b"200 OK" in await reader.readline()
        writer.transport.abort()
        assert (await curl(path, "/v1/nothing"))[-1]["ok"] is False  # the door has seen it by now
        assert not answers.ended.is_set()
        answers.may_end.set()
        await answers.ended.wait()

    scenario(test)


def test_a_look_ends_with_its_client() -> None:
    async def test(answers: Answering, path: Path) -> None:
        answers.may_end.clear()
        _, writer = await connected(path, call(Logs("shop", "web", follow=True)))
        await answers.began.wait()
        assert not answers.ended.is_set()
        writer.close()
        await writer.wait_closed()
        await answers.ended.wait()

    scenario(test)


def chunk(line: bytes) -> bytes:
    return f"{len(line):x}\r\n".encode() + line + b"\r\n"


def test_a_command_is_answered_while_it_is_asked() -> None:
    async def test(answers: Answering, path: Path) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"POST /v1/call HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(chunk(f'{{"request":{EXEC}}}\n'.encode()))
        for word in (b"one", b"two"):
            writer.write(chunk(encode(Input(word))))
            line = (await reader.readuntil(b"}\n")).splitlines()[-1]
            assert base64.b64decode(json.loads(line)["data"]) == word.upper()
        writer.write(chunk(encode(Input(end=True))))
        rest = await reader.readuntil(b'"ok":true}\n')
        assert json.loads(rest.splitlines()[-1])["result"] == {"code": 3}
        writer.close()

    scenario(test)


def test_a_command_without_more_input_than_its_call() -> None:
    async def test(answers: Answering, path: Path) -> None:
        [last] = await posted(path, f'{{"request":{EXEC}}}'.encode())
        assert last["result"] == {"code": 0}

    scenario(test)


def test_an_input_that_is_none_is_refused() -> None:
    async def test(answers: Answering, path: Path) -> None:
        [last] = await posted(path, f'{{"request":{EXEC}}}\n{{"data":1}}\n'.encode())
        assert last["error"]["code"] == "request.invalid"

    scenario(test)


def test_what_a_command_reads_may_be_larger_than_a_call() -> None:
    async def test(answers: Answering, path: Path) -> None:
        lines = encode(Input(b"x" * 500_000)) * 5
        *outputs, last = await posted(path, f'{{"request":{EXEC}}}\n'.encode() + lines)
        assert (len(outputs), last["ok"]) == (5, True)

    scenario(test)
