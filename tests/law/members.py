"""What the law is tried on as machines come and leave, and the store goes to three of them, elsewhere, and back."""

from daemon.wire import (
    MachineAdmit,
    MachineDrain,
    MachineInvite,
    MachineLabel,
    MachineLost,
    MachineRevoke,
    MachineRm,
    MachineUndrain,
    MeshDestroy,
    MeshInit,
    SecretRotate,
    StoreMove,
)
from tests.law.cases import LOGIN, SEEN, Case, shop
from tests.law.world import NOW

GUEST = MachineAdmit("op-0", "", "m9", "id-9", "key-9", "nkey-9", "192.0.2.9:51820", "0", NOW)
CASES = (
    Case("found a mesh", (), MeshInit("prod")),
    Case("found a mesh in another network", (), MeshInit("prod", "10.99.0.0/16")),
    Case("destroy a mesh", (MeshInit("prod"),), MeshDestroy()),
    Case("invite a machine", (), MachineInvite(), machines=2),
    Case("revoke an invitation", (MachineInvite(),), MachineRevoke("op-0"), machines=2),
    Case("let a machine in", (MachineInvite(),), GUEST, machines=2),
    Case(
        "label a machine",
        (MachineLabel("m2", {"zone": "a"}),),
        MachineLabel("m2", {"zone": "", "disk": "ssd"}),
        machines=2,
    ),
    Case("nothing new comes to a machine", (), MachineDrain("m2"), machines=2),
    Case("something new may come to a machine again", (MachineDrain("m2"),), MachineUndrain("m2"), machines=2),
    Case("nobody waits for a machine any more", (MachineInvite(), GUEST), MachineLost("m9"), machines=2),
    Case("a machine leaves", (), MachineRm("m2"), machines=2),
    Case("all that is sealed, once a machine has left", (*SEEN, LOGIN, MachineRm("m3")), SecretRotate(), machines=3),
    Case("the records go to three", (shop(),), StoreMove(), machines=3),
    Case("the records go back to one", (shop(), StoreMove()), StoreMove(("m2",)), machines=3),
    Case("the records leave who sees to it", (StoreMove(),), StoreMove(("m1",)), machines=3),
    Case("the records leave one of four", (StoreMove(),), StoreMove(("m2",)), machines=4),
    Case("a machine leaves after the records have", (StoreMove(), StoreMove(("m3",))), MachineRm("m3"), machines=3),
)
