"""What the law is tried on: a world to begin with, and one request."""

from dataclasses import dataclass

from msgspec.structs import replace

from daemon.wire import Branch, Deploy, Mutation, Promote, Rollback

SHOP = """
namespace = "{namespace}"
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


def shop(*, db: int = 1, web: str = "1", replicas: int = 1, more: str = "", namespace: str = "shop") -> Deploy:
    return Deploy(SHOP.format(db=db, web=web, replicas=replicas, more=more, namespace=namespace))


HOOK = 'hooks = { before = ["migrate"], changes = ["db"] }'
SCRUB = 'hooks = { on_branch = ["scrub"] }'
BAD_SCRUB = 'hooks = { on_branch = ["scrub-badly"] }'
PR = Branch("shop", "pr-42")
BAD_HOOK = 'hooks = { before = ["migrate-badly"], changes = ["db"] }'


FILED = """
files = {{ "/etc/web.conf" = "web.conf" }}
publish = {{ 8080 = "web" }}
hooks = {{ before = ["migrate"], changes = ["db"] }}
"""


def filed(content: str, db: int = 1) -> Deploy:
    """Web has a file, which its hook has too, and a port of the host."""
    asked = shop(db=db, more=FILED.format())
    return Deploy(asked.manifest, {"web.conf": content.encode()})


@dataclass(frozen=True, eq=False)
class Case:
    """`first` are requests that make the world; between them rows are written into the database's volume."""

    name: str
    first: tuple[Mutation, ...]
    ask: Mutation

    @property
    def fails(self) -> bool:
        """Whether it fails by itself, so that it is to be taken back."""
        return "fails" in self.name or "never" in self.name


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
    Case("a file that changes", (filed("a"),), filed("b")),
    Case("a file whose reader never gets ready", (filed("a"),), filed("b", db=666)),
    Case("roll a file back", (filed("a"), filed("b")), Rollback("shop")),
    Case("roll back", (shop(), shop(web="2")), Rollback("shop")),
    Case("roll back code and schema", (shop(), shop(db=2, web="2", more=HOOK)), Rollback("shop")),
    Case("undo a rollback", (shop(), shop(db=2), Rollback("shop")), Rollback("shop")),
    Case("roll far back", (shop(), shop(db=2), shop(db=3)), Rollback("shop", to=1)),
    Case("roll back the code only", (shop(), shop(db=2)), Rollback("shop", code_only=True)),
    Case("branch", (shop(),), PR),
    Case("branch while writers stand still", (shop(),), replace(PR, freeze=True)),
    Case("branch without data", (shop(),), replace(PR, volume_mode="fresh")),
    Case("branch and scrub", (shop(more=SCRUB),), PR),
    Case("a branch whose hook fails", (shop(more=BAD_SCRUB),), PR),
    Case("branch a branch", (shop(), PR), Branch("pr-42", "pr-43")),
    Case("deploy into a branch", (shop(), PR), shop(db=2, namespace="pr-42")),
    Case("replace a writer that was branched", (shop(), PR), shop(db=2)),
    Case("promote", (shop(), PR, shop(web="2", namespace="pr-42")), Promote("pr-42", "shop")),
    Case("promote with data", (shop(), PR, shop(db=2, namespace="pr-42")), Promote("pr-42", "shop", with_data=True)),
    Case("roll back a promote", (shop(), PR, Promote("pr-42", "shop", with_data=True)), Rollback("shop")),
)
