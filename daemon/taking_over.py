"""Carrying on with the operation of a machine that is gone: first nobody listens to that machine any more."""

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import msgspec
from msgspec.structs import replace

from daemon import problems
from daemon.engine import not_ours
from daemon.journal import Answer, Story, Unwritten
from daemon.peers.calls import Part
from daemon.peers.participant import Participant
from daemon.primitives import RELEASES
from daemon.records import Access, Claim, Operation, Token, Turn
from daemon.store import Store
from daemon.undertaking import PLANS, VERSION, Means, answered, heading_of
from daemon.wire import Event, Failure, Refused, Success, TakenBack
from dataplane.entry import StoreDown
from runtime.command import CommandError

log = logging.getLogger("ployzd")


async def taken_over(id: str, means: Means) -> Story:
    """Its story as this machine carries it on: what it did is not known, so its commit is settled first.

    Once this returns whoever carried it out before can change nothing more for it: no record (the claims have new
    revisions), and nothing on a machine that can be reached (each has ended what it did for an earlier term). A machine
    that cannot be reached is told by the first step on it, before it is done; until then the operation is not over,
    and its claims stay. Raises Refused; then it can be taken over again.
    """
    if (before := await means.store.operation(id)) and not before.ending:
        await _released(before, means)
    record = await means.store.take_operation(id, means.machine)
    if not record or record.ending:
        raise Refused("operation.over", f"cannot take {id} over", "it is over", f"ployzctl op show {id}")
    tokens = {name: await _claim_again(name, kind, record, means) for name, kind in sorted(record.claims.items())}
    changing = {name: token for name, token in tokens.items() if record.claims[name] == "change"}
    if missing := await means.others.fence(id, Part(changing, Turn(record.term, 0))):
        log.warning("%s is taken over, and %s cannot be told yet", id, ", ".join(missing))
    why = f"taken over by {means.machine}; this story begins with the record"
    first = Event(id, means.now(), "committing", why=why)
    try:
        return Story.begin(means.folder, heading_of(replace(record, tokens=tokens)), means.now, [first])
    except Unwritten as failure:
        raise problems.refused(failure, f"cannot carry on with {id}") from failure


async def _released(record: Operation, means: Means) -> None:
    """What it keeps closed is open again: nothing can be written down before that, not even that it is taken over."""
    if not (release := RELEASES.get(record.primitive)):
        return
    turn, plan = Turn(record.term + 1, 0), means.primitives[record.primitive].Plan
    try:
        await release(msgspec.convert(record.plan, plan), means.engine.node.during(record.id, {}, turn))
    except (CommandError, StoreDown) as failure:
        raise problems.refused(failure, f"cannot take {record.id} over") from failure


@dataclass(frozen=True)
class Terms:
    """Implements `daemon.engine.Standing`: a later term than the story's is somebody else's."""

    store: Store
    participant: Participant

    def was_told(self, story: Story) -> bool:
        return self.participant.term(story.operation) > story.heading.term

    async def is_ours(self, story: Story) -> bool:
        if self.was_told(story):
            return False
        record = await self.store.operation(story.operation)
        return record is None or record.term == story.heading.term


async def ended_elsewhere(story: Story, means: Means) -> Success:
    """What came of an operation that was taken over from this machine. Its journal here gets that answer too.

    Raises that answer's problem, or Stuck `operation.taken_over` as long as it is not over, or nobody can say what it
    came to.
    """
    stuck = not_ours(story)
    stuck.operation = story.operation
    record = await means.store.operation(story.operation)
    answer = None
    if not record or not record.ending:
        raise stuck
    with suppress(Refused):
        answer = await means.others.answer(record.machine, story.operation)
    if not answer and record.ending == "taken_back":
        why, hint = f"{record.machine} took it over, and has taken it back", f"ployzctl op resume {story.operation}"
        answer = Answer(
            failure=Failure(TakenBack("operation.taken_over", stuck.what, why, hint).error, story.operation)
        )
    if not answer:
        raise stuck
    with suppress(Unwritten):  # whoever asks again finds it out again
        story.conclude(answer)
    return answered(answer)


def never_begun(claim: Claim, means: Means) -> Operation:
    """The record of an operation that had a claim and no record: it is taken back, and never begins."""
    now = means.now()
    return Operation(
        claim.operation,
        claim.primitive,
        {},
        {},
        {},
        {},
        means.machine,
        claim.who,
        claim.since,
        VERSION,
        PLANS,
        term=1,
        ending="taken_back",
        ended_at=now,
    )


async def _claim_again(name: str, kind: str, record: Operation, means: Means) -> Token:
    claim = Claim(record.id, means.machine, cast(Access, kind), record.primitive, record.who, record.began_at)
    token = await means.store.claim(name, claim)
    if isinstance(token, Claim):
        why = f"its claim on {name} is free, and {token.operation} has taken one: it must be over"
        raise Refused("claim.held", f"cannot take {record.id} over", why, f"ployzctl op show {token.operation}")
    return token
