"""Programs that bring their own application and settings subclass these."""

from __future__ import annotations

import os
import sys

from tricorn import conf
from tricorn.compat import launch
from tricorn.compat.config import Config, get_default_config_file

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any


class BaseApplication:
    """An application with settings of its own: override load_config() and load()."""

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        self.usage = usage
        self.cfg: Any = None
        self.callable: Callable[..., Any] | None = None
        self.prog = prog
        self.logger = None
        self.do_load_config()

    def do_load_config(self) -> None:
        """Make the settings; a mistake in them ends the program."""
        try:
            self.load_default_config()
            self.load_config()
            self.cfg.validate()
        except conf.ConfError as problem:
            print(problem, end="", file=sys.stderr, flush=True)
            sys.exit(1)
        except Exception as problem:
            print(f"\nError: {problem}", file=sys.stderr, flush=True)
            sys.exit(1)

    def load_default_config(self) -> None:
        """Begin with the defaults."""
        self.cfg = Config(self.usage, prog=self.prog)

    def init(self, parser: argparse.ArgumentParser, opts: Any, args: list[str]) -> Any:
        """Give settings that the command line's words stand for."""
        raise NotImplementedError

    def load(self) -> Callable[..., Any]:
        """Give the WSGI application; called in each worker, or once with preload_app."""
        raise NotImplementedError

    def load_config(self) -> None:
        """Change the settings: self.cfg.set(name, value)."""
        raise NotImplementedError

    def reload(self) -> None:
        """Make the settings anew."""
        self.do_load_config()

    def wsgi(self) -> Callable[..., Any]:
        """Give the application, loaded once."""
        if self.callable is None:
            self.callable = self.load()
        return self.callable

    def run(self) -> None:
        """Serve; does not return."""
        launch.run(self, takes_arguments=False)


class Application(BaseApplication):
    """One that reads Gunicorn's command line, variables and configuration file as well."""

    def chdir(self) -> None:
        """Go to the application's directory and make it importable."""
        os.chdir(self.cfg.chdir or ".")
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())

    def load_config_from_module_name_or_filename(self, location: str) -> dict[str, Any]:
        """Take the settings of a configuration file: PATH, file:PATH or python:MODULE."""
        names = conf.load(location, True)
        for name, value in names.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)
        return names

    def load_config_from_file(self, filename: str) -> dict[str, Any]:
        """Take the settings of a configuration file."""
        return self.load_config_from_module_name_or_filename(filename)

    def load_config(self) -> None:
        """Read all sources, the strongest last: file, GUNICORN_CMD_ARGS, command line."""
        parser = self.cfg.parser()
        given = parser.parse_args()
        for name, value in (self.init(parser, given, given.args) or {}).items():
            self.cfg.set(name.lower(), value)
        self.chdir()
        variable = parser.parse_args(self.cfg.get_cmd_args_from_env())
        location = given.config or variable.config or get_default_config_file()
        if location:
            self.load_config_from_file(location)
        for source in (variable, given):
            for name, value in vars(source).items():
                if value is not None and name != "args":
                    self.cfg.set(name, value)
        self.chdir()

    def run(self) -> None:
        """Serve; does not return."""
        launch.run(self, takes_arguments=True)
