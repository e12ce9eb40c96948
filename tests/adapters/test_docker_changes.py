"""What runs is told when it changes, and whose it is not is not told."""

import asyncio
import os
import signal
from contextlib import aclosing

from tests.adapters.engines import FOREVER, IMAGE, real_engine, specification


def test_what_starts_and_dies_is_told_and_a_stranger_is_not() -> None:
    async def whole() -> None:
        with_id = specification(digest, id="one")
        async with asyncio.timeout(60), aclosing(engine.running()) as told:
            assert await anext(told) == frozenset()
            real.raw.start(real.raw.create_container(IMAGE, list(FOREVER), name="stranger"))
            await engine.create(with_id, "op-1")
            await engine.start("one")
            assert await anext(told) == {"one"}
            found = await engine.look("one")
            assert found
            assert found.pid
            os.kill(found.pid, signal.SIGKILL)
            while await anext(told) != {"one"}:
                pass  # until the engine has started it again
            await engine.remove("one")
            while await anext(told):
                pass

    with real_engine() as real:
        engine = real.instances
        digest = asyncio.run(engine.resolve(IMAGE))
        asyncio.run(whole())
