"""What can be asked about local clusters, and who does it."""

from contextlib import suppress

import msgspec

from daemon.dev.cluster import Site, locate, told
from daemon.dev.faults import heal, kill, part, pause, resume
from daemon.dev.folder import folders
from daemon.dev.removing import down
from daemon.dev.rising import up
from daemon.dev.story import Story, Tell
from daemon.wire import (
    DevDown,
    DevHeal,
    DevKill,
    DevLs,
    DevPart,
    DevPause,
    DevRequest,
    DevResume,
    DevUp,
    Refused,
    Success,
)


async def serve(request: DevRequest, tell: Tell, site: Site) -> Success:
    """Do what is asked for, telling each step. Raises a wire.Problem."""
    if isinstance(request, DevLs):
        return await _ls(site)
    story = Story(f"{request.__struct_config__.tag}-{request.name}".replace(".", "-"), tell)
    match request:
        case DevUp():
            return await up(request, story, site)
        case DevDown():
            return await down(request, story, site)
        case DevKill():
            return await kill(request, story, site)
        case DevPause():
            return await pause(request, story, site)
        case DevResume():
            return await resume(request, story, site)
        case DevPart():
            return await part(request, story, site)
        case DevHeal():
            return await heal(request, story, site)


async def _ls(site: Site) -> Success:
    clusters = []
    for folder in folders(site.root):
        with suppress(Refused):  # not ours: down says so when it is asked
            clusters.append(await told(locate(folder.name, site)))
    return Success("clusters", {"clusters": msgspec.to_builtins(clusters)})
