"""How a machine comes to have the images of what moves there: it has them, their registry does, or a machine."""

from collections.abc import Sequence

from daemon.change import Image
from daemon.node import Node
from daemon.planning import Seen
from daemon.wire import Refused, Supply
from runtime.instance import ImageMissing


async def supplies(images: Sequence[Image], seen: Seen, node: Node, cannot: str) -> list[Supply]:
    """Of each image, for the machine that needs it. Raises Refused `image.missing` for what nobody can give."""
    return [await _supply(image, seen, node, cannot) for image in images]


async def _supply(image: Image, seen: Seen, node: Node, cannot: str) -> Supply:
    """A registry comes before a machine: it gives what is meant for the machine that asks."""
    there = node.at(image.machine).instances
    try:
        await there.resolve(image.digest, pull="never")
        return Supply(image.name, image.machine, "there")
    except ImageMissing:
        pass
    try:
        if not image.source:
            await there.resolve(image.digest, pull="missing")
            return Supply(image.name, image.machine, "registry")
    except ImageMissing as missing:
        if not (giver := seen.having(image.digest)):
            why = f"{image.machine} lacks the image {image.name}, and no machine that answers has it: {missing}"
            raise Refused("image.missing", cannot, why, "ployzctl image ls") from missing
        return Supply(image.name, image.machine, "machine", giver)
    return Supply(image.name, image.machine, "machine", image.source)
