"""What `deploy -f` reads: bytes that are UTF-8 and not too many, from a file or from stdin."""

from pathlib import Path

import pytest

from daemon import manifest, wire
from daemon.wire import Success
from tests.fakes.ployzd import answering, daemon, document
from tests.fakes.terminal import ployzctl

DONE = answering(Success("other", {}))
TEXT = 'namespace = "shop"  # ☕\r\n'
LARGEST = 256 * 1024


def test_a_file_and_stdin_are_sent_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_bytes(TEXT.encode())
    with daemon(DONE, DONE) as playing:
        ployzctl("deploy", "-f", str(file), "--socket", playing.socket)
        ployzctl("deploy", "-f", "-", "--socket", playing.socket, input=TEXT.encode())
    assert playing.asked() == [wire.Deploy(TEXT)] * 2


def test_a_preview_is_a_deploy_that_only_tells(tmp_path: Path) -> None:
    with daemon(DONE, DONE) as playing:
        for words in (("deploy", "preview", "-f", "-"), ("deploy", "-f", "-", "--preview")):
            ployzctl(*words, "--socket", playing.socket, input=b"x")
    assert [talk.call for talk in playing.talks] == [wire.Call(wire.Deploy("x"), wire.How(preview=True))] * 2


def test_the_limit_is_the_daemons() -> None:
    assert manifest.LARGEST == LARGEST


def test_what_is_just_small_enough_is_sent() -> None:
    with daemon(DONE) as playing:
        done = ployzctl("deploy", "-f", "-", "--socket", playing.socket, input=b"#" * LARGEST)
    assert (done.code, playing.asked()) == (0, [wire.Deploy("#" * LARGEST)])


@pytest.mark.parametrize(
    ("data", "code", "why"),
    [
        (b"#" * (LARGEST + 1), "manifest.too_large", "it is larger than 256 KiB"),
        (b"name\xff", "manifest.encoding", "it is not UTF-8 (byte 4 is 0xff)"),
    ],
)
def test_what_cannot_be_a_manifest_is_refused_before_anybody_is_asked(data: bytes, code: str, why: str) -> None:
    done = ployzctl("--json", "deploy", "-f", "-", "--socket", "/nonexistent/s", input=data)
    error = document(done.out)["error"]
    assert (done.code, error["code"], error["why"], error["state"]) == (3, code, why, "refused")


@pytest.mark.parametrize(("name", "code"), [("none.toml", "manifest.no_file"), (".", "manifest.unreadable")])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, code: str) -> None:
    done = ployzctl("--json", "deploy", "-f", str(tmp_path / name))
    assert (done.code, document(done.out)["error"]["code"]) == (3, code)


def test_a_refusal_says_that_nothing_was_changed() -> None:
    done = ployzctl("deploy", "-f", "none.toml")
    assert done.error == (
        "ployzctl: cannot deploy none.toml: because there is no such file\n"
        "  try: -f with the path of a manifest, or -f - for stdin\n"
        "Nothing was changed.\n"
    )
