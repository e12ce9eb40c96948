"""A plan, shown: each step's words, where the commit is, and who is down from when on."""

from collections.abc import Iterator, Sequence

from daemon.primitive import Commit, Part, Step, Together
from daemon.wire import Foreseen, Preview, PreviewStep

NOTHING = Foreseen()


def preview(primitive: str, parts: Sequence[Part], machine: str, more: Foreseen = NOTHING) -> Preview:
    """What a mutation would do. Nothing was claimed, reserved or changed for it."""
    flat = list(_flat(parts))
    commit = next((at for at, step in enumerate(flat) if isinstance(step, Commit)), len(flat))
    steps = [_shown(step, machine) for step in flat]
    return Preview(primitive, steps, commit, list(more.moves), list(more.images), more.downtime_s)


def _flat(parts: Sequence[Part]) -> Iterator[Step | Commit]:
    for part in parts:
        if isinstance(part, Together):
            yield from part.steps
        else:
            yield part


def _shown(step: Step | Commit, machine: str) -> PreviewStep:
    if isinstance(step, Commit):
        return PreviewStep(step.says, machine)
    return PreviewStep(step.says, step.machine or machine, step.bytes, list(step.downtime))
