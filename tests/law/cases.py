"""What the law is tried on: a world to begin with, and one request."""

import re
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from daemon.wire import (
    Branch,
    Deploy,
    Mutation,
    NamespaceRm,
    Promote,
    RegistryLogin,
    RegistryLogout,
    Restart,
    Rollback,
    Scale,
    SecretRm,
    SecretSet,
    Start,
    Stop,
    VolumeExport,
    VolumeFork,
    VolumeImport,
    VolumePurge,
    VolumeResize,
    VolumeRestore,
    VolumeSnapshot,
)

SHOP = """
namespace = "{namespace}"
keep = {keep}
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


def shop(
    *, db: int = 1, web: str = "1", replicas: int = 1, more: str = "", keep: int = 10, namespace: str = "shop"
) -> Deploy:
    return Deploy(SHOP.format(db=db, web=web, replicas=replicas, more=more, keep=keep, namespace=namespace))


def with_data(ask: Deploy, deploy: int) -> Deploy:
    return Deploy(f'data = "deploy {deploy}"\n{ask.manifest}')


def hosted(**settings: Any) -> Deploy:
    """The same, with the database as a process of the machine."""
    asked = shop(**settings)
    return Deploy(re.sub(r'image = "db:(\d+)"', r'runtime = "host"\ncommand = ["db", "\1"]', asked.manifest))


def secret(value: bytes) -> SecretSet:
    return SecretSet("shop", "PASSWORD", value)


def seeing(web: str = "1") -> Deploy:
    """Of which one replaced deploy point is kept."""
    return shop(web=web, more=SEES, keep=1)


SEES = 'secrets = ["PASSWORD"]'
GIVES = 'secrets = ["PASSWORD"]\nbranch_secrets = ["PASSWORD"]'
SEEN = (secret(b"one"), shop(more=SEES), secret(b"two"), shop(more=SEES))
"""Two deploy points whose web sees the first, and the second version of a secret."""

LOGIN = RegistryLogin("registry.example:5000", "ann", b"one")
HOOK = 'hooks = { before = ["migrate"], changes = ["db"] }'
SCRUB = 'hooks = { on_branch = ["scrub"] }'
BAD_SCRUB = 'hooks = { on_branch = ["scrub-badly"] }'
LITERAL = Deploy(shop().manifest.replace("routes = [", 'routes = ["shop.example.org", '))
PR = Branch("shop", "pr-42")
GIVEN = (secret(b"one"), shop(more=GIVES), PR)
PR2 = shop(db=2, namespace="pr-42")
DATA = Promote("pr-42", "shop", with_data=True)
BACK = Rollback("shop")
PURGE = NamespaceRm("shop", purge=True)
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
    """`first` are requests that make the world; between them rows are written into the database's volume.

    One that `changes` nothing leaves the world as it was also when it is done. All is asked of the first of `machines`.
    """

    name: str
    first: tuple[Mutation, ...]
    ask: Mutation
    changes: bool = True
    machines: int = 1

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
    Case("a file that changes", (filed("a"),), filed("b")),
    Case("a file whose reader never gets ready", (filed("a"),), filed("b", db=666)),
    Case("roll a file back", (filed("a"), filed("b")), Rollback("shop")),
    Case("roll back", (shop(), shop(web="2")), Rollback("shop")),
    Case("roll back code and schema", (shop(), shop(db=2, web="2", more=HOOK)), Rollback("shop")),
    Case("undo a rollback", (shop(), shop(db=2), Rollback("shop")), Rollback("shop")),
    Case("roll far back", (shop(), shop(db=2), shop(db=3)), Rollback("shop", to=1)),
    Case("restart a stateless service", (shop(),), Restart("shop", "web")),
    Case("restart a writer", (shop(),), Restart("shop", "db")),
    Case("stop a stateless service", (shop(),), Stop("shop", "web")),
    Case("stop a writer", (shop(),), Stop("shop", "db")),
    Case("start a writer", (shop(), Stop("shop", "db")), Start("shop", "db")),
    Case("replace both while the writer is stopped", (shop(), Stop("shop", "db")), shop(db=2, web="2")),
    Case("scale by name", (shop(),), Scale("shop", "web", 3)),
    Case("roll back a stop", (shop(), Stop("shop", "db")), Rollback("shop")),
    Case("a deploy that forgets", (shop(keep=1), shop(db=2, keep=1)), shop(db=3, keep=1)),
    Case(
        "a deploy that forgets what a rollback left",
        (shop(keep=2), shop(db=2, keep=2), Rollback("shop"), shop(db=3, keep=2)),
        shop(db=4, keep=1),
    ),
    Case("a rollback that forgets", (shop(keep=1), shop(db=2, keep=1)), Rollback("shop")),
    Case(
        "prune a volume", (shop(),), Deploy('namespace = "shop"\n[services.web]\nimage = "web:1"', prune_volumes=True)
    ),
    Case(
        "roll back to a pruned volume",
        (shop(), Deploy('namespace = "shop"\n[services.web]\nimage = "web:1"', prune_volumes=True)),
        Rollback("shop"),
    ),
    Case("remove", (shop(),), NamespaceRm("shop")),
    Case("remove what was rolled back", (shop(), shop(db=2), Rollback("shop")), NamespaceRm("shop")),
    Case("remove and purge", (shop(), shop(db=2), Rollback("shop")), NamespaceRm("shop", purge=True)),
    Case("purge what was removed", (shop(), shop(db=2), NamespaceRm("shop")), NamespaceRm("shop", purge=True)),
    Case("deploy anew", (shop(), NamespaceRm("shop")), shop()),
    Case("restore what was removed", (shop(), shop(db=2), NamespaceRm("shop")), Rollback("shop")),
    Case("deploy with the data of a point", (shop(), shop(db=2), shop(db=3)), with_data(shop(db=4), 1)),
    Case("set a secret", (), secret(b"one")),
    Case("set a secret again, which is seen", SEEN[:2], secret(b"two")),
    Case("set a secret again, which nobody sees", (secret(b"one"), shop()), secret(b"two")),
    Case("remove a secret that nobody ever saw", (secret(b"one"), shop()), SecretRm("shop", "PASSWORD")),
    Case("remove a secret that was seen", (*SEEN, shop()), SecretRm("shop", "PASSWORD")),
    Case("see a secret", (shop(), secret(b"one")), shop(more=SEES)),
    Case("see a newer version", SEEN[:3], SEEN[3]),
    Case("a hook that fails after seeing a secret", (secret(b"one"), shop()), shop(more=f"{SEES}\n{BAD_HOOK}")),
    Case("roll back to an older version", SEEN, Rollback("shop")),
    Case("roll back to one that was removed", (*SEEN[:2], shop(), SecretRm("shop", "PASSWORD")), Rollback("shop")),
    Case("roll back the code only, with a newer version", (*SEEN, shop()), Rollback("shop", to=1, code_only=True)),
    Case("a deploy that forgets a version", (SEEN[0], seeing(), SEEN[2], seeing()), seeing(web="2")),
    Case("remove and purge what has secrets", SEEN, PURGE),
    Case("purge secrets that wait for a first deploy", (SEEN[0],), PURGE),
    Case("log in to a registry", (), RegistryLogin("registry.example:5000", "ann", b"one")),
    Case("log in to a registry again", (LOGIN,), RegistryLogin("registry.example:5000", "bea", b"two")),
    Case("log out of a registry", (LOGIN,), RegistryLogout("registry.example:5000")),
    Case("roll back the code only", (shop(), shop(db=2)), Rollback("shop", code_only=True)),
    Case("branch", (shop(),), PR),
    Case("branch while writers stand still", (shop(),), replace(PR, freeze=True)),
    Case("branch what is stopped", (shop(), Stop("shop", "db")), PR),
    Case("branch without data", (shop(),), replace(PR, volume_mode="fresh")),
    Case("branch and scrub", (shop(more=SCRUB),), PR),
    Case("a branch whose hook fails", (shop(more=BAD_SCRUB),), PR),
    Case("branch with a secret", (secret(b"one"), shop(more=GIVES), secret(b"two")), PR),
    Case("a branch whose hook fails after seeing a secret", (secret(b"one"), shop(more=f"{GIVES}\n{BAD_SCRUB}")), PR),
    Case(
        "branch with a newer secret than before", (*GIVEN, NamespaceRm("pr-42"), secret(b"two"), shop(more=GIVES)), PR
    ),
    Case("purge a branch that was given a secret", GIVEN, NamespaceRm("pr-42", purge=True)),
    Case("branch a branch", (shop(), PR), Branch("pr-42", "pr-43")),
    Case("deploy into a branch", (shop(), PR), shop(db=2, namespace="pr-42")),
    Case("replace a writer that was branched", (shop(), PR), shop(db=2)),
    Case("branch a process of the host", (hosted(),), PR),
    Case("restart in a branch", (LITERAL, PR), Restart("pr-42", "web")),
    Case("purge a branch", (shop(), PR), NamespaceRm("pr-42", purge=True)),
    Case("purge a branch that was deployed into", (shop(), PR, PR2), NamespaceRm("pr-42", purge=True)),
    Case("purge the source of a branch", (shop(), PR), NamespaceRm("shop", purge=True)),
    Case("purge a branch without its source", (shop(), PR, PURGE), NamespaceRm("pr-42", purge=True)),
    Case("fork a volume", (shop(),), VolumeFork("shop", "data", "scratch", "data")),
    Case("fork a volume beside it", (shop(),), VolumeFork("shop", "data", "shop", "data2")),
    Case("restore a volume", (shop(), NAMED, shop(db=2)), VolumeRestore("shop", "data", "before", "old", "data")),
    Case(
        "restore a volume that was removed",
        (shop(), NAMED, shop(db=2), NamespaceRm("shop")),
        VolumeRestore("shop", "data", "before", "shop", "data"),
    ),
    Case("purge a branch whose data was promoted", (shop(), PR, DATA), NamespaceRm("pr-42", purge=True)),
    Case(
        "purge a branch after its promote was rolled back", (shop(), PR, DATA, BACK), NamespaceRm("pr-42", purge=True)
    ),
    Case("forget a promote", (shop(keep=1), PR, DATA, BACK, NamespaceRm("pr-42", purge=True)), shop(db=3, keep=1)),
    Case("promote", (shop(), PR, shop(web="2", namespace="pr-42")), Promote("pr-42", "shop")),
    Case("promote with data", (shop(), PR, shop(db=2, namespace="pr-42")), Promote("pr-42", "shop", with_data=True)),
    Case("roll back a promote", (shop(), PR, Promote("pr-42", "shop", with_data=True)), Rollback("shop")),
    Case("move a writer from a container to the host", (shop(),), hosted()),
    Case("a process of the host that never gets ready", (hosted(),), hosted(db=666, web="2")),
    Case("roll back to a process of the host", (hosted(), shop(web="2")), Rollback("shop")),
    Case("snapshot by name", (shop(),), VolumeSnapshot("shop", "data", "before")),
    Case("deploy over a named snapshot", (shop(), VolumeSnapshot("shop", "data", "before")), shop(db=2)),
    Case("purge a named snapshot", (shop(), NAMED, shop(db=2)), VolumePurge("shop", "data", snapshot="before")),
    Case("resize", (shop(),), VolumeResize("shop", "data", 5000)),
    Case("export", (shop(),), VolumeExport("shop", "data"), changes=False),
    Case("export as a tar", (shop(),), VolumeExport("shop", "data", form="tar"), changes=False),
    Case("export what was named", (shop(), NAMED), VolumeExport("shop", "data", "before", "tar"), changes=False),
    Case(
        "export what was named of what was removed",
        (shop(), NAMED, NamespaceRm("shop")),
        VolumeExport("shop", "data", "before"),
        changes=False,
    ),
    Case("import", (shop(),), VolumeImport("shop", "more")),
    Case("import into a new namespace", (), VolumeImport("shop", "data")),
    Case("an import that never comes to its end", (shop(),), VolumeImport("shop", "cut")),
    Case("deploy onto what was imported", (VolumeImport("shop", "data"),), shop()),
)
