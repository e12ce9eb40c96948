"""What `ployzd dev` refuses before it touches anything, and how it says so."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from daemon.dev.cluster import Site
from daemon.dev.folder import ClusterRecord, Folder, MachineRecord
from daemon.dev.main import respond


def _answer(request: str, root: Path) -> tuple[int, dict[str, Any]]:
    out = io.BytesIO()
    code = respond(request.encode(), out, Site(root, ("true",), patience=1))
    return code, json.loads(out.getvalue().splitlines()[-1])


@pytest.mark.parametrize(
    ("request_line", "code"),
    [
        ('{"type":"dev.up","machines":0}', "dev.machines"),
        ('{"type":"dev.up","machines":10}', "dev.machines"),
        ('{"type":"dev.up","driver":"docker"}', "dev.driver"),
        ('{"type":"dev.up","name":"-x"}', "dev.name"),
        ('{"type":"dev.up","name":"../x"}', "dev.name"),
        ('{"type":"dev.down","name":"../x"}', "dev.name"),
        ('{"type":"dev.down","name":"shop"}', "dev.missing"),
        ('{"type":"dev.kill","machine":"m1","name":"../x"}', "dev.name"),
        ('{"type":"dev.kill","machine":"m1"}', "dev.missing"),
        ('{"type":"dev.pause","machine":"m1"}', "dev.missing"),
        ('{"type":"dev.resume","machine":"m1"}', "dev.missing"),
        ('{"type":"dev.part","machines":["m1"]}', "dev.missing"),
        ('{"type":"dev.part","machines":[]}', "request.invalid"),
        ('{"type":"dev.part","machines":["m1"],"loss":0}', "request.invalid"),
        ('{"type":"dev.part","machines":["m1"],"loss":101}', "request.invalid"),
        ('{"type":"dev.heal"}', "dev.missing"),
        ('{"type":"dev.sideways"}', "request.invalid"),
        ('{"type":"dev.up","nam":"shop"}', "request.invalid"),
        ("not json", "request.invalid"),
        ("", "request.invalid"),
    ],
)
def test_refused_and_nothing_is_made(tmp_path: Path, request_line: str, code: str) -> None:
    root = tmp_path / "root"
    exit_code, answer = _answer(request_line, root)
    assert (exit_code, answer["error"]["code"]) == (3, code)
    assert answer["error"]["what"].startswith("cannot ")
    assert not root.exists()


@pytest.mark.parametrize(
    ("request_line", "code"),
    [
        ('{"type":"dev.up","machines":2}', "dev.machines"),
        ('{"type":"dev.kill","machine":"m4"}', "dev.missing"),
        ('{"type":"dev.pause","machine":"m4"}', "dev.missing"),
        ('{"type":"dev.resume","machine":"m4"}', "dev.missing"),
        ('{"type":"dev.part","machines":["m1","m4"]}', "dev.missing"),
        ('{"type":"dev.part","machines":["m1","m2","m1","m3"]}', "dev.part"),
        ('{"type":"dev.part","machines":["m1"]}', "dev.off"),
        ('{"type":"dev.pause","machine":"m1"}', "dev.off"),
        ('{"type":"dev.resume","machine":"m1"}', "dev.off"),
    ],
)
def test_refused_of_three_machines_that_are_off(tmp_path: Path, request_line: str, code: str) -> None:
    record = ClusterRecord("dev", "namespace", tuple(MachineRecord(f"m{at}", 8080 + at) for at in (1, 2, 3)))
    Folder(tmp_path / "dev").write(record)
    exit_code, answer = _answer(request_line, tmp_path)
    assert (exit_code, answer["error"]["code"]) == (3, code)
    assert answer["error"]["try"]
    assert Folder(tmp_path / "dev").read() == record


def test_what_is_off_is_listed_as_off(tmp_path: Path) -> None:
    Folder(tmp_path / "dev").write(ClusterRecord("dev", "namespace", (MachineRecord("m1", 8080),)))
    _, answer = _answer('{"type":"dev.ls"}', tmp_path)
    [cluster] = answer["result"]["clusters"]
    [machine] = cluster["machines"]
    assert (machine["state"], machine["address"], cluster["partings"]) == ("off", "192.168.77.1", [])


def test_where_a_socket_would_not_fit_is_refused(tmp_path: Path) -> None:
    exit_code, answer = _answer('{"type":"dev.up"}', tmp_path / ("long" * 20))
    assert (exit_code, answer["error"]["code"]) == (3, "dev.path")


def test_no_clusters_are_listed_where_there_are_none(tmp_path: Path) -> None:
    exit_code, answer = _answer('{"type":"dev.ls"}', tmp_path / "root")
    assert (exit_code, answer["kind"], answer["result"]) == (0, "clusters", {"clusters": []})


def test_a_folder_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "letters").write_text("mine")
    for request in ('{"type":"dev.up","name":"shop"}', '{"type":"dev.down","name":"shop"}'):
        exit_code, answer = _answer(request, tmp_path)
        assert (exit_code, answer["error"]["code"]) == (3, "dev.foreign")
    assert (tmp_path / "shop" / "letters").read_text() == "mine"
