"""Why one machine cannot take what another one perhaps can."""

from collections.abc import Iterator
from contextlib import contextmanager

from daemon import problems
from daemon.wire import Refused
from dataplane.dataset import PoolUnavailable

UNFIT = (
    "address.exhausted",
    "image.missing",
    "machine.unreachable",
    "pool.down",
    "pool.full",
    "secret.sealed",
    "volume.foreign",
)


class Unfit(Exception):
    """A machine that something would go to cannot take it."""

    def __init__(self, machine: str, why: str) -> None:
        self.machine, self.why = machine, why
        super().__init__(machine, why)


@contextmanager
def going_to(machine: str, *, named: bool) -> Iterator[None]:
    """Raises Unfit for what only this machine is refused for, unless somebody has named it: then there is no other."""
    try:
        yield
    except (Refused, PoolUnavailable) as failure:
        if named or problems.code(failure) not in UNFIT:
            raise
        raise Unfit(machine, problems.refused(failure, "").why) from failure
