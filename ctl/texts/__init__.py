"""Results as text for people, by their kind."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ctl.style import Style
from ctl.texts import (
    branches,
    changes,
    doctor,
    history,
    images,
    instances,
    local,
    machines,
    namespaces,
    operations,
    secrets,
    status,
    volumes,
)

Result = dict[str, Any]


def text(kind: str, result: Result, style: Style) -> str:
    """The result as text; one of a kind that this release does not know is shown as JSON."""
    if known := TEXTS.get(kind):
        return known(result, style)
    return msgspec.json.format(msgspec.json.encode(result)).decode()


def _nothing(_: Result, __: Style) -> str:
    """What there was to say has been written as it came."""
    return ""


TEXTS: Mapping[str, Callable[[Result, Style], str]] = {
    "branched": changes.branched,
    "branches": branches.branches,
    "clusters": local.clusters,
    "contexts": local.contexts,
    "deploy": history.point,
    "deployed": changes.deployed,
    "difference": branches.difference,
    "deploys": history.points,
    "dev": local.cluster,
    "distributed": images.distributed,
    "doctor": doctor.checks,
    "environment": local.environment,
    "executed": _nothing,
    "images": images.images,
    "instances": instances.instances,
    "invitation": machines.invitation,
    "kept": volumes.kept,
    "logs": _nothing,
    "machine": machines.machine,
    "machine_labels": machines.labelled,
    "machine_removed": machines.removed,
    "machine_state": machines.marked,
    "drained": machines.drained,
    "forgone": machines.forgone,
    "machines": machines.machines,
    "manifest": history.manifest,
    "mesh": machines.mesh,
    "migrated": changes.migrated,
    "namespace": namespaces.namespace,
    "namespaces": namespaces.namespaces,
    "operation": operations.operation,
    "operations": operations.operations,
    "peers": machines.peers,
    "preview": changes.preview,
    "registries": secrets.registries,
    "registry": secrets.registry,
    "secret": secrets.secret,
    "secrets": secrets.secrets,
    "removed": namespaces.removed,
    "revoked": machines.revoked,
    "rotated": secrets.rotated,
    "rtts": machines.rtts,
    "snapshots": volumes.snapshots,
    "status": status.status,
    "version": local.version,
    "volume": volumes.changed,
    "volumes": volumes.volumes,
}
