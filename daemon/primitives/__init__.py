"""All that changes something, by the request that asks for it."""

from collections.abc import Mapping

from daemon.primitive import Primitive
from daemon.primitives import (
    branch,
    deploy,
    namespace_rm,
    promote,
    registry_login,
    registry_logout,
    restart,
    rollback,
    run,
    scale,
    secret_rm,
    secret_set,
    start,
    stop,
    volume_export,
    volume_fork,
    volume_import,
    volume_purge,
    volume_resize,
    volume_restore,
    volume_snapshot,
)

PRIMITIVES: Mapping[str, Primitive] = {
    "deploy": deploy,
    "rollback": rollback,
    "branch": branch,
    "promote": promote,
    "restart": restart,
    "stop": stop,
    "start": start,
    "scale": scale,
    "run": run,
    "namespace.rm": namespace_rm,
    "secret.set": secret_set,
    "secret.rm": secret_rm,
    "registry.login": registry_login,
    "registry.logout": registry_logout,
    "volume.snapshot": volume_snapshot,
    "volume.resize": volume_resize,
    "volume.purge": volume_purge,
    "volume.export": volume_export,
    "volume.import": volume_import,
    "volume.fork": volume_fork,
    "volume.restore": volume_restore,
}
