"""What is installed here, packed for another host: a tar that makes an empty virtual environment there one with ployz.

So the host needs no index of packages, and has exactly what is here. It has to be of the same kind: what is compiled
is compiled for one release of Python on one platform.
"""

import io
import os
import re
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import IO

PREFIX = "/opt/ployz"
"""Where it is on the other host."""
KIND = "import sys, sysconfig; print(sys.implementation.name, '%d.%d' % sys.version_info[:2], sysconfig.get_platform())"
"""What a Python there is to print to be compared with `kind`."""
OWN = ("ctl", "daemon", "dataplane", "runtime")
COMMANDS = {
    "ployzctl": "from ctl.__main__ import run\n\nrun()\n",
    "ployzd": "from daemon.__main__ import main\n\nraise SystemExit(main())\n",
}
SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
Requirement = tuple[str, frozenset[str]]
"""A package, and those of its extras that are wanted."""
NAME = re.compile(r"[A-Za-z0-9._-]+")
EXTRAS, EXTRA = re.compile(r"\[([^]]*)\]"), re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


def kind() -> str:
    """The Python that is needed: its name, its release and its platform."""
    release = ".".join(map(str, sys.version_info[:2]))
    return f"{sys.implementation.name} {release} {sysconfig.get_platform()}"


def pack(out: IO[bytes]) -> None:
    """Write the tar. Raises OSError."""
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, place in sorted(_files()):
            tar.add(place, name, recursive=False)
        for name, text in COMMANDS.items():
            _add(tar, f"bin/{name}", f"#!{PREFIX}/bin/python -P\n{text}".encode())


def _add(tar: tarfile.TarFile, name: str, text: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size, about.mode = len(text), 0o755
    tar.addfile(about, io.BytesIO(text))


def _files() -> Iterator[tuple[str, Path]]:
    """Each file with its place below the prefix. What starts a Python of ours is left out: it names where that is."""
    home = Path(__file__).parents[1]
    for package in OWN:
        for file in (home / package).rglob("*.py"):
            yield f"{SITE}/{file.relative_to(home)}", file
    for packed in _needed():
        for each in packed.files or ():
            place, name = Path(str(each.locate())), os.path.normpath(f"{SITE}/{each}")
            if place.is_file() and _is_wanted(name, place):
                yield name, place


def _is_wanted(name: str, place: Path) -> bool:
    if name.startswith(SITE):
        return "__pycache__" not in name and not name.endswith(".pth") and name.split("/")[3] not in OWN
    with place.open("rb") as opened:
        return name.startswith("bin/") and opened.read(2) != b"#!"


def _needed() -> list[Distribution]:
    """ployz, what it requires, and what that requires, as far as it is installed."""
    found: dict[str, Distribution] = {}
    seen, wanted = set[Requirement](), [("ployz", frozenset[str]())]
    while wanted:
        name, extras = one = wanted.pop()
        if one in seen:
            continue
        seen.add(one)
        with suppress(PackageNotFoundError):  # it is for another platform, or an older Python
            found[name] = distribution(name)
            wanted += _requirements(found[name], extras)
    return list(found.values())


def _requirements(packed: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    for line in packed.requires or ():
        said, _, condition = line.partition(";")
        only = EXTRA.search(condition)
        if (match := NAME.match(said)) and (not only or only[1] in extras):
            asked = EXTRAS.search(said)
            yield match[0].lower().replace("_", "-"), frozenset(asked[1].split(",")) if asked else frozenset()
