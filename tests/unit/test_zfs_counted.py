"""How many `zfs` commands an operation takes: each one is waited for, some of them while the service is down."""

from dataclasses import dataclass, field, replace

import pytest

from dataplane.dataset import Dataset, Layout, ZfsProblem
from dataplane.zfs_tool import Tool
from tests.law.law import ID, prepared
from tests.law.scenarios import case
from tests.law.world import ask


@dataclass
class Counting:
    """The tool of a fake ZFS; what is asked of the real program takes one command each."""

    tool: Tool
    commands: list[str] = field(default_factory=list)

    async def read(self, *names: str, below: bool = False) -> dict[str, Dataset]:
        self.commands.append(f"get {'-r ' if below else ''}{names[-1]}")
        return await self.tool.read(*names, below=below)

    async def change(self, *argv: str) -> ZfsProblem | None:
        self.commands.append(f"{argv[0]} {argv[-1]}")
        return await self.tool.change(*argv)

    async def size(self, pool: str) -> tuple[int, int]:
        self.commands.append(f"get {pool}")
        return await self.tool.size(pool)

    async def quota(self, name: str) -> int | None:
        self.commands.append(f"get refquota {name}")
        return await self.tool.quota(name)

    async def left(self, name: str) -> str | None:
        self.commands.append(f"get receive_resume_token {name}")
        return await self.tool.left(name)

    async def clear(self, name: str) -> None:
        self.commands.append(f"get mountpoint {name}")
        await self.tool.clear(name)

    async def mounted(self, name: str) -> str | None:
        return await self.tool.mounted(name)

    async def own(self, path: str, layout: Layout) -> None:
        await self.tool.own(path, layout)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("create", 14),
        ("replace a stateless service", 4),
        ("replace a writer", 20),
        ("roll back code and schema", 19),
    ],
)
def test_an_operation_takes_no_more_commands_than_it_needs(name: str, most: int) -> None:
    world = prepared(case(name)).copy()
    counting = Counting(world.zfs)
    world.zfs.datasets = replace(world.zfs.datasets, tool=counting)
    assert ask(world, case(name).ask, ID) == "done"
    assert len(counting.commands) <= most, "\n".join(counting.commands)
