"""A token is the whole letter, or none."""

import pytest
from msgspec import structs

from daemon.letters import Letter, read, token
from daemon.wire import Refused

LETTER = Letter(
    "i1",
    "net",
    "c1",
    "10.210.0.0/16",
    "h:51820",
    "K" * 43 + "=",
    "10.210.1.1",
    "S" * 43 + "=",
    "10.210.223.2",
    "2026",
    None,
)


@pytest.mark.parametrize("letter", [LETTER, structs.replace(LETTER, name="m2")])
def test_what_is_read_is_what_was_written(letter: Letter) -> None:
    assert read(f" {token(letter)}\n") == letter


@pytest.mark.parametrize("length", [0, 1, 9, 40, -1])
def test_a_part_of_a_token_is_refused(length: int) -> None:
    with pytest.raises(Refused) as caught:
        read(token(LETTER)[:length])
    assert caught.value.code == "join.token"


@pytest.mark.parametrize("text", ["", "shop", "ployz-1-!!!", "ployz-2-" + token(LETTER)[8:], token(LETTER) + "A", "ü"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(Refused) as caught:
        read(text)
    assert caught.value.code == "join.token"
