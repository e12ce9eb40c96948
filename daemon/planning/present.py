"""What a namespace is now, as what is wanted: where every change begins that names no manifest."""

from collections.abc import Iterable

from daemon.manifest import parse
from daemon.planning import Wanted
from daemon.records import DeployPoint, Head


def present(head: Head, points: Iterable[DeployPoint], service: str, text: str | None = None) -> Wanted:
    """The present, image for image, of which only `service` is about to change; `points` are the replaced ones.

    The manifest `text` may take the place of the head's, if it changes no image.
    """
    manifest = parse(text or head.manifest)
    return Wanted(
        manifest=manifest,
        text=text or head.manifest,
        digests={name: head.services[name].digest for name in manifest.services},
        volumes=manifest.volumes,
        hooks=manifest.hooks,
        past=tuple(point.head.deploy for point in points),
        keep=manifest.keep,
        stopped=stopped(head),
        left=frozenset(head.services) - {service},
        withheld=head.withheld,
    )


def stopped(head: Head | None) -> dict[str, str]:
    """The services that stay stopped until they are started, with the identity that each ran last."""
    services = head.services.values() if head else ()
    return {service.name: service.identity for service in services if service.stopped}
