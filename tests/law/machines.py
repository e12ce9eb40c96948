"""What the law is tried on with three machines."""

from daemon.wire import (
    Branch,
    Deploy,
    ImageDistribute,
    Migrate,
    NamespaceRm,
    Promote,
    Restart,
    Rollback,
    Scale,
    SecretSet,
    VolumeExport,
    VolumeFork,
    VolumePurge,
    VolumeResize,
    VolumeRestore,
    VolumeSend,
    VolumeSnapshot,
)
from tests.law import cases
from tests.law.cases import Case

SHOP = """
namespace = "{namespace}"
keep = {keep}
[services.db]
image = "db:{db}"
volumes = {{ data = "/data" }}
ports = {{ pg = 5432 }}
ready = {{ tcp = "pg" }}
place = {{ machine = "m2" }}
[services.cache]
image = "db:{cache}"
volumes = {{ cached = "/data" }}
place = {{ machine = "m3" }}
[services.web]
image = "web:{web}"
after = ["db"]
ports = {{ web = 80 }}
routes = ["{{namespace}}.example.com"]
replicas = {replicas}
{more}
[volumes.data]
[volumes.cached]
"""
HOOK = 'hooks = { before = ["migrate"], changes = ["db"] }'
BAD_HOOK = 'hooks = { before = ["migrate-badly"], changes = ["db"] }'


def shop(
    *,
    db: int | str = 1,
    cache: int = 1,
    web: str = "1",
    replicas: str = "3",
    more: str = "",
    keep: int = 10,
    namespace: str = "shop",
) -> Deploy:
    return Deploy(
        SHOP.format(db=db, cache=cache, web=web, replicas=replicas, more=more, keep=keep, namespace=namespace)
    )


SECRET = SecretSet("shop", "token", b"x")
SEEING = Deploy(shop(replicas="2").manifest.replace('image = "db:1"', 'image = "db:1"\nsecrets = ["token"]', 1))
PR = Branch("shop", "pr-42")
NAMED = VolumeSnapshot("shop", "data", "before")
SEES = Deploy(
    """
namespace = "shop"
[services.web]
image = "web:1"
place = { machine = "m2" }
secrets = ["PASSWORD"]
[services.db]
image = "db:1"
place = { machine = "m3" }
secrets = ["PASSWORD"]
"""
)
GONE = (shop(), NAMED, NamespaceRm("shop"))
SEND = VolumeSend("shop", "data", "m1")
THERE, BACK, ON = (Migrate("shop", "db", machine) for machine in ("m1", "m2", "m3"))
TWO = Deploy(
    shop().manifest.replace('volumes = { data = "/data" }', 'volumes = { data = "/data", more = "/more" }')
    + "[volumes.more]\n"
)
WITHOUT_DB = Deploy('namespace = "shop"\n[services.web]\nimage = "web:1"\n')
CASES = (
    Case("create on three machines", (), shop(), machines=3),
    Case("replace on three machines", (shop(),), shop(db=2, cache=2, web="2"), machines=3),
    Case("a hook of one machine that changes another's data", (shop(),), shop(web="2", more=HOOK), machines=3),
    Case("a hook that fails on another machine", (shop(),), shop(web="2", more=BAD_HOOK), machines=3),
    Case("a candidate that never gets ready elsewhere", (shop(),), shop(db=666, web="2"), machines=3),
    Case("an image that only the first machine has", (shop(),), shop(web="of-m1"), machines=3),
    Case("an image that only the second machine has", (shop(),), shop(web="of-m2"), machines=3),
    Case("distribute an image", (shop(),), ImageDistribute("web:of-m2"), changes=False, machines=3),
    Case("one on each machine", (shop(),), shop(replicas='"global"'), machines=3),
    Case("scale over machines", (shop(),), Scale("shop", "web", 5), machines=3),
    Case("roll back on three machines", (shop(), shop(db=2, web="2")), Rollback("shop"), machines=3),
    Case("forget on three machines", (shop(keep=1), shop(db=2, keep=1)), shop(db=3, cache=2, keep=1), machines=3),
    Case("branch on three machines", (shop(),), PR, machines=3),
    Case("branch on three machines that stand still", (shop(),), Branch("shop", "pr-42", freeze=True), machines=3),
    Case("promote with data of two machines", (shop(), PR), Promote("pr-42", "shop", with_data=True), machines=3),
    Case("export what another machine has", (shop(),), VolumeExport("shop", "data"), changes=False, machines=3),
    Case("see a secret on other machines", (SecretSet("shop", "PASSWORD", b"one"),), SEES, machines=3),
    Case("name a snapshot on another machine", (shop(),), NAMED, machines=3),
    Case("resize on another machine", (shop(),), VolumeResize("shop", "data", 5000), machines=3),
    Case("purge a snapshot on another machine", (shop(), NAMED), VolumePurge("shop", "data", "before"), machines=3),
    Case("fork on another machine", (shop(),), VolumeFork("shop", "data", "lab", "copy"), machines=3),
    Case("restore what another machine has", GONE, VolumeRestore("shop", "data", "before", "lab", "copy"), machines=3),
    Case("move a database", (shop(), shop(db=2)), THERE, machines=3),
    Case("move a database to where it never gets ready", (shop(db="never-on-m1"),), THERE, machines=3),
    Case("move a database back", (shop(), THERE, shop(db=2)), BACK, machines=3),
    Case("move a database on", (shop(), THERE, BACK, Restart("shop", "db")), ON, machines=3),
    Case("move what has two volumes", (TWO,), THERE, machines=3),
    Case("move what has no data", (shop(),), Migrate("shop", "web", "m3"), machines=3),
    Case("leave a machine", (shop(),), Migrate("shop", "web", off="m3"), machines=3),
    Case("volumes leave a machine", (cases.shop(), WITHOUT_DB), Migrate("shop", "", off="m1"), machines=2),
    Case("roll back what was moved", (shop(), shop(db=2), THERE), Rollback("shop"), machines=3),
    Case("move what was rolled back", (shop(), shop(db=2), NAMED, Rollback("shop")), THERE, machines=3),
    Case("move what has a copy of before", (shop(), shop(db=2), SEND, Rollback("shop")), ON, machines=3),
    Case("move a branch", (shop(), PR), Migrate("pr-42", "db", "m3"), machines=3),
    Case("move what was branched", (shop(), PR), THERE, machines=3),
    Case("purge what was moved", (shop(), shop(db=2), THERE), NamespaceRm("shop", purge=True), machines=3),
    Case("send a copy", (shop(), shop(db=2), Rollback("shop")), SEND, machines=3),
    Case("refresh a copy", (shop(), SEND, shop(db=2)), SEND, machines=3),
    Case("move to where a copy is", (shop(), SEND, shop(db=2)), THERE, machines=3),
    Case("purge a copy", (shop(), SEND), VolumePurge("shop", "data", copy="m1"), machines=3),
    Case("purge what has a copy", (shop(), SEND), NamespaceRm("shop", purge=True), machines=3),
    Case("remove and purge on three machines", (shop(), shop(db=2)), NamespaceRm("shop", purge=True), machines=3),
)
