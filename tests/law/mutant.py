"""Hunt in a mutant: `python -m tests.law.mutant FILE OLD NEW CHECK…`, the checks being tests.law.hunt's.

In FILE, a path, `OLD` is `NEW` when it is imported. No file is changed, and all others are as Python compiled them.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType


class Mutated(SourceFileLoader):
    """Loads one file, with a fault in it; what Python compiled of it before does not count."""

    def __init__(self, name: str, path: str, old: str, new: str) -> None:
        super().__init__(name, path)
        self.old, self.new = old, new

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path).decode()
        return compile(source.replace(self.old, self.new), self.path, "exec")


class Mutating(MetaPathFinder):
    """Finds modules as ever, and has one of them loaded with its fault."""

    def __init__(self, file: str, old: str, new: str) -> None:
        self.file, self.old, self.new = file, old, new

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and spec.origin == self.file:
            spec.loader = Mutated(fullname, self.file, self.old, self.new)
        return spec


def main(file: str, old: str, new: str, *checks: str) -> None:
    sys.meta_path.insert(0, Mutating(file, old, new))
    importlib.import_module("tests.law.hunt").main(checks)


if __name__ == "__main__":
    main(*sys.argv[1:])
