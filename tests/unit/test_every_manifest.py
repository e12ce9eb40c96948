"""Properties of all manifests: what parses is planned or refused, well formed; what is refused changes nothing."""

import asyncio
import copy
import json

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.change import Change
from daemon.engine import placed
from daemon.manifest import Manifest, parse, show
from daemon.planning import Wanted, plan_change
from daemon.primitive import By
from daemon.primitives import deploy
from daemon.records import Head, Namespace, Newest
from daemon.wire import Deploy, How, Problem, Refused, Stuck, TakenBack
from tests.fakes.seen import alone
from tests.law.world import World, boot, founded, ignore, seen
from tests.unit.test_manifest import NAMES, SERVICES, TREES, manifests

BY = By("op-2", "ann", "2026-01-01T00:00:00.000Z")
KINDS = ("address", "service", "hostname", "port")
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
OFTEN = settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
SELDOM = settings(OFTEN, max_examples=25)
TAKEN = st.fixed_dictionaries(
    {
        "address": st.just({}) | st.just({f"10.210.1.{n}": "other" for n in range(2, 250)}),
        "service": st.just({}),
        "hostname": st.dictionaries(st.sampled_from(["a.example.com", "0.example.com"]), NAMES, max_size=1),
        "port": st.dictionaries(st.integers(1, 65535).map(str), NAMES, max_size=2),
    }
)


def planned(manifest: Manifest, before: Head | None, taken: dict[str, dict[str, str]], by: By = BY) -> Change | None:
    """The plan, or None where it is refused. Nothing else may come of it."""
    up = {instance.id for service in (before.services.values() if before else ()) for instance in service.instances}
    digests = {name: f"sha256:{service.image}" for name, service in manifest.services.items()}
    secrets = {name: Newest(1) for service in manifest.services.values() for name in service.secrets}
    record = Namespace(before, last_deploy=before.deploy if before else 0, secrets=secrets)
    try:
        return plan_change(record, Wanted(manifest, show(manifest), digests, manifest.volumes), alone(up, taken), by)
    except Refused as problem:
        refused = problem
    assert refused.code in {"name.taken", "machine.missing", "address.exhausted"}, refused
    return None


def require_well_formed(plan: Change) -> None:
    """It comes back from its journal as it is, and has exactly one commit, or nothing to do."""
    kept = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(plan)))
    assert msgspec.convert(kept, Change) == plan
    world = founded()
    parts = deploy.steps(plan, boot(world).means.engine.node)
    way = placed(parts)  # raises unless there is exactly one commit among them
    keys = [each.key for group in (*way.before, *way.after) for each in group]
    assert (way.commit is None) == (not parts) == plan.nothing
    assert len(keys) == len(set(keys)), "two steps cannot be told apart in the journal"
    assert not any(each.step.undo for group in way.after for each in group), "nothing is undone after the commit"
    world.close()


@OFTEN
@given(manifests(), TAKEN)
def test_what_parses_is_planned_or_refused(manifest: Manifest, taken: dict[str, dict[str, str]]) -> None:
    if plan := planned(parse(show(manifest)), None, taken):
        require_well_formed(plan)


@OFTEN
@given(manifests(), manifests())
def test_any_manifest_follows_any_other(first: Manifest, second: Manifest) -> None:
    nothing: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
    one = planned(first, None, nothing, By("op-1", "ann", "before"))
    if not one:
        return
    again = planned(first, one.after, nothing)
    assert again
    assert again.nothing, "the same again is nothing"
    then = planned(msgspec.structs.replace(second, namespace=first.namespace), one.after, nothing)
    if then:
        require_well_formed(then)


def asked(world: World, request: Deploy) -> Problem | None:
    try:
        asyncio.run(boot(world).mutate(request, How(op_id="op-any"), "ann", ignore))
    except (Refused, TakenBack, Stuck) as problem:
        return problem
    return None


def require_unchanged_if_not_done(request: Deploy) -> None:
    world = founded()
    before = copy.deepcopy(seen(world))
    problem = asked(world, request)
    assert not isinstance(problem, Stuck), problem
    assert not world.holders(), "a claim is left"
    if problem:
        assert seen(world) == before, problem
    world.close()


@SELDOM
@given(manifests())
def test_any_manifest_is_deployed_or_changes_nothing(manifest: Manifest) -> None:
    services = {
        name: msgspec.structs.replace(each, replicas=min(each.replicas, 3), place=None, secrets=(), branch_secrets=())
        for name, each in manifest.services.items()
    }
    require_unchanged_if_not_done(Deploy(show(msgspec.structs.replace(manifest, services=services))))


LIKELY = st.fixed_dictionaries({"namespace": st.just("shop"), "services": SERVICES})


@SELDOM
@given(st.text() | (TREES | LIKELY).map(json.dumps))
def test_any_text_changes_nothing_unless_it_is_deployed(text: str) -> None:
    require_unchanged_if_not_done(Deploy(text))
