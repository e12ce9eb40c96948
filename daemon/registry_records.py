"""The records of who the cluster is at registries of images."""

from msgspec import structs

from daemon.bucket import Kv, answered, below, change, read, replace, write
from daemon.node import CommitLost
from daemon.records import Registry
from dataplane.entry import Moved, key


class RegistryRecords:
    """A part of `daemon.store.Store`; verbs raise as those do."""

    def __init__(self, kv: Kv) -> None:
        self._kv = kv

    async def registry(self, host: str) -> tuple[Registry, int]:
        """Who the cluster is at a registry, with the revision of that."""
        found, revision = await answered(read(self._kv, key("registries", host), Registry))
        return found or Registry(), revision

    async def registries(self) -> dict[str, Registry]:
        found = await answered(below(self._kv, Registry, "registries"))
        return {host: registry for host, registry in sorted(found.items()) if registry.user}

    async def seal_registry_anew(self, host: str, before: Registry, anew: Registry) -> None:
        await answered(replace(self._kv, key("registries", host), before, anew))

    async def commit_registry(self, host: str, registry: Registry, revision: int) -> None:
        """Write it over a revision, as the operation `registry.by`; raises as `commit` does."""
        where = key("registries", host)
        try:
            await write(self._kv, where, registry, revision)
        except Moved:
            now, _ = await read(self._kv, where, Registry)
            if not now or now.by != registry.by:
                raise CommitLost(f"the registry {host}") from None

    async def settle_registry(self, host: str, by: str) -> bool:
        """Whether `by` committed, decided for good as `settle` does."""

        def settled(now: Registry | None) -> Registry | None:
            return None if now and now.by == by else structs.replace(now or Registry(), settled=by)

        found, _ = await change(self._kv, key("registries", host), Registry, settled)
        return found is not None and found.by == by
