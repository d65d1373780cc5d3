"""Lets `import gunicorn` find the modules of this package."""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any

_OURS = "tricorn.compat"


class _Alias:
    """Loader whose module exists already, under its own name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._own_spec: Any = None

    def create_module(self, _spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._name)
        self._own_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._own_spec  # importing has put the other name there


class _Finder:
    """Finds gunicorn, if nobody else does or `always`, and gunicorn.x.

    It is asked first of all: a search of our folder would give gunicorn.x a second copy of ours.
    """

    def __init__(self, always: bool) -> None:
        self._always = always

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        top, _, rest = name.partition(".")
        if top != "gunicorn":
            return None
        if rest and sys.modules.get("gunicorn") is not sys.modules.get(_OURS):
            return None  # the real one is there
        if not rest and not self._always and self._others_know(name):
            return None
        own = f"{_OURS}.{rest}" if rest else _OURS
        try:
            module = importlib.import_module(own)
        except ModuleNotFoundError as problem:
            if problem.name == own:
                return None
            raise
        return importlib.machinery.ModuleSpec(
            name, _Alias(own), is_package=hasattr(module, "__path__")
        )

    def _others_know(self, name: str) -> bool:
        others = [f for f in sys.meta_path if f is not self and hasattr(f, "find_spec")]
        return any(finder.find_spec(name, None) is not None for finder in others)


def activate() -> None:
    """Make `import gunicorn` work where Gunicorn is not installed.

    The variable TRICORN_SHIM changes that: "always" hides the real package, "never" does nothing.
    """
    wanted = os.environ.get("TRICORN_SHIM", "auto")
    if wanted == "never" or any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder(wanted == "always"))  # type: ignore[arg-type]
