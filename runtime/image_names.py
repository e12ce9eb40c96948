"""Names of images that came from another machine: an engine takes no digest as a name, so a tag stands in for it."""

MARK = "ployz-"


def stand_in(digest: str) -> str:
    """The tag of an image that has this digest (`<repository>@sha256:…`) at its registry, and came from elsewhere."""
    repository, _, wanted = digest.partition("@")
    return f"{repository}:{MARK}{wanted.replace(':', '-')}"


def meant(name: str) -> str:
    """The digest that such a tag stands in for; any other name as it is."""
    repository, _, tag = name.rpartition(":")
    return f"{repository}@{tag.removeprefix(MARK).replace('-', ':')}" if stands_in(name) else name


def stands_in(name: str) -> bool:
    return name.rpartition(":")[2].startswith(f"{MARK}sha256-")
