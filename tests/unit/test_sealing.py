"""What is sealed is sealed for all machines: those that come get it too, and those that left get nothing more."""

import asyncio

import pytest
from msgspec.structs import replace

from daemon.planning.secrets import recipients
from daemon.records import Machine, Registry, Sealed
from daemon.store import Store
from daemon.wire import Deploy, How, MachineRm, Mutation, Problem, RegistryLogin, Run, SecretRotate, SecretSet, Success
from tests.law.world import World, boot, founded, ignore

SET = SecretSet("shop", "KEY", b"a value")
LOGIN = RegistryLogin("registry.example", "ann", b"a password")
SEES = 'namespace = "shop"\n[services.web]\nimage = "web:1"\nsecrets = ["KEY"]\nplace = { machine = "m2" }\n'
ALL = ("key of m1", "key of m2", "key of m3")


def asked(world: World, *requests: Mutation) -> Success:
    for request in requests:
        done = asyncio.run(boot(world).mutate(request, How(), "ann", ignore))
    return done


def failed(world: World, request: Mutation) -> Problem:
    with pytest.raises(Problem) as failure:
        asked(world, request)
    return failure.value


def told(world: World, name: str, recipient: str) -> None:
    """The machine's record says so from now on."""
    asyncio.run(boot(world).means.engine.node.members.amend(name, lambda now: replace(now, recipient=recipient)))


def sealed(world: World) -> tuple[Sealed, Registry]:
    async def read() -> tuple[Sealed, Registry]:
        store = Store(world.kv)
        return (await store.versions("shop", "KEY"))[1], (await store.registry(LOGIN.host))[0]

    return asyncio.run(read())


def test_only_machines_that_stay_and_told_their_keys_are_sealed_for() -> None:
    there = {
        state: Machine(state, state, "", "", "", "", state, recipient=f"key of {state}")
        for state in ("active", "draining", "leaving", "joining")
    }
    there["new"] = Machine("new", "new", "", "", "", "", "joining")
    assert recipients(there) == ("key of active", "key of draining", "key of joining")


def test_what_is_set_opens_on_every_machine() -> None:
    world = founded(machines=3)
    asked(world, SET, LOGIN)
    secret, login = sealed(world)
    assert (secret.recipients, login.recipients) == (ALL, ALL)
    for iron in world.irons():
        assert iron.vault.unseal(secret.ciphertext) == b"a value"
        assert iron.vault.unseal(login.sealed) == b"a password"


def test_a_machine_that_comes_later_sees_it_once_another_one_has_sealed_it_anew() -> None:
    world = founded(machines=3)
    told(world, "m2", "")
    asked(world, SET, LOGIN)
    told(world, "m2", "key of m2")
    refused = failed(world, Deploy(SEES))
    assert (refused.code, refused.state) == ("secret.sealed", "refused")
    assert "m2 cannot open version 1 of the secret shop/KEY" in refused.why
    rotated = asked(world, SecretRotate()).result
    assert rotated["secrets"] == [{"namespace": "shop", "name": "KEY", "versions": [1]}]
    assert (rotated["registries"], rotated["machines"]) == ([LOGIN.host], ["m1", "m2", "m3"])
    assert rotated["closed"] == []
    asked(world, Deploy(SEES))
    assert list(world.sites["m2"].vault.shown.values()) == [{"KEY": b"a value"}]


def test_who_opens_it_seals_it_for_the_machine_that_is_asked() -> None:
    world = founded(machines=3)
    asked(world, SET, LOGIN, Deploy(SEES))
    world.vault.recipient = "another key of m1"
    told(world, "m1", "another key of m1")
    with pytest.raises(Problem) as refused:
        asyncio.run(boot(world).pass_by(Run("shop", "web", ["true"]), "ann", _nobody))
    assert refused.value.code == "secret.sealed"
    asked(world, SecretRotate())
    secret, login = sealed(world)
    assert secret.recipients == ("another key of m1", "key of m2", "key of m3")
    assert (world.vault.unseal(secret.ciphertext), world.vault.unseal(login.sealed)) == (b"a value", b"a password")


def test_a_machine_that_left_opens_nothing_that_is_sealed_since() -> None:
    world = founded(machines=3)
    asked(world, SET, LOGIN, MachineRm("m3"), SecretRotate())
    secret, login = sealed(world)
    assert (secret.recipients, login.recipients) == (ALL[:2], ALL[:2])
    assert b"m3" not in secret.ciphertext + login.sealed


def test_what_no_machine_opens_is_named_and_stays() -> None:
    world = founded(machines=2)
    asked(world, SET, LOGIN)
    before = sealed(world)
    for name in ("m1", "m2"):
        told(world, name, f"another key of {name}")
    assert asked(world, SecretRotate()).result["closed"] == [
        "version 1 of shop/KEY",
        "the password at registry.example",
    ]
    assert sealed(world) == before


def test_what_is_sealed_for_all_is_left_as_it_is() -> None:
    world = founded(machines=2)
    asked(world, SET, LOGIN)
    before = sealed(world)
    done = asked(world, SecretRotate())
    assert (done.result["secrets"], done.result["registries"]) == ([], [])
    assert sealed(world) == before


async def _nobody(_: object) -> None:
    raise AssertionError("nothing is to be run")
