"""Which daemon is asked: what flags, the environment and the file of contexts say."""

import os
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from daemon.wire import Problem, Refused

DEFAULT = "/run/ployz/ployzd.sock"
UNNAMED = "no context is in use"


class Place(Struct, frozen=True):
    """A daemon's socket, and the reason for asking there."""

    socket: str
    because: str

    @property
    def named(self) -> bool:
        """Whether anybody named it; else it is where a daemon would listen, if there were one."""
        return self.because != UNNAMED


class Context(Struct, frozen=True):
    socket: str


class Contexts(Struct, frozen=True, omit_defaults=True):
    """The file of contexts: `current` is the name of the one in use."""

    current: str | None = None
    contexts: dict[str, Context] = {}

    def with_context(self, name: str, socket: str) -> "Contexts":
        return Contexts(self.current, {**self.contexts, name: Context(socket)})

    def without(self, name: str) -> "Contexts":
        left = {known: context for known, context in self.contexts.items() if known != name}
        return Contexts(None if self.current == name else self.current, left)

    def using(self, name: str) -> "Contexts":
        return Contexts(name, self.contexts)

    def named(self, name: str, doing: str) -> Context:
        """The context of that name; raise Refused `context.missing`, where one was meant to be found for `doing`."""
        if name not in self.contexts:
            known = ", ".join(sorted(self.contexts)) or "there are none"
            raise Refused("context.missing", f"cannot {doing}", f"there is no context {name} (known: {known})", LIST)
        return self.contexts[name]


LIST = "ployzctl context ls"


def file() -> str:
    """Where contexts are kept: `ployz/contexts.json` in the folder for configurations (XDG).

    Paths are plain text here: pathlib takes 5 ms to import, and every command reads this file.
    """
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(folder, "ployz", "contexts.json")


def read() -> Contexts:
    """Raise Problem `context.broken` if the file is not one of contexts."""
    try:
        with open(file(), "rb") as opened:
            return msgspec.json.decode(opened.read(), type=Contexts)
    except FileNotFoundError:
        return Contexts()
    except (OSError, msgspec.DecodeError) as error:
        hint = f"mend or remove {file()}"
        raise Problem("context.broken", "cannot read the contexts", f"{file()}: {error}", hint) from None


def write(contexts: Contexts) -> None:
    """Replace the file whole; raise Problem `context.unwritable` where that is not possible."""
    path = file()
    new = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(new, "wb") as opened:
            opened.write(msgspec.json.format(msgspec.json.encode(contexts)) + b"\n")
        os.replace(new, path)
    except OSError as error:
        hint = "set XDG_CONFIG_HOME to a folder that you may write"
        raise Problem("context.unwritable", "cannot write the contexts", str(error), hint) from None


def place(socket: str | None, context: str | None, environment: Mapping[str, str]) -> Place:
    """The daemon to ask: a flag counts more than the environment, that more than the context in use."""
    if socket:
        return Place(socket, "--socket")
    if context:
        return _in_context(context, "--context")
    if socket := environment.get("PLOYZ_SOCKET"):
        return Place(socket, "PLOYZ_SOCKET")
    if context := environment.get("PLOYZ_CONTEXT"):
        return _in_context(context, "PLOYZ_CONTEXT")
    if current := read().current:
        return _in_context(current, "the context in use")
    return Place(DEFAULT, UNNAMED)


def _in_context(name: str, because: str) -> Place:
    return Place(read().named(name, "choose a daemon").socket, f"{because}, {name}")
