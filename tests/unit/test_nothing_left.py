"""A namespace that was refused before it ever was leaves a record without a head, which nobody is shown."""

import asyncio

import pytest

from daemon.looking import Looking
from daemon.records import Namespace
from daemon.wire import Deploy, History, How, OperationRow, Ps, Refused, Status
from tests.fakes.seen import SeenMirror, one_site
from tests.law.cases import shop
from tests.law.world import boot, founded, ignore
from tests.unit.test_looking import silent

NEW = Deploy(shop().manifest.replace('"web:1"', '"web:unknown"'))


async def none_open() -> list[OperationRow]:
    return []


def test_nobody_is_shown_a_namespace_that_was_refused() -> None:
    world = founded()
    world.instances.unknown.add("web:unknown")

    async def whole() -> None:
        operations = boot(world)
        with pytest.raises(Refused) as refused:
            await operations.mutate(NEW, How(), "uid 0", ignore)
        assert refused.value.code == "image.missing"
        assert operations.rows(all=True) == []
        records = await operations.means.store.namespaces()
        assert records == {"shop": Namespace()}
        looking = Looking("m1", SeenMirror(records), one_site())
        assert (await looking.look(Status(), silent)).result["namespaces"] == []
        assert (await looking.look(Ps(), silent)).result["instances"] == []
        for request in (Ps("shop"), History("shop")):
            with pytest.raises(Refused) as missing:
                await looking.look(request, silent)
            assert (missing.value.code, "did you mean" in missing.value.hint) == ("namespace.missing", False)

    asyncio.run(whole())
