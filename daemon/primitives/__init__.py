"""All that changes something, by the request that asks for it."""

from collections.abc import Mapping

from daemon.primitive import Primitive
from daemon.primitives import (
    deploy,
    rollback,
    volume_export,
    volume_import,
    volume_purge,
    volume_resize,
    volume_snapshot,
)

PRIMITIVES: Mapping[str, Primitive] = {
    "deploy": deploy,
    "rollback": rollback,
    "volume.snapshot": volume_snapshot,
    "volume.resize": volume_resize,
    "volume.purge": volume_purge,
    "volume.export": volume_export,
    "volume.import": volume_import,
}
