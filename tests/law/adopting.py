"""What a machine that joins brings along of a life before, as scenarios for tests and for the hunt."""

from collections.abc import Callable

from daemon.wire import MachineDrain, Mutation, NamespaceRm, VolumePurge, VolumeRestore
from tests.law.cases import BACK, PURGE, shop
from tests.law.coming import Coming, invited, joined
from tests.law.joining import generations, newest, require_adopted
from tests.law.sound import require_sound
from tests.law.world import ROOT, ask


def settled() -> Coming:
    """It has joined, and whatever is deployed comes to it."""
    it = joined()
    for name in ("m1", "m2"):
        assert ask(it.world, MachineDrain(name), f"op-drain-{name}") == "done"
    return it


def what_it_brings_is_adopted() -> None:
    before = invited().guest
    assert len(generations(before)) >= 3
    assert {one.marks["state"] for one in generations(before).values()} == {"current", "kept"}
    assert before.instances.instances
    after = joined().guest
    require_adopted(after, before)
    assert not after.instances.instances
    assert not after.vault.shown


def nothing_of_it_goes_with_what_is_done_later() -> None:
    """Neither what has its names, nor what has others, nor what forgets and purges."""
    before, it = invited().guest, settled()
    later: tuple[Mutation, ...] = (
        *(shop(keep=1), shop(db=2, keep=1), shop(db=3, keep=1), BACK, PURGE),
        *(shop(namespace="third"), NamespaceRm("third", purge=True), NamespaceRm("pr-42", purge=True)),
    )
    for number, request in enumerate(later):
        assert ask(it.world, request, f"op-later-{number}") == "done", request
        assert number or it.guest.instances.instances, "it runs nothing that is deployed later"
    require_adopted(it.guest, before)
    require_sound(it.world, "deployed, and purged, but")


def what_was_adopted_is_restored_and_purged_like_others() -> None:
    """Also under its own name, which is nobody's; what is deployed there later leaves it as it was."""
    before, it = invited().guest, settled()
    [current] = [
        name for name, one in generations(before).items() if "/shop/" in name and one.marks["state"] == "current"
    ]
    snapshot = newest(it.guest, current).partition("@")[2]
    for at, namespace in enumerate(("shop", "back")):
        restore = VolumeRestore("shop", "data", snapshot, namespace, "data")
        assert ask(it.world, restore, f"op-restore-{at}") == "done"
        restored = it.guest.zfs.kept[f"{ROOT}/{namespace}/data/op-restore-{at}"]
        assert restored.content == before.zfs.kept[current].content
    for number, request in enumerate((shop(keep=1), shop(db=2, keep=1), shop(db=3, keep=1))):
        assert ask(it.world, request, f"op-later-{number}") == "done"
    require_adopted(it.guest, before)
    assert ask(it.world, VolumePurge("shop", "data", snapshot="before"), "op-purge") == "done"
    for number, name in enumerate(generations(before)):
        namespace, volume, generation = name.split("/")[-3:]
        assert ask(it.world, VolumePurge(namespace, volume, kept=generation), f"op-purge-{number}") == "done"
    assert not generations(it.guest).keys() & generations(before).keys()
    assert ask(it.world, NamespaceRm("back", purge=True), "op-purge-back") == "done"
    require_sound(it.world, "all that was adopted was purged, but")


ALL: tuple[Callable[[], None], ...] = (
    what_it_brings_is_adopted,
    nothing_of_it_goes_with_what_is_done_later,
    what_was_adopted_is_restored_and_purged_like_others,
)
