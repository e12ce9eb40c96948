"""Which versions count, what is listed of them, and what is written down of a request that has one."""

import asyncio

import msgspec
import pytest

from daemon.change import Change
from daemon.changing.secrets import place
from daemon.confidential import written
from daemon.looking import Looking
from daemon.manifest import Manifest, Service, show
from daemon.planning import Wanted, plan_change, secrets
from daemon.primitive import By
from daemon.records import Head, Namespace, Newest, Sealed
from daemon.store import Store
from daemon.wire import Event, OperationRow, Output, Refused, RegistryLogin, SecretLs, SecretSet, Success
from tests.fakes.kv import FakeKv, Late
from tests.fakes.records import CLUSTER, MACHINE, claim, play
from tests.fakes.seen import AT, SeenMirror, alone, one_site
from tests.fakes.vault import FakeVault

SHOP = Manifest("shop", {"web": Service(image="web:1", secrets=("KEY",)), "other": Service(image="other:1")})


def change(record: Namespace, named: dict[str, int] | None = None) -> Change:
    up = frozenset(i.id for s in record.head.services.values() for i in s.instances) if record.head else frozenset()
    wanted = Wanted(SHOP, show(SHOP), {"web": "sha256:1", "other": "sha256:2"}, {}, secrets=named)
    return plan_change(record, wanted, alone(up, {}), By("op-2", "me", "now"))


def with_newest(version: int, head: Head | None = None, *, removed: bool = False) -> Namespace:
    return Namespace(head, secrets={"KEY": Newest(version, removed)})


def test_a_deploy_sees_the_newest_version_and_a_newer_one_is_a_change() -> None:
    first = change(with_newest(1)).after
    assert (first.services["web"].secrets, first.services["other"].secrets) == ({"KEY": 1}, {})
    assert change(with_newest(1, first)).nothing
    second = change(with_newest(2, first))
    assert second.actions == {"web": "replace", "other": "unchanged"}
    assert secrets.of(second.after) == {"KEY": 2}
    [candidate] = second.levels[0].candidates
    assert candidate.secrets == {"KEY": 2}
    assert candidate.specification.env == {"KEY_FILE": "/run/secrets/KEY"}


def test_what_a_deploy_point_names_counts_more_than_the_newest() -> None:
    assert secrets.of(change(with_newest(5), {"KEY": 3}).after) == {"KEY": 3}
    assert secrets.of(change(with_newest(5, removed=True), {"KEY": 3}).after) == {"KEY": 3}


@pytest.mark.parametrize("record", [Namespace(), with_newest(2, removed=True)], ids=["never set", "removed"])
def test_one_that_is_not_set_refuses_the_deploy_by_name(record: Namespace) -> None:
    with pytest.raises(Refused, match="its service web names the secret KEY") as refused:
        change(record)
    assert (refused.value.code, refused.value.hint) == ("secret.missing", "ployzctl secret set shop/KEY")


def test_what_nothing_names_is_neither_newest_nor_of_the_head_nor_of_a_point() -> None:
    heads = {version: change(with_newest(version)).after for version in (2, 4)}
    past = [heads[2]]
    assert secrets.unnamed("KEY", range(1, 7), with_newest(6, heads[4]), past) == [1, 3, 5]
    assert secrets.unnamed("KEY", range(1, 7), with_newest(6, removed=True), past) == [1, 3, 4, 5, 6]
    assert secrets.unnamed("OTHER", [1], with_newest(6, heads[4]), past) == [1]


def carried(record: Namespace, *allowed: str, seen: tuple[str, ...] = ("KEY",)) -> list[tuple[str, int, int]]:
    """What pr-42 gets of shop, where version 3 of KEY runs: name, the version there, and its own."""
    there = Manifest("shop", {"web": Service(image="web:1", secrets=("KEY",), branch_secrets=allowed)})
    branch = Manifest("pr-42", {"web": Service(image="web:2", secrets=seen)})
    found = secrets.carried(change(with_newest(5), {"KEY": 3}).after, there, record, branch, "cannot branch shop")
    return [(one.name, one.there, one.version) for one in found]


def test_a_branch_gets_the_branch_secrets_that_it_sees_in_the_version_that_runs_there() -> None:
    assert carried(Namespace(), "KEY") == [("KEY", 3, 1)]
    assert carried(Namespace(), "KEY", seen=()) == []
    assert carried(with_newest(4, removed=True), "KEY") == [("KEY", 3, 5)]
    assert carried(Namespace(secrets={"KEY": Newest(4, carried=True)}), "KEY") == [("KEY", 3, 5)]


def test_what_somebody_set_for_the_branch_itself_counts_more() -> None:
    assert carried(with_newest(4), "KEY") == []
    assert carried(with_newest(4)) == []


def test_what_a_branch_sees_and_gets_from_nobody_refuses_it_by_name() -> None:
    with pytest.raises(Refused, match="its service web sees KEY, OTHER, which shop does not name") as refused:
        carried(Namespace(), seen=("OTHER", "KEY"))
    assert (refused.value.code, refused.value.hint) == ("secret.missing", "ployzctl secret set pr-42/KEY")
    with pytest.raises(Refused, match="its service web sees OTHER, which"):
        carried(with_newest(1), "KEY", seen=("OTHER", "KEY"))


def test_after_a_boot_an_instance_gets_back_what_it_saw() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        vault = FakeVault()
        await store.found(CLUSTER, MACHINE)
        await store.claim("shop", claim("op-1"))
        for version, value in ((1, b"old"), (2, b"new")):
            await store.keep_version("shop", "KEY", version, Sealed(vault.seal(value), ("key of m1",), "op-1"))
        web, other = (change(with_newest(1)).after.services[name] for name in ("web", "other"))
        await place("shop", web, web.instances[0], store, vault)
        await place("shop", other, other.instances[0], store, vault)
        assert vault.shown == {web.instances[0].id: {"KEY": b"old"}}
        assert vault.by == {web.instances[0].id: "op-2"}

    play(story)


async def nothing_runs() -> list[OperationRow]:
    return []


async def silent(line: Event | Output) -> None:
    raise AssertionError(f"nobody asked for {line}")


def listed(record: Namespace) -> Success:
    mirror = SeenMirror(
        {"shop": record}, sealed={("KEY", 1): Sealed(b"x", (), "op-1", AT, "ann"), ("KEY", 2): Sealed()}
    )
    looking = Looking("m1", mirror, one_site())
    return asyncio.run(looking.look(SecretLs("shop"), silent))


def test_secrets_are_listed_also_before_the_first_deploy() -> None:
    row = {"name": "KEY", "version": 1, "set_at": AT, "by": "ann", "used_by": []}
    assert listed(with_newest(1)).result == {"secrets": [row]}
    assert listed(with_newest(1, change(with_newest(1)).after)).result == {"secrets": [row | {"used_by": ["web"]}]}
    assert listed(with_newest(1, removed=True)).result == {"secrets": []}
    with pytest.raises(Refused, match="there is no namespace shop"):
        listed(Namespace())


@pytest.mark.parametrize("request_", [SecretSet("shop", "KEY", b"hidden"), RegistryLogin("example", "ann", b"hidden")])
def test_a_value_prints_nowhere_and_is_written_down_as_its_fingerprint(request_: SecretSet | RegistryLogin) -> None:
    told = written(request_, lambda value: f"print of {len(value)}")
    assert "print of 6" in str(told)
    assert "hidden" not in f"{told} {request_!r} {request_}"
    assert "aGlkZGVu" not in msgspec.json.encode(told).decode()
