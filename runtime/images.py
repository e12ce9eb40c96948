"""Images of an engine: what a name means now, and having it here."""

from collections.abc import Callable
from typing import Any

import docker
from docker.utils import parse_repository_tag

from runtime.engine import Absent, Engine
from runtime.instance import Credentials, EngineProblem, EngineUnavailable, ImageMissing, RegistryRefused

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
    name, tag = parse_repository_tag(image)
    if "@" not in image and await _at_registry(engine, image, who) == digest:
        await engine.ask(f"cannot tag {image}", lambda client: client.tag(digest, name, tag or "latest"))


async def _here(engine: Engine, image: str) -> dict[str, Any] | None:
    try:
        found = await engine.ask(f"cannot look for the image {image}", _inspected(image))
    except Absent:
        return None
    if not isinstance(found, dict) or not str(found.get("Id", "")).startswith("sha256:"):
        raise EngineProblem(f"cannot understand what the engine says of the image {image}")
    return found


def _identity(image: str, found: dict[str, Any]) -> str:
    repository = _familiar(parse_repository_tag(image)[0])
    known = sorted(digest for digest in found.get("RepoDigests") or [] if _parted(digest)[0] == repository)
    return known[0] if known else str(found["Id"])


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
