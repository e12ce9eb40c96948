"""What can be asked of volumes."""

from typing import Literal

from msgspec import Struct


class VolumeSnapshot(Struct, frozen=True, forbid_unknown_fields=True, tag="volume.snapshot"):
    """Make a named snapshot of a volume, which stays until it is purged."""

    namespace: str
    volume: str
    name: str


class VolumeResize(Struct, frozen=True, forbid_unknown_fields=True, tag="volume.resize"):
    """Change how many bytes a volume may hold."""

    namespace: str
    volume: str
    quota: int


class VolumeSend(Struct, frozen=True, forbid_unknown_fields=True, tag="volume.send"):
    """Have a copy of a volume, as it is now, on the machine `to`, or refresh the one that is there; `rate` is the most
    bytes a second on the way."""

    namespace: str
    volume: str
    to: str
    rate: int | None = None


class VolumePurge(Struct, frozen=True, forbid_unknown_fields=True, tag="volume.purge"):
    """Destroy a named snapshot of a volume, one of its kept generations, or its copy on the machine `copy`. Exactly one
    of the three is given."""

    namespace: str
    volume: str
    snapshot: str | None = None
    kept: str | None = None
    copy: str | None = None


class VolumeExport(Struct, frozen=True, forbid_unknown_fields=True, tag="volume.export"):
    """Send a volume as it is now, or a named snapshot of it, over the operation's stream."""

    namespace: str
    volume: str
    snapshot: str | None = None
    form: Literal["zfs", "tar"] = "zfs"


class VolumeImport(Struct, frozen=True, forbid_unknown_fields=True, tag="volume.import"):
    """Make a new volume of what comes over the operation's stream; `size` in bytes, where it is known."""

    namespace: str
    volume: str
    size: int | None = None


class VolumeFork(Struct, frozen=True, forbid_unknown_fields=True, tag="volume.fork"):
    """Make a volume that begins as another one is now."""

    namespace: str
    volume: str
    to_namespace: str
    to_volume: str


class VolumeRestore(Struct, frozen=True, forbid_unknown_fields=True, tag="volume.restore"):
    """Make a volume of a snapshot: of the name that somebody gave it, or the one that it is shown under."""

    namespace: str
    volume: str
    snapshot: str
    to_namespace: str
    to_volume: str


class VolumeLs(Struct, frozen=True, forbid_unknown_fields=True, tag="volume.ls"):
    """The volumes of one namespace, or of all; or the generations that are kept of them."""

    namespace: str | None = None
    kept: bool = False


class VolumeSnapshots(Struct, frozen=True, forbid_unknown_fields=True, tag="volume.snapshots"):
    """Every snapshot of a volume, and who needs it."""

    namespace: str
    volume: str
