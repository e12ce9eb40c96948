"""How operations are listed."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from daemon.journal import Story, rfc3339
from daemon.wire import OperationRow, Stuck


def row(story: Story, *, running: bool) -> OperationRow:
    last = story.events[-1] if story.events else None
    return OperationRow(
        id=story.operation,
        primitive=story.heading.primitive,
        state=_state(story, running=running),
        who=story.heading.who,
        began_at=story.heading.at,
        ended_at=last.at if last and story.answer else None,
        namespaces=list(story.heading.claims),
        says=last.step.partition(" ")[2] if last and not story.answer else "",
    )


def unreadable(file: Path, why: Stuck) -> OperationRow:
    """All that can be told of an operation whose journal cannot be read: it began before its file was last written."""
    at = rfc3339(datetime.fromtimestamp(file.stat().st_mtime, UTC))
    return OperationRow(file.stem, "unknown", "stuck", "", at, says=why.why, code=why.code)


def _state(story: Story, *, running: bool) -> Literal["running", "stuck", "done", "taken_back"]:
    if running:
        return "running"
    if not story.answer:
        return "stuck"
    return story.ending
