"""A manifest with `data = "deploy N"`: code as it says, data as of that point, and never twice by mistake."""

import asyncio

import msgspec
import pytest

from daemon.manifest import parse
from daemon.manifest_data import with_data, without_data
from daemon.primitive import By
from daemon.primitives import deploy
from daemon.wire import Deploy, Refused, Rollback
from tests.law import cases
from tests.law.cases import HOOK, shop
from tests.law.sound import head_of, require_sound
from tests.law.test_keeping import rows
from tests.law.world import ROOT, World, ask, boot, founded


@pytest.fixture
def world() -> World:
    """Three deploys: the first has no row, then each adds one."""
    made = founded()
    for number in (1, 2, 3):
        assert ask(made, shop(db=number), f"op-{number}") == "done"
        made.write_row(f"row {number}")
    return made


def present(world: World) -> set[str]:
    head = head_of(world)
    assert head
    return set(rows(world, f"{ROOT}/shop/data/{head.volumes['data'].generation}"))


def why_refused(world: World, request: Deploy) -> str:

    async def planned() -> None:
        await deploy.plan(request, boot(world).means.engine.node, By("op-x", "me", "now"))

    with pytest.raises(Refused) as refused:
        asyncio.run(planned())
    return refused.value.code


def test_code_as_it_says_and_data_as_of_the_point(world: World) -> None:
    assert ask(world, cases.with_data(shop(db=9), 1), "op-4") == "done"
    head = head_of(world)
    assert head
    assert (present(world), head.services["db"].image, head.restored) == ({"row 1"}, "db:9", 1)
    assert head.manifest == shop(db=9).manifest, "what was asked for once is no part of what is"
    require_sound(world, "with the data of a point")
    assert ask(world, Rollback("shop"), "op-5") == "done"
    assert present(world) == {"row 1", "row 2", "row 3"}


def test_the_same_file_again_keeps_what_was_written_since(world: World) -> None:
    asked = cases.with_data(shop(db=9), 1)
    assert ask(world, asked, "op-4") == "done"
    world.write_row("row 4")
    assert ask(world, asked, "op-5") == "done"
    head = head_of(world)
    assert head
    assert (head.deploy, present(world)) == (4, {"row 1", "row 4"})
    assert why_refused(world, cases.with_data(shop(db=10), 1)) == "deploy.restored"
    assert ask(world, shop(db=10), "op-6") == "done"
    assert why_refused(world, asked) == "deploy.restored"
    assert present(world) == {"row 1", "row 4"}


def test_what_is_no_way_back(world: World) -> None:
    assert why_refused(world, cases.with_data(shop(), 3)) == "deploy.current"
    assert why_refused(world, cases.with_data(shop(), 7)) == "deploy.missing"


def test_hooks_run_where_the_code_is_not_what_the_data_knows(world: World) -> None:
    assert ask(world, shop(db=3, web="2", more=HOOK), "op-4") == "done"
    assert ask(world, cases.with_data(shop(db=3, web="2", more=HOOK), 1), "op-5") == "done"
    head = head_of(world)
    assert head
    content = world.zfs.kept[f"{ROOT}/shop/data/{head.volumes['data'].generation}"].content
    assert content.keys() >= {"row 1", "schema"}, "the hook has brought the old data to what the code knows"
    assert ask(world, cases.with_data(shop(db=2), 2), "op-6") == "done"
    require_sound(world, "with hooks")
    assert present(world) == {"row 1", "row 2"}


@pytest.mark.parametrize(
    "text",
    [
        'namespace = "shop"  # ours\nkeep = 3\n[volumes.data]\n',
        '{"namespace": "shop", "volumes": {"data": {}}}',
        '[services.web]\nimage = "x"\nenv = { data = "deploy 3" }\n[volumes.data]\n[volumes.b]\n',
    ],
)
def test_the_key_comes_and_goes_and_all_else_stays(text: str) -> None:
    text = text if "namespace" in text else 'namespace = "shop"\n' + text
    asked = with_data(text, 3)
    assert parse(asked) == msgspec.structs.replace(parse(text), data=3)
    left = without_data(asked)
    assert parse(left) == parse(text)
    assert left == text or text.startswith("{")
    assert without_data(text) == text


def test_an_odd_way_of_writing_the_key_is_understood_too() -> None:
    odd = 'namespace = "shop"\n"data" = """deploy 3"""\n'
    assert parse(odd).data == 3
    assert parse(without_data(odd)) == parse('namespace = "shop"')
