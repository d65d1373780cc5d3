"""Gunicorn's exceptions."""

from __future__ import annotations

from tricorn.apps import AppImportError

__all__ = ["AppImportError", "ConfigError", "HaltServer"]


class HaltServer(BaseException):  # so that applications do not catch it
    """The server ends: `reason` is logged, `exit_status` returned."""

    def __init__(self, reason: str, exit_status: int = 1) -> None:
        self.reason = reason
        self.exit_status = exit_status

    def __str__(self) -> str:
        return f"<HaltServer {self.reason!r} {self.exit_status}>"


class ConfigError(Exception):
    """A setting cannot be what it was set to."""
