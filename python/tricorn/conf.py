"""The configuration file: executed as Python, as Gunicorn does it."""

from __future__ import annotations

import importlib
import json
import os
import sys

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

# Hooks and how many positional arguments each takes. Source: Gunicorn 27, "Server Hooks".
HOOKS = {
    "on_starting": 1,
    "on_reload": 1,
    "when_ready": 1,
    "pre_fork": 2,
    "post_fork": 2,
    "post_worker_init": 1,
    "worker_int": 1,
    "worker_abort": 1,
    "pre_exec": 1,
    "pre_request": 2,
    "post_request": 4,
    "child_exit": 2,
    "worker_exit": 2,
    "nworkers_changed": 3,
    "on_exit": 1,
    "ssl_context": 2,
    "on_dirty_starting": 1,
    "dirty_post_fork": 2,
    "dirty_worker_init": 1,
    "dirty_worker_exit": 2,
}


class ConfError(Exception):
    """The configuration file cannot be used; the text is for the operator, as it is."""


def invalid(name: str, value: Any, problem: object) -> ConfError:
    """Say which setting of the file is wrong, then why: Gunicorn's two messages."""
    return ConfError(f"Invalid value for {name}: {value}\n\n\nError: {problem}\n")


def load(location: str, explicit: bool) -> dict[str, Any]:
    """Execute the configuration file and return its global names.

    location: a path, "file:PATH" or "python:MODULE".
    explicit: the user named it, so it must exist; the default path may be missing.
    """
    if location.startswith("python:"):
        return _from_module(location.removeprefix("python:"))
    path = location.removeprefix("file:")
    if not os.path.exists(path):
        if explicit:
            raise ConfError(f"\nError: {path!r} doesn't exist\n")
        return {}
    return _from_file(path)


def _from_module(name: str) -> dict[str, Any]:
    try:
        return dict(vars(importlib.import_module(name)))
    except Exception as problem:
        raise ConfError(f"\nError: {problem}\n") from None


def _from_file(path: str) -> dict[str, Any]:
    if not path.endswith(".py"):
        print(
            "!!!\n!!! WARNING: configuration file should have a valid Python extension.\n!!!\n",
            file=sys.stderr,
        )
    import importlib.util

    loader = importlib.machinery.SourceFileLoader("__config__", path)
    spec = importlib.util.spec_from_file_location("__config__", path, loader=loader)
    if spec is None:
        raise ConfError(f"Failed to read config file: {path}\n")
    module = importlib.util.module_from_spec(spec)
    sys.modules["__config__"] = module
    try:
        loader.exec_module(module)
    except Exception:
        import traceback

        text = f"Failed to read config file: {path}\n{traceback.format_exc()}"
        raise ConfError(text) from None
    return dict(vars(module))


def hooks_of(names: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """Pick the hooks out of a configuration file's names, checked as Gunicorn checks them."""
    return {
        name: _hook(name, names[name], arity) for name, arity in HOOKS.items() if names.get(name)
    }


def _hook(name: str, value: Any, arity: int) -> Callable[..., Any]:
    if name == "ssl_context":
        raise invalid(name, value, "TLS is not served; let a proxy in front end it")
    if isinstance(value, str):
        value = _imported(name, value)
    if not callable(value):
        raise invalid(name, value, f"Value is not callable: {value}")
    given = _arity_of(value)
    if name == "post_request" and given in (2, 3):
        hook = value
        return lambda *args: hook(*args[:given])
    if given is not None and given != arity:
        raise invalid(name, value, f"Value must have an arity of: {arity}")
    return value


def _imported(name: str, dotted: str) -> Any:
    module, _, attribute = dotted.rpartition(".")
    if not module:
        why = f"Value '{dotted}' is not import string. Format: module[.submodules...].object"
        raise invalid(name, dotted, why)
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as problem:
        raise invalid(name, dotted, problem) from None
    except AttributeError:
        why = f"Can not load '{attribute}' from '{module}'"
        raise invalid(name, dotted, why) from None


def _arity_of(value: Callable[..., Any]) -> int | None:
    """Positional parameters, None when they cannot be counted (C functions, *args)."""
    import inspect

    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def plain_values(names: Mapping[str, Any]) -> dict[str, Any]:
    """Give what JSON can carry to the arbiter, which knows the settings and ignores other names."""
    if not names:
        return {}
    import inspect

    plain = {}
    for name, value in names.items():
        if name in HOOKS:
            if value is not None:  # its name, for --print-config
                plain[name] = getattr(value, "__qualname__", type(value).__qualname__)
            continue
        if name.startswith("__") or inspect.ismodule(value) or inspect.isroutine(value):
            continue
        if inspect.isclass(value):
            plain[name] = f"{value.__module__}.{value.__qualname__}"
            continue
        try:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False)
            plain[name] = json.loads(text.encode())  # a path that is no UTF-8 raises here
        except (TypeError, ValueError):
            plain[name] = {"!": type(value).__name__}
    return plain
