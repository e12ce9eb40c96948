"""Which versions count, what is listed of them, and what is written down of a request that has one."""

import asyncio

import msgspec
import pytest

from daemon.change import Change
from daemon.changing.secrets import place
from daemon.confidential import written
from daemon.looking import Looking
from daemon.manifest import Manifest, Service, show
from daemon.planning import Seen, Wanted, plan_change, secrets
from daemon.primitive import By
from daemon.records import DeployPoint, Head, Namespace, Newest, Sealed
from daemon.store import Store
from daemon.wire import Event, OperationRow, Output, Refused, RegistryLogin, SecretLs, SecretSet, Success
from tests.fakes.kv import FakeKv, Late
from tests.fakes.records import play
from tests.fakes.seen import AT, SeenEngine, SeenMirror, SeenPool
from tests.fakes.vault import FakeVault

SHOP = Manifest("shop", {"web": Service(image="web:1", secrets=("KEY",)), "other": Service(image="other:1")})


def change(record: Namespace, named: dict[str, int] | None = None) -> Change:
    up = frozenset(i.id for s in record.head.services.values() for i in s.instances) if record.head else frozenset()
    none: dict[str, dict[str, str]] = {"address": {}, "service": {}, "hostname": {}, "port": {}}
    seen = Seen("m1", "tank", "10.210.1.0/24", "10.210.224.0/19", up, none)
    wanted = Wanted(SHOP, show(SHOP), {"web": "sha256:1", "other": "sha256:2"}, {}, secrets=named)
    return plan_change(record, wanted, seen, By("op-2", "me", "now"))


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
    point = DeployPoint(heads[2], (), "op-3", AT)
    assert secrets.unnamed("KEY", range(1, 7), with_newest(6, heads[4]), [point]) == [1, 3, 5]
    assert secrets.unnamed("KEY", range(1, 7), with_newest(6, removed=True), [point]) == [1, 3, 4, 5, 6]
    assert secrets.unnamed("OTHER", [1], with_newest(6, heads[4]), [point]) == [1]


def test_after_a_boot_an_instance_gets_back_what_it_saw() -> None:
    async def story(store: Store, kv: FakeKv, late: Late) -> None:
        vault = FakeVault()
        for version, value in ((1, b"old"), (2, b"new")):
            await store.keep_version("shop", "KEY", version, Sealed(vault.seal(value)))
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
    mirror = SeenMirror({"shop": record}, sealed={("KEY", 1): Sealed(b"x", "op-1", AT, "ann"), ("KEY", 2): Sealed()})
    looking = Looking("m1", mirror, SeenEngine(), SeenPool(), nothing_runs)
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
