"""One operation under way on this machine: from its claims and its plan to its answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from daemon import problems
from daemon.contention import Contention
from daemon.engine import Engine, unwritable
from daemon.journal import Answer, Heading, Listener, Story, Unwritten, rfc3339, unreadable
from daemon.peers.others import ALONE, Others
from daemon.primitive import By, Primitive
from daemon.records import Claim, Operation, Token
from daemon.store import Store
from daemon.wire import Event, Failure, How, Mutation, Problem, Refused, Run, Stuck, Success, TakenBack, problem
from dataplane.entry import StoreDown

VERSION = "0.1.0"
"""Of the code that plans; in every journal, so that who cannot carry it on can say which version can."""
PLANS = 1
"""How plans are written. It grows when a plan of before cannot be carried on as it was meant: when a field of it means
something else, or when the steps that it stands for have other positions or words."""

log = logging.getLogger("ployzd")


@dataclass(frozen=True)
class Means:
    """What every operation of this machine needs. `folder` holds the journals; `primitives` are by request type.

    `now` tells the time, RFC 3339 UTC; `written` what is written down of a request, or of a plan. `others` are the
    daemons of the other machines.
    """

    folder: Path
    engine: Engine
    store: Store
    primitives: Mapping[str, Primitive]
    now: Callable[[], str] = rfc3339
    written: Callable[[object], dict[str, Any]] = msgspec.to_builtins
    others: Others = ALONE

    @property
    def machine(self) -> str:
        return self.engine.node.machine


Course = Literal["waiting", "going", "aborted", "resumed"]
"""What an operation is about: its task was not scheduled yet, goes its way, or was told to turn back; or it brings to
its ending what was decided before."""


@dataclass
class Undertaking:
    """It has no story until it has its claims and its plan. `request` is what is written down of it."""

    id: str
    request: dict[str, Any]
    who: str
    at: str
    means: Means
    story: Story | None = None
    task: asyncio.Task[Success] | None = None
    listeners: list[Listener] = field(default_factory=list)
    course: Course = "waiting"

    @property
    def primitive(self) -> Primitive:
        return self.means.primitives[self.request["type"]]

    @property
    def abortable(self) -> bool:
        """Whether nothing has decided yet which way it goes."""
        told = self.story and (self.story.has("committing") or self.story.has("failed") or self.story.over)
        return self.course in ("waiting", "going") and not told

    @property
    def is_resumed(self) -> bool:
        """Whether it only brings to its ending what was decided before."""
        return self.course == "resumed"

    def abort(self) -> None:
        """Have it turn back. Only while it is `abortable`: a second time would cut what takes the first one back.

        A task that is cancelled before it was scheduled would not even tell: that one finds out when it sets out.
        """
        going, self.course = self.course == "going", "aborted"
        if self.task and going:
            self.task.cancel()

    def set_out(self) -> None:
        """Its task is scheduled. Raises Refused `operation.aborted` if it was aborted before that."""
        if self.course == "aborted":
            raise problems.refused(asyncio.CancelledError(), self._cannot())
        if self.course == "waiting":
            self.course = "going"

    def hear(self, event: Event) -> None:
        for listener in list(self.listeners):
            listener(event)

    async def carry_out(self, request: Mutation, how: How, contention: Contention) -> Success:
        """Claim, plan, write both down, and go. Raises Refused before anything is changed, TakenBack or Stuck after."""
        wanted = self.primitive.claims(request)
        claim = Claim(self.id, self.means.machine, "change", self.request["type"], self.who, self.at)
        ours: list[str] = []
        try:
            await self._require_new()
            ours = list(wanted)  # until here a claim of this id would be another operation's
            tokens = await contention.take(wanted, claim, how)
            await self.means.engine.decided(list(wanted))  # nothing is planned over what is still being started
            await require_expected(self.means.store, wanted, how)
            plan = await self.primitive.plan(request, self.means.engine.node, By(self.id, self.who, self.at, tokens))
            story = self._begin(dict(wanted), tokens, plan)
        except (Exception, asyncio.CancelledError) as failure:
            await self._let_go(ours)
            if not problems.known(failure):
                raise
            raise problems.refused(failure, self._cannot(wanted)) from failure
        # From here on the claims stay until it is over: its heading is on the disk, and a restart resolves it.
        return await self._conclude(story, self._run(story, plan))

    async def pass_by(self, request: Run, use: Callable[[Any], Awaitable[Any]]) -> Success:
        """Plan, write it down, make what it needs, have it used, and take it back. Raises Refused, TakenBack, Stuck."""
        try:
            plan = await self.primitive.plan(request, self.means.engine.node, By(self.id, self.who, self.at))
        except (Exception, asyncio.CancelledError) as failure:
            if not problems.known(failure):
                raise
            raise problems.refused(failure, self._cannot()) from failure
        return await self._conclude(story := self._begin({}, {}, plan), self._pass_by(story, plan, use))

    def _cannot(self, namespaces: Iterable[str] = ()) -> str:
        return problems.cannot(self.request["type"], problems.names(self.request, namespaces))

    async def _pass_by(self, story: Story, plan: Any, use: Callable[[Any], Awaitable[Any]]) -> Any:
        engine = self.means.engine
        return await self._recorded(story, plan, lambda: engine.pass_by(story, self.primitive, plan, lambda: use(plan)))

    async def _require_new(self) -> None:
        """An id that was used, here before its journal was lost or elsewhere, marks what is not this operation's."""
        if await self.means.store.operation(self.id):
            cannot, why = f"cannot begin operation {self.id}", "there is another one of this id, and no journal of it"
            raise Refused("operation.exists", cannot, why, f"ployzctl op resume {self.id}, or another --op-id")

    async def resume(self, story: Story) -> Success:
        """Bring what was cut short, or is stuck, to its ending."""
        self._tie(story)
        plan = self._understood(story.heading)
        return await self._conclude(story, self.means.engine.resolve(story, self.primitive, plan))

    def _understood(self, heading: Heading) -> Any:
        """The plan as it was meant. Raises Stuck `operation.unreadable` if it was written in another way."""
        if heading.plans != PLANS:
            why = f"it writes plans of format {heading.plans}, and this is ployz {VERSION} with format {PLANS}"
            raise unreadable(self.id, why, heading.version)
        if heading.primitive not in self.means.primitives:
            raise unreadable(self.id, f"this version cannot {heading.primitive}", heading.version)
        try:
            return msgspec.convert(heading.plan, self.primitive.Plan)
        except msgspec.ValidationError as error:
            raise unreadable(self.id, str(error), heading.version) from error

    def _begin(self, claims: dict[str, str], tokens: dict[str, Token], plan: Any) -> Story:
        kept = self.means.written(plan)
        heading = Heading(
            self.id, self.request, kept, claims, tokens, self.who, self.at, VERSION, PLANS, self.means.machine
        )
        story = Story.begin(self.means.folder, heading, self.means.now)
        self._tie(story)
        story.note("planned")
        return story

    def _tie(self, story: Story) -> None:
        self.story = story
        story.listeners.append(self.hear)

    async def _run(self, story: Story, plan: Any) -> Any:
        return await self._recorded(story, plan, lambda: self.means.engine.run(story, self.primitive, plan))

    async def _recorded(self, story: Story, plan: Any, go: Callable[[], Awaitable[Any]]) -> Any:
        """No step runs before the record exists: a claim without a record has done nothing."""
        try:
            await self.means.store.begin(record_of(story, self.means.machine))
        except (StoreDown, Problem, asyncio.CancelledError) as failure:
            return await self.means.engine.resolve(story, self.primitive, plan, failure)
        return await go()

    async def _conclude(self, story: Story, effort: Awaitable[Any]) -> Success:
        try:
            result = await effort
            warnings = list(story.heading.plan.get("warnings", ()))
            answer = Answer(Success(self.primitive.KIND, msgspec.to_builtins(result), self.id, warnings))
        except TakenBack as ending:
            answer = Answer(failure=Failure(ending.error, self.id))
        except Stuck as ending:
            ending.operation = self.id
            raise
        try:
            story.conclude(answer)
        except Unwritten as failure:
            stuck = unwritable(story, f"it is {story.ending.replace('_', ' ')}, but {failure}")
            stuck.operation = self.id
            raise stuck from failure
        await self._end(story)
        return answered(answer)

    async def _end(self, story: Story) -> None:
        """Say that it is over, then free its claims. Of one that was taken over meanwhile, who did so does both."""
        try:
            over = await self.means.store.end(record_of(story, self.means.machine))
        except (StoreDown, Problem) as failure:
            log.warning("%s is over, but its record does not say so yet: %s", self.id, failure)
            return  # as soon as a claim is free somebody else goes on, who must not meet one that takes this one over
        if over:
            await self.means.others.tell_over(self.id)
            await self._let_go(list(story.heading.claims))

    async def _let_go(self, namespaces: list[str]) -> None:
        """Free the claims. If the store is away, whoever meets them next sees that the operation is over."""
        for name in namespaces:
            try:
                await self.means.store.free(name, self.id)
            except (StoreDown, Problem) as failure:
                log.warning("the claim of %s on %s is not freed yet: %s", self.id, name, failure)


async def require_expected(store: Store, claims: Mapping[str, str], how: How) -> None:
    """Refuse if a namespace that changes is not at the deploy that the caller has seen."""
    for name, kind in claims.items():
        if how.expect is None or kind != "change":
            continue
        head = (await store.namespace(name)).head
        if (current := head.deploy if head else 0) != how.expect:
            why = f"deploy {how.expect} was expected, and it is at deploy {current}"
            raise Refused("namespace.changed", f"cannot change {name}", why, f"ployzctl history {name}")


def answered(answer: Answer) -> Success:
    """What was answered once, again. Raises the problem if it was one."""
    if answer.answer:
        return answer.answer
    assert answer.failure
    again = problem(answer.failure.error)
    again.operation = answer.failure.operation
    raise again


def record_of(story: Story, machine: str) -> Operation:
    """The record of an operation: enough for another machine to resolve it; or, once it is over, how it ended."""
    heading = story.heading
    return Operation(
        id=heading.operation,
        primitive=heading.primitive,
        request=heading.request,
        plan=heading.plan,
        claims=heading.claims,
        tokens=heading.tokens,
        machine=machine,
        who=heading.who,
        began_at=heading.at,
        version=heading.version,
        plans=heading.plans,
        planned_on=heading.planned_on,
        term=heading.term,
        ending=story.ending if story.over else "",
        ended_at=story.events[-1].at if story.over else "",
    )


def heading_of(record: Operation) -> Heading:
    """The heading of a journal that was lost."""
    return Heading(
        record.id,
        record.request,
        record.plan,
        record.claims,
        record.tokens,
        record.who,
        record.began_at,
        record.version,
        record.plans,
        record.planned_on,
        record.term,
    )
