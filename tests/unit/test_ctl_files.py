"""What `deploy` sends of the files that a manifest names."""

import json
from pathlib import Path

import pytest

from ctl import files as reading
from daemon import manifest_fields, wire
from daemon.wire import Success
from tests.fakes.ployzd import answering, daemon, document
from tests.fakes.terminal import HOUSE, ployzctl

DONE = answering(Success("other", {}))


def naming(**files: str) -> str:
    return json.dumps({"namespace": "shop", "services": {"web": {"image": "web", "files": files}}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "a.conf").write_bytes(b"one\xff")
    (tmp_path / "conf/b.conf").write_text("two")
    return tmp_path


def test_files_are_read_beside_the_manifest_and_sent_as_they_are(folder: Path) -> None:
    text = naming(one="a.conf", two="./conf/b.conf", three=str(folder / "a.conf"))
    (folder / "shop.json").write_text(text)
    with daemon(DONE) as playing:
        done = ployzctl("deploy", "-f", str(folder / "shop.json"), "--socket", playing.socket)
    sent = {"a.conf": b"one\xff", "./conf/b.conf": b"two", str(folder / "a.conf"): b"one\xff"}
    assert (done.code, playing.asked()) == (0, [wire.Deploy(text, sent)])


def test_with_a_manifest_from_stdin_they_are_read_where_one_is() -> None:
    text = naming(one="README.md")
    with daemon(DONE) as playing:
        ployzctl("deploy", "-f", "-", "--socket", playing.socket, input=text.encode())
    assert playing.asked() == [wire.Deploy(text, {"README.md": (HOUSE / "README.md").read_bytes()})]


def test_what_the_manifest_itself_contains_is_not_read(folder: Path) -> None:
    tree = json.loads(naming(one="nowhere")) | {"files": {"nowhere": "here"}}
    assert reading.files(json.dumps(tree), folder) == {}


@pytest.mark.parametrize("text", ["files", "files = {", '{"files', '{"services": {"web": {"files": 3}}, "files": []}'])
def test_what_is_no_manifest_names_no_files(text: str, folder: Path) -> None:
    assert reading.files(text, folder) == {}


def test_all_that_is_wrong_is_told_at_once_and_nobody_is_asked(folder: Path) -> None:
    (folder / "large").write_bytes(b"x" * (reading.LARGEST + 1))
    text = naming(**{"/a": str(folder / "none"), "/b": str(folder / "large"), "/c": str(folder / "conf")})
    done = ployzctl("--json", "deploy", "-f", "-", "--socket", "/nonexistent/s", input=text.encode())
    error = document(done.out)["error"]
    assert (done.code, error["code"], error["state"]) == (3, "file.missing", "refused")
    assert error["why"].splitlines() == [
        f'services.web.files."/a": there is no file {folder}/none',
        f'services.web.files."/b": {folder}/large is larger than 64 KiB',
        f'services.web.files."/c": {folder}/conf cannot be read: Is a directory',
    ]


@pytest.mark.parametrize(("name", "code"), [("large", "file.too_large"), ("conf", "file.unreadable")])
def test_each_has_a_code_of_its_own(name: str, code: str, folder: Path) -> None:
    (folder / "large").write_bytes(b"x" * (reading.LARGEST + 1))
    done = ployzctl("--json", "deploy", "-f", "-", input=naming(x=str(folder / name)).encode())
    assert document(done.out)["error"]["code"] == code


def test_the_limit_is_the_daemons() -> None:
    assert manifest_fields.LARGEST_FILE == reading.LARGEST
