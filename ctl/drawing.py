"""A word as a picture that a camera reads (ISO/IEC 18004), for the terminal."""

import io

import segno


def drawn(word: str) -> str:
    """The picture, two rows of it in each line; it wants a terminal with light letters on dark, or dark on light."""
    picture = io.StringIO()
    segno.make_qr(word, error="l").terminal(picture, border=2, compact=True)
    return picture.getvalue().rstrip("\n")
