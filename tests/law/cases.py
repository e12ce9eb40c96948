"""What the law is tried on: a world to begin with, and one request."""

from dataclasses import dataclass

from daemon.wire import (
    Deploy,
    Mutation,
    Rollback,
    VolumeExport,
    VolumeImport,
    VolumePurge,
    VolumeResize,
    VolumeSnapshot,
)

SHOP = """
namespace = "shop"
[services.db]
image = "db:{db}"
volumes = {{ data = "/data" }}
ports = {{ pg = 5432 }}
ready = {{ tcp = "pg" }}
[services.web]
image = "web:{web}"
after = ["db"]
ports = {{ web = 80 }}
routes = ["{{namespace}}.example.com"]
replicas = {replicas}
{more}
[volumes.data]
"""


def shop(*, db: int = 1, web: str = "1", replicas: int = 1, more: str = "") -> Deploy:
    return Deploy(SHOP.format(db=db, web=web, replicas=replicas, more=more))


HOOK = 'hooks = { before = ["migrate"], changes = ["db"] }'
BAD_HOOK = 'hooks = { before = ["migrate-badly"], changes = ["db"] }'


@dataclass(frozen=True)
class Case:
    """`first` are requests that make the world; between them rows are written into the database's volume.

    One that `changes` nothing leaves the world as it was also when it is done.
    """

    name: str
    first: tuple[Mutation, ...]
    ask: Mutation
    changes: bool = True

    @property
    def fails(self) -> bool:
        """Whether it fails by itself, so that it is to be taken back."""
        return "fails" in self.name or "never" in self.name


NAMED = VolumeSnapshot("shop", "data", "before")

CASES = (
    Case("create", (), shop()),
    Case("replace a stateless service", (shop(),), shop(web="2")),
    Case("recreate a stateless service", (shop(),), shop(web="2", more='update = "recreate"')),
    Case("replace a writer", (shop(),), shop(db=2)),
    Case("replace both", (shop(),), shop(db=2, web="2")),
    Case("a hook that changes the data", (shop(),), shop(web="2", more=HOOK)),
    Case("a hook that fails after changing the data", (shop(),), shop(web="3", more=BAD_HOOK)),
    Case("a candidate that never gets ready", (shop(),), shop(db=666, web="2")),
    Case("scale", (shop(),), shop(replicas=3)),
    Case("remove a writer", (shop(),), Deploy('namespace = "shop"\n[services.web]\nimage = "web:1"')),
    Case("roll back", (shop(), shop(web="2")), Rollback("shop")),
    Case("roll back code and schema", (shop(), shop(db=2, web="2", more=HOOK)), Rollback("shop")),
    Case("undo a rollback", (shop(), shop(db=2), Rollback("shop")), Rollback("shop")),
    Case("roll far back", (shop(), shop(db=2), shop(db=3)), Rollback("shop", to=1)),
    Case("roll back the code only", (shop(), shop(db=2)), Rollback("shop", code_only=True)),
    Case("snapshot by name", (shop(),), VolumeSnapshot("shop", "data", "before")),
    Case("deploy over a named snapshot", (shop(), VolumeSnapshot("shop", "data", "before")), shop(db=2)),
    Case("purge a named snapshot", (shop(), NAMED, shop(db=2)), VolumePurge("shop", "data", snapshot="before")),
    Case("resize", (shop(),), VolumeResize("shop", "data", 5000)),
    Case("export", (shop(),), VolumeExport("shop", "data"), changes=False),
    Case("export as a tar", (shop(),), VolumeExport("shop", "data", form="tar"), changes=False),
    Case("export what was named", (shop(), NAMED), VolumeExport("shop", "data", "before", "tar"), changes=False),
    Case("import", (shop(),), VolumeImport("shop", "more")),
    Case("import into a new namespace", (), VolumeImport("shop", "data")),
    Case("an import that never comes to its end", (shop(),), VolumeImport("shop", "cut")),
    Case("deploy onto what was imported", (VolumeImport("shop", "data"),), shop()),
)
