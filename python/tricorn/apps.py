"""Finds and loads the application a spec such as "package.module:name" stands for."""

from __future__ import annotations

import importlib
import os
import sys

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class AppImportError(Exception):
    """The module loaded, but what the spec names in it is no application; exit status 4."""


class Application:
    """The application a spec names: `server.app` and `worker.app`."""

    def __init__(self, spec: str, cfg: Any) -> None:
        self.app_uri = spec
        self.cfg = cfg
        self.callable: Callable[..., Any] | None = None
        self.logger = None

    def load(self) -> Callable[..., Any]:
        """Import the application."""
        return load(self.app_uri)

    def wsgi(self) -> Callable[..., Any]:
        """Give the application, imported once."""
        if self.callable is None:
            self.callable = self.load()
        return self.callable


def load(spec: str) -> Callable[..., Any]:
    """Import the application.

    spec: "MODULE", "MODULE:NAME" or "MODULE:FACTORY(arguments)", arguments being literals.
    Raises AppImportError, or whatever importing the module raises.
    """
    module_name, colon, name = spec.partition(":")
    if not colon:
        name = "application"
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        if module_name.endswith(".py"):
            stem = module_name.rpartition(".")[0]
            message = f"Failed to find application, did you mean '{stem}:{name}'?"
            raise ImportError(message)  # noqa: B904
        raise
    app = _resolve(module, module_name, name)
    if app is None:
        raise AppImportError(f"Failed to find application object: {name!r}")
    if not callable(app):
        raise AppImportError("Application object must be callable.")
    return app


def _resolve(module: Any, module_name: str, name: str) -> Any:
    if name.isidentifier():
        return _attribute(module, module_name, name)
    import ast

    try:
        tree = ast.parse(name, mode="eval").body
    except SyntaxError:
        message = f"Failed to parse {name!r} as an attribute name or function call."
        raise AppImportError(message)  # noqa: B904  with what Python said, here and below
    if not isinstance(tree, ast.Call):
        raise AppImportError(f"Failed to parse {name!r} as an attribute name or function call.")
    if not isinstance(tree.func, ast.Name):
        raise AppImportError(f"Function reference must be a simple name: {name!r}")
    try:
        args = [ast.literal_eval(arg) for arg in tree.args]
        kwargs = {kw.arg: ast.literal_eval(kw.value) for kw in tree.keywords if kw.arg}
    except ValueError:
        message = f"Failed to parse arguments as literal values: {name!r}"
        raise AppImportError(message)  # noqa: B904
    factory = _attribute(module, module_name, tree.func.id)
    try:
        return factory(*args, **kwargs)
    except TypeError as problem:
        # A wrong call is the spec's fault; a TypeError from inside is the application's.
        if problem.__traceback__ is not None and problem.__traceback__.tb_next is None:
            raise AppImportError(f"TypeError: {problem}")  # noqa: B904
        raise


def _attribute(module: Any, module_name: str, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        message = f"Failed to find attribute {name!r} in {module_name!r}."
        raise AppImportError(message)  # noqa: B904


def extend_path(chdir: str, pythonpath: str | None) -> None:
    """Make the application's directory, then --pythonpath, importable, the last first."""
    for path in [chdir, *(pythonpath.split(",") if pythonpath else [])]:
        path = os.path.abspath(path)
        if path not in sys.path:
            sys.path.insert(0, path)
