"""A machine of the same size all the time."""


class FakeHost:
    def __init__(self, free: int = 2**30) -> None:
        self.free = free

    async def memory(self) -> int:
        return self.free
