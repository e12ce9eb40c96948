"""Images of an engine: what a name means now, and having it here."""

from collections.abc import Callable
from typing import Any

import docker
from docker.utils import parse_repository_tag

from runtime import image_taking
from runtime.engine import Absent, Engine
from runtime.image_names import meant, stand_in, stands_in
from runtime.instance import (
    Credentials,
    EngineProblem,
    EngineUnavailable,
    Image,
    ImageBroken,
    ImageMissing,
    Offer,
    RegistryRefused,
)

HUB = "docker.io"
"""The registry of an image that names none."""

ASKING, PULLING = 10.0, 600.0
"""Seconds that a registry has to say what a name means, and to send the next piece of an image."""


async def resolve(engine: Engine, image: str, pull: str, who: Credentials | None = None) -> str:
    """What `image` means now: `<repository>@sha256:…` where a registry knows it, else the local image's id.

    Either can be given to the engine as it is. `pull` is `missing` (ask the registry if the image is not here),
    `always` or `never`; `who` is who we are at the registry. Raises ImageMissing.
    """
    found = None if pull == "always" else await _here(engine, image)
    if found is not None:
        return _identity(image, found)
    if pull == "never":
        raise ImageMissing(f"there is no image {image} here, and it is not to be pulled")
    return await _at_registry(engine, image, who)


async def fetch(engine: Engine, image: str, digest: str, who: Credentials | None = None) -> None:
    """Have the image of that digest here. The local tag follows only if the registry still means this one by it."""
    if await _here(engine, digest) is not None:
        return
    repository, wanted = _parted(digest)
    if wanted is None:
        raise ImageMissing(f"the image {image} ({digest}) is not here any more, and no registry knows it")
    said = await _pull(engine, repository, wanted, who)
    if await _here(engine, digest) is None:
        raise ImageMissing(f"cannot pull {image} ({digest}): {said or 'the engine said it was done, and it is not'}")
    if "@" not in image and await _at_registry(engine, image, who) == digest:
        await _tag(engine, digest, image)


async def all_here(engine: Engine) -> list[Image]:
    """The images of an engine, by each of their names; one without a name is there once."""
    told = await engine.ask("cannot list the images", lambda client: client.images())
    try:
        found = [_image(name, row) for row in told for name in _names(row)]
    except (KeyError, TypeError, ValueError) as error:
        raise EngineProblem("cannot understand the engine's list of images") from error
    return sorted(found, key=lambda image: (image.name, image.id))


def _image(name: str, row: dict[str, Any]) -> Image:
    return Image(name, _identity(name, row) if name else str(row["Id"]), str(row["Id"]), int(row["Size"]))


def _names(row: dict[str, Any]) -> list[str]:
    """Its tags, and its digests of repositories that it has no tag of; of one without any, no name."""
    tags = [tag for tag in row.get("RepoTags") or [] if not tag.startswith("<none>") and not stands_in(tag)]
    told = {"<none>", *(parse_repository_tag(tag)[0] for tag in tags)}
    return [*tags, *(known for known in _digests(row) if _parted(known)[0] not in told)] or [""]


def _digests(row: dict[str, Any]) -> list[str]:
    """What registries know it as: those that it was pulled from, and those of the machines that gave it."""
    given = [meant(tag) for tag in row.get("RepoTags") or [] if stands_in(tag)]
    return sorted({*(row.get("RepoDigests") or []), *given})


async def id_here(engine: Engine, digest: str) -> str:
    """The id of an image that is here. Raises ImageMissing."""
    found = await _here(engine, digest)
    if found is None:
        raise ImageMissing(f"there is no image {digest} here")
    return str(found["Id"])


async def called(engine: Engine, image: str) -> str:
    """What the engine itself calls an image that is here: it knows a digest only if it pulled it."""
    if not _parted(image)[1] or await _look(engine, image) is not None:
        return image
    return stand_in(image)


async def means(engine: Engine, image: str, id: str) -> bool:
    """Whether a name is one of the image of that id here."""
    name, tag = parse_repository_tag(image)
    found = await _here(engine, id)
    return found is not None and f"{_familiar(name)}:{tag or 'latest'}" in (found.get("RepoTags") or [])


async def take(engine: Engine, image: str, digest: str, offer: Offer) -> int:
    """Have an image as another machine offers it, and how many bytes came. Raises ImageBroken.

    The name follows only if it means this image there. Which image has the digest that a registry knows is that
    machine's word: what a registry signs it over is not kept by engines.
    """
    id = offer.id if _parted(digest)[1] else digest
    came = 0 if await _here(engine, id) else await image_taking.take(engine, id, offer)
    if await _here(engine, id) is None:
        raise ImageBroken(f"the engine said that it took the image {id}, and it did not")
    if id != digest:
        await _tag(engine, id, stand_in(digest))
    if offer.current:
        await _tag(engine, id, image)
    return came


async def _tag(engine: Engine, id: str, image: str) -> None:
    name, tag = parse_repository_tag(image)
    await engine.ask(f"cannot tag {image}", lambda client: client.tag(id, name, tag or "latest"))


async def _here(engine: Engine, image: str) -> dict[str, Any] | None:
    for name in _calls(image):
        if (found := await _look(engine, name)) is not None:
            return found
    return None


def _calls(image: str) -> tuple[str, ...]:
    """What an image may be called here."""
    return (image, stand_in(image)) if _parted(image)[1] else (image,)


async def _look(engine: Engine, image: str) -> dict[str, Any] | None:
    try:
        found = await engine.ask(f"cannot look for the image {image}", _inspected(image))
    except Absent:
        return None
    if not isinstance(found, dict) or not str(found.get("Id", "")).startswith("sha256:"):
        raise EngineProblem(f"cannot understand what the engine says of the image {image}")
    return found


def _identity(image: str, found: dict[str, Any]) -> str:
    repository = _familiar(parse_repository_tag(image)[0])
    known = [digest for digest in _digests(found) if _parted(digest)[0] == repository]
    return image if image in known else known[0] if known else str(found["Id"])


async def _at_registry(engine: Engine, image: str, who: Credentials | None) -> str:
    cannot = f"cannot find the image {image}, here or at its registry"
    try:
        told = await engine.ask(cannot, _described(image, who), within=ASKING)
        digest = str(told["Descriptor"]["digest"])
    except EngineUnavailable as problem:
        await _here(engine, image)  # raises if it is the engine that does not answer
        raise ImageMissing(f"{cannot}: the registry did not answer within {ASKING:g} seconds") from problem
    except (KeyError, TypeError) as error:
        raise EngineProblem(f"{cannot}: the engine's answer has no digest") from error
    except EngineProblem as problem:
        raise ImageMissing(str(problem)) from problem
    return f"{_familiar(parse_repository_tag(image)[0])}@{digest}"


async def _pull(engine: Engine, repository: str, digest: str, who: Credentials | None) -> str:
    """What went wrong, as the engine wrote it into its answer: a pull that fails is a 200 to it."""

    def pull(client: docker.APIClient) -> str:
        lines = client.pull(repository, tag=digest, stream=True, decode=True, auth_config=_told(who))
        return "; ".join(str(line["error"]) for line in lines if "error" in line)

    try:
        return await engine.ask(f"cannot pull {repository}@{digest}", pull, within=PULLING)
    except EngineUnavailable:
        raise
    except EngineProblem as problem:
        return str(problem)


def _inspected(image: str) -> Callable[[Any], Any]:
    return lambda client: client.inspect_image(image)


def _described(image: str, who: Credentials | None) -> Callable[[Any], Any]:
    return lambda client: client.inspect_distribution(image, auth_config=_told(who))


def _told(who: Credentials | None) -> dict[str, str] | None:
    return {"username": who.user, "password": who.password} if who else None


def registry_of(image: str) -> str:
    """The host (and port) of the registry that an image, or a digest of it, is at."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else HUB


async def accepted(engine: Engine, host: str, who: Credentials) -> None:
    """Have the registry say that it takes these credentials. Raises RegistryRefused."""
    cannot = f"cannot log in to {host} as {who.user}"
    server = "" if host == HUB else host
    asked = {"username": who.user, "password": who.password, "serveraddress": server}
    try:
        await engine.ask(cannot, lambda client: _post(client, asked), within=ASKING)
    except EngineUnavailable:
        raise
    except EngineProblem as problem:
        raise RegistryRefused(str(problem)) from None


def _post(client: Any, asked: dict[str, str]) -> None:
    """As `client.login`, but that keeps the password for later questions, whoever asks them."""
    client._raise_for_status(client._post_json(client._url("/auth"), data=asked))


def _parted(reference: str) -> tuple[str, str | None]:
    repository, _, digest = reference.partition("@")
    return repository, digest or None


def _familiar(repository: str) -> str:
    """As the engine writes it: Docker's own registry and its library have no name."""
    return repository.removeprefix("docker.io/").removeprefix("library/")
