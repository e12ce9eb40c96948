"""How a machine comes to have the images of what moves there: it has them, their registry does, or a machine."""

from collections.abc import Sequence
from contextlib import suppress

from daemon.change import Image
from daemon.node import Node
from daemon.planning import Seen
from daemon.primitive import require
from daemon.wire import Supply
from runtime.instance import ImageMissing


async def supplies(images: Sequence[Image], seen: Seen, node: Node, cannot: str) -> list[Supply]:
    """Of each image, for the machine that needs it. Raises Refused `image.missing` for what nobody can give."""
    return [await _supply(image, seen, node, cannot) for image in images]


async def _supply(image: Image, seen: Seen, node: Node, cannot: str) -> Supply:
    """A registry comes before a machine: what it gives is meant for whoever asks."""
    there, giver, silent = node.at(image.machine).instances, image.source, ""
    with suppress(ImageMissing):
        await there.resolve(image.digest, pull="never")
        return Supply(image.name, image.machine, "there")
    if "@" in image.digest:
        try:
            await there.resolve(image.digest, pull="missing")
            return Supply(image.name, image.machine, "registry")
        except ImageMissing as missing:
            giver, silent = seen.having(image.digest), f": {missing}"
    why = f"{image.machine} lacks the image {image.name}, and no machine that answers has it{silent}"
    require(giver, "image.missing", cannot, why, "ployzctl image ls")
    return Supply(image.name, image.machine, "machine", giver)
