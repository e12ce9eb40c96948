"""What a camera would read in the picture of a token is looked at without one: by its blocks."""

from msgspec import to_builtins

from ctl.drawing import drawn
from daemon.wire import Invited, Preview, Success
from tests.fakes.ployzd import answering, daemon, document
from tests.fakes.terminal import ployzctl

LIGHT = "\u2588\u2580\u2584 \u00a0"
TOKEN = "ployz-1-" + "A" * 300
INVITED = Invited("op-1", "m2", "10.210.2.0/24", "10.210.223.2", "h:1", "key", "2026-01-01T00:10:00Z", TOKEN)


def test_a_token_is_a_square_of_blocks() -> None:
    picture = drawn(TOKEN)
    assert drawn("ployz-1-" + "A" * 299 + "B") != picture
    lines = picture.splitlines()
    assert len({len(line) for line in lines}) == 1, "as wide everywhere"
    assert abs(len(lines) * 2 - len(lines[0])) <= 1, "as high as wide: two rows in each line"
    assert set("".join(lines)) <= set(LIGHT)


def test_an_invitation_is_drawn_for_who_asks_for_it_above_the_words_and_never_for_a_program() -> None:
    invited = answering(Success("invitation", to_builtins(INVITED), "op-1"))
    preview = answering(Success("preview", to_builtins(Preview("machine.invite", [], 0))))
    with daemon(invited, invited, invited, preview) as ployzd:
        asked = ("--socket", ployzd.socket, "machine", "invite", "--name", "m2")
        plain, pictured = ployzctl(*asked).out, ployzctl(*asked, "--qr").out
        told = document(ployzctl("--json", *asked, "--qr").out)
        planned = ployzctl(*asked, "--qr", "--preview")
    assert f"ployzctl join {TOKEN}" in plain
    assert pictured == f"{drawn(TOKEN)}\n{plain}"
    assert told["result"]["token"] == TOKEN
    assert (planned.code, "\u2588" in planned.out) == (0, False)
