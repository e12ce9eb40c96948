"""Every failure of the world has a code and a sentence; what has none is a bug of ours."""

import asyncio

import pytest

from daemon import problems
from daemon.node import CommitLost
from daemon.problems import CODES, cannot, names
from daemon.wire import Refused
from dataplane.dataset import NoRoom, ZfsProblem
from dataplane.entry import StoreDown
from runtime.instance import EngineUnavailable, NotReady


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (ZfsProblem("busy"), "zfs.failed", "busy"),
        (NoRoom("full"), "pool.full", "full"),
        (StoreDown("no answer"), "store.down", "no answer"),
        (CommitLost("shop"), "commit.lost", "somebody else has changed shop meanwhile"),
        (NotReady("web ended", "the log"), "instance.not_ready", "web ended"),
        (asyncio.CancelledError(), "operation.aborted", "it was aborted"),
        (Refused("name.taken", "cannot take it", "it is taken"), "name.taken", "cannot take it: it is taken"),
        (Refused("name.taken", "cannot take it"), "name.taken", "cannot take it"),
        (ValueError(), "bug", "ValueError"),
    ],
)
def test_what_a_failure_is_called(failure: BaseException, code: str, reason: str) -> None:
    assert problems.code(failure) == code
    assert problems.reason(failure).startswith(reason)
    assert problems.known(failure) == (code != "bug")


def test_a_crash_has_no_failure() -> None:
    assert problems.code(None) == "operation.cut"


def test_kinds_come_before_what_they_are_kinds_of() -> None:
    kinds = [kind for kind, _ in CODES]
    for at, kind in enumerate(kinds):
        hidden = [later for later in kinds[at + 1 :] if issubclass(later, kind)]
        assert not hidden, f"{hidden} would be called {kind}"


def test_refused_says_what_to_try_and_leaves_refusals_as_they_are() -> None:
    refused = problems.refused(EngineUnavailable("no socket"), "cannot deploy shop")
    assert (refused.code, refused.what, refused.why) == ("engine.down", "cannot deploy shop", "no socket")
    assert refused.hint.startswith("start the engine")
    assert problems.refused(refused, "cannot do another thing") is refused


@pytest.mark.parametrize(
    ("primitive", "request_", "claims", "said"),
    [
        ("volume.import", {"namespace": "shop", "volume": "data"}, ["shop"], "cannot import shop/data"),
        ("run", {"namespace": "shop", "service": "web"}, [], "cannot run a command as shop/web"),
        ("namespace.rm", {"namespace": "shop"}, ["shop"], "cannot remove shop"),
        ("machine.lost", {"machine": "m2"}, ["the cluster"], "cannot give up m2"),
        ("mesh.init", {"name": "prod"}, ["the cluster"], "cannot make a mesh for the cluster"),
        ("branch", {"source": "shop", "target": "pr-42"}, ["shop", "pr-42"], "cannot branch shop, pr-42"),
        ("registry.login", {"host": "example.com"}, [], "cannot log in to a registry"),
    ],
)
def test_what_could_not_be_done_is_said_in_words(
    primitive: str, request_: dict[str, str], claims: list[str], said: str
) -> None:
    assert cannot(primitive, names(request_, claims)) == said
