"""How far a step is, for people who wait for it."""

import click
import pytest

from ctl.flags import Rate
from ctl.steps import going
from daemon.wire import Event

MIB = 2**20


def shown(bytes: int | None, total: int | None, seconds: float) -> str:
    return going(Event("op-1", "2020-01-31T13:05:07Z", "doing", "1 copy", bytes=bytes, total=total), seconds)


def test_a_bar_with_how_fast_and_how_long_still() -> None:
    assert shown(25 * MIB, 100 * MIB, 5.0) == "25.0 MiB of 100.0 MiB ███░░░░░░░░░ 5.0 MiB/s, 15 s left"
    assert shown(110 * MIB, 100 * MIB, 10.0) == "110.0 MiB of 100.0 MiB ████████████ 11.0 MiB/s"


def test_what_is_not_known_is_not_shown() -> None:
    assert shown(None, None, 5.0) == ""
    assert shown(MIB, None, 5.0) == "1.0 MiB"
    assert shown(0, MIB, 5.0) == "0 B of 1.0 MiB"
    assert shown(MIB, 2 * MIB, 0.0) == "1.0 MiB of 2.0 MiB"


def test_how_fast_it_may_go_is_bytes_a_second() -> None:
    for said in ("20MiB/s", "20MiB", 20 * MIB):
        assert Rate().convert(said, None, None) == 20 * MIB == 20971520
    for nonsense in ("fast", "0MiB/s", "20MiB/min"):
        with pytest.raises(click.BadParameter):
            Rate().convert(nonsense, None, None)
