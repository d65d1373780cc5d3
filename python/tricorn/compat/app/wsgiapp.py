"""The `gunicorn` command as Python code."""

from __future__ import annotations

import sys

from tricorn import apps
from tricorn.compat import launch
from tricorn.compat.app.base import Application
from tricorn.compat.errors import ConfigError

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class WSGIApplication(Application):
    """The application the command line's first word names."""

    def init(self, parser: Any, opts: Any, args: list[str]) -> None:
        """Take the application's name."""
        self.app_uri = args[0] if args else None
        if args:
            self.cfg.set("default_proc_name", args[0])

    def load_config(self) -> None:
        """Read all sources; the file may name the application, too."""
        super().load_config()
        if self.app_uri is None:
            self.app_uri = self.cfg.wsgi_app
        if self.app_uri is None:
            raise ConfigError("No application module specified.")

    def load_wsgiapp(self) -> Callable[..., Any]:
        """Import the application."""
        return apps.load(self.app_uri)

    def load(self) -> Callable[..., Any]:
        """Give the application."""
        return self.load_wsgiapp()


def run(prog: str | None = None) -> None:
    """Do as the command does; does not return."""
    launch.become_arbiter(sys.argv[1:])


if __name__ == "__main__":
    run()
