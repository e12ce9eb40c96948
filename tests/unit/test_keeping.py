"""What ends is started again, also where a start fails, and what lives is left alone."""

import asyncio
import os
import signal

from daemon.keeping import Kept, keep
from runtime.command import CommandMissing


class Sleeper:
    """A real process. The starts whose numbers are in `fails` fail."""

    def __init__(self, *fails: int) -> None:
        self.fails, self.starts = fails, 0
        self.process: asyncio.subprocess.Process | None = None
        self.up = asyncio.Event()

    async def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.returncode is None else None

    async def ensure(self) -> None:
        self.starts += 1
        if self.starts in self.fails:
            raise CommandMissing("sleeper")
        self.process = await asyncio.create_subprocess_exec("sleep", "1000")
        self.up.set()

    async def kill(self) -> None:
        assert self.process
        self.up.clear()
        os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()


def test_what_ends_is_started_again_also_after_a_start_that_failed() -> None:
    async def whole() -> None:
        sleeper = Sleeper(2)
        await sleeper.ensure()
        keeping = asyncio.create_task(keep(Kept("sleeper", sleeper.pid, sleeper.ensure)))
        await asyncio.sleep(0)
        assert sleeper.starts == 1
        async with asyncio.timeout(20):
            await sleeper.kill()
            await sleeper.up.wait()
        assert sleeper.starts == 3
        keeping.cancel()
        await sleeper.kill()

    asyncio.run(whole())
