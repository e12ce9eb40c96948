"""Durations and sizes: what people write, and what is written for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon import units


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("500ms", 0.5), ("2m", 120), ("1h", 3600), ("1.5h", 5400), (3, 3), (0.25, 0.25)]
)
def test_durations(text: str | float, seconds: float) -> None:
    assert units.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "1 s", "-1s", "1d", "9999h", -1, float("nan"), float("inf"), 10**400])
def test_no_durations(text: object) -> None:
    with pytest.raises(ValueError, match="should be a duration"):
        units.seconds(text)


@pytest.mark.parametrize(
    ("text", "size"), [("10GiB", 10 * 2**30), ("128MiB", 2**27), ("1.5 KiB", 1536), ("7", 7), ("7B", 7), (9, 9)]
)
def test_sizes(text: str | int, size: int) -> None:
    assert units.size(text) == size


@pytest.mark.parametrize("text", ["", "0", "10GB", "ten", "9999999TiB", 0, -1, 2**61, "0.0001KiB", "\u0661KiB"])
def test_no_sizes(text: object) -> None:
    with pytest.raises(ValueError, match="should be a size"):
        units.size(text)


@pytest.mark.parametrize("raw", [None, True, [], {}])
def test_neither(raw: object) -> None:
    with pytest.raises(TypeError, match="should be a duration"):
        units.seconds(raw)
    with pytest.raises(TypeError, match="should be a size"):
        units.size(raw)


@given(st.floats(0, units.LONGEST))
def test_a_written_duration_reads_the_same(seconds: float) -> None:
    assert units.seconds(units.write_seconds(seconds)) == seconds


@given(st.integers(1, units.LARGEST))
def test_a_written_size_reads_the_same(size: int) -> None:
    assert units.size(units.write_size(size)) == size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (31_625_216, "30.2 MiB"),
        (2**34, "16.0 GiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_a_size_in_a_sentence(size: int, text: str) -> None:
    assert units.rounded(size) == text
