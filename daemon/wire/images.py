"""Images: what can be asked of them, and the results. Sizes are bytes."""

from msgspec import Struct


class ImageDistribute(Struct, frozen=True, forbid_unknown_fields=True, tag="image.distribute"):
    """Have an image on machines that lack it; with no `to`, on all that answer."""

    image: str
    to: list[str] = []


class ImageLs(Struct, frozen=True, forbid_unknown_fields=True, tag="image.ls"):
    """The images of one machine, or of all that answer."""

    machine: str | None = None


class ImageRow(Struct, frozen=True):
    """An image of a machine, under one of its names; `name` is empty where it has none. `digest` is what a deploy makes
    instances of; `bytes` counts layers that it shares with others too."""

    machine: str
    name: str
    digest: str
    bytes: int


class Distributed(Struct, frozen=True):
    """kind `distributed`. `brought` names the machines that lacked the image, `there` those that had it."""

    image: str
    digest: str
    brought: list[str]
    there: list[str]
