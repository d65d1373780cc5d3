"""Those of Gunicorn's helpers that configuration files and programs use."""

from __future__ import annotations

import os
import sys
import time

from tricorn.apps import load as import_app

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "bytes_to_str",
    "check_is_writable",
    "getcwd",
    "http_date",
    "import_app",
    "is_glob_pattern",
    "load_class",
    "make_fail_app",
    "parse_address",
    "to_bytestring",
    "warn",
]


def getcwd() -> str:
    """Give the working directory as the shell knows it, symbolic links kept."""
    shown = os.environ.get("PWD", "")
    try:
        return shown if os.path.samefile(shown, ".") else os.getcwd()
    except OSError:
        return os.getcwd()


def parse_address(netloc: str, default_port: str = "8000") -> Any:
    """Give (host, port), the path of unix:PATH, or the number of fd://N."""
    if netloc.startswith("unix:"):
        return netloc.removeprefix("unix:").removeprefix("//")
    if netloc.startswith("fd://"):
        return int(netloc.removeprefix("fd://"))
    netloc = netloc.removeprefix("tcp://")
    host, colon, port = netloc.rpartition(":")
    if netloc.endswith("]") or not colon:
        host, port = netloc, default_port
    if not port.isdigit():
        raise RuntimeError(f"{port!r} is not a valid port number.")
    return host.strip("[]").lower() or "0.0.0.0", int(port)  # noqa: S104


def load_class(
    uri: Any, default: str = "gunicorn.workers.sync.SyncWorker", section: str = ""
) -> Any:
    """Give the class a dotted name stands for; a class stands for itself."""
    import importlib
    import inspect

    if inspect.isclass(uri):
        return uri
    module, _, name = (uri or default).rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as problem:
        raise RuntimeError(f"class uri {uri!r} invalid or not found: {problem}") from None


def make_fail_app(msg: str | bytes) -> Callable[..., Any]:
    """Make an application that answers every request with a 500 and this text."""
    page = to_bytestring(msg)

    def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        fields = [("Content-Type", "text/plain"), ("Content-Length", str(len(page)))]
        start_response("500 Internal Server Error", fields)
        return [page]

    return app


def http_date(timestamp: float | None = None) -> str:
    """Give a time as HTTP writes it."""
    import email.utils

    return email.utils.formatdate(
        time.time() if timestamp is None else timestamp, localtime=False, usegmt=True
    )


def to_bytestring(value: str | bytes, encoding: str = "utf8") -> bytes:
    """Give bytes."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value.encode(encoding, errors="replace")


def bytes_to_str(value: str | bytes) -> str:
    """Give text."""
    return value if isinstance(value, str) else value.decode("latin1")


def is_glob_pattern(value: str) -> bool:
    """Whether a path is a pattern."""
    return any(c in value for c in "*?[")


def check_is_writable(path: str) -> None:
    """Raise RuntimeError when the file cannot be written."""
    try:
        with open(path, "a", encoding="utf-8"):
            pass
    except OSError as problem:
        raise RuntimeError(f"Error: '{path}' isn't writable [{problem!r}]") from problem


def warn(msg: str) -> None:
    """Print a warning to stderr."""
    print(f"!!!\n!!! WARNING: {msg}\n!!!\n", file=sys.stderr, flush=True)
