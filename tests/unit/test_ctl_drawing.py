"""What a camera would read in the picture of a token is looked at without one: by its blocks."""

from ctl.drawing import drawn

LIGHT = "\u2588\u2580\u2584 \u00a0"


def test_a_token_is_a_square_of_blocks() -> None:
    picture = drawn("ployz-1-" + "A" * 300)
    assert drawn("ployz-1-" + "A" * 299 + "B") != picture
    lines = picture.splitlines()
    assert len({len(line) for line in lines}) == 1, "as wide everywhere"
    assert abs(len(lines) * 2 - len(lines[0])) <= 1, "as high as wide: two rows in each line"
    assert set("".join(lines)) <= set(LIGHT)
