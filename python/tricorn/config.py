"""`cfg` as hooks, logger classes and custom applications see it: Gunicorn's `Config`."""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from typing import Any


def _no_hook(*_args: Any) -> None:
    """Do nothing, as a hook that nobody has set."""


class Setting:
    """One setting: cfg.settings[name]."""

    def __init__(self, row: Mapping[str, Any], order: int) -> None:
        self.name: str = row["name"]
        self.section: str = row["section"]
        self.cli: list[str] | None = row["flags"].split() or None
        self.kind: str = row["kind"]
        self.meta: str | None = row["metavar"] or None
        self.short = self.desc = row["meaning"]
        self.order = order
        self.default = _no_hook if self.kind == "hook" else row["default"]
        if isinstance(self.default, str) and self.kind == "comma list":
            self.default = self.default.split(",")
        self.value = self.default
        self.given = False

    def get(self) -> Any:
        """Give the value."""
        return self.value

    def set(self, value: Any) -> None:
        """Change the value; the arbiter validates it when the server starts."""
        self.value = value
        self.given = True

    def add_option(self, parser: argparse.ArgumentParser) -> None:
        """Let a parser of the command line know the setting's flags."""
        if not self.cli:
            return
        options: dict[str, Any] = {"dest": self.name, "default": None, "help": self.short}
        if self.kind.startswith("flag"):
            options.update(action="store_const", const=self.kind == "flag")
        else:
            options.update(metavar=self.meta, action="append" if self.kind == "list" else "store")
            if self.kind == "int":
                options["type"] = int
            elif self.kind == "mode":
                options["type"] = lambda text: int(text, 8 if text[:1] == "0" else 0)
            if self.name == "proxy_protocol":
                options.update(nargs="?", const="auto")
        parser.add_argument(*self.cli, **options)


def make_settings(ignore: object = None) -> dict[str, Setting]:
    """Give every setting with its default, by name."""
    path = os.path.join(os.path.dirname(__file__), "settings.json")
    with open(path, encoding="utf-8") as table:
        rows = json.load(table)
    return {row["name"]: Setting(row, order) for order, row in enumerate(rows)}


class Config:
    """Settings as attributes, e.g. cfg.workers, and as cfg.settings["workers"].get()."""

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        self.usage = usage
        self.prog = prog or os.path.basename(sys.argv[0])
        self.env_orig = os.environ.copy()
        self._holds: dict[str, Any] | None = None  # what the arbiter has resolved
        self._own: Mapping[str, Any] = {}  # hooks and other values JSON cannot carry
        self._settings: dict[str, Setting] | None = None

    @classmethod
    def that_holds(cls, values: dict[str, Any], own: Mapping[str, Any]) -> Config:
        """Make the Config of a running server. own: hooks by name."""
        config = cls()
        config._holds = values
        config._own = own
        return config

    @property
    def settings(self) -> dict[str, Setting]:
        """All settings by name; made when somebody asks, for it takes a while."""
        if self._settings is None:
            self._settings = make_settings()
            for name, value in {**(self._holds or {}), **self._own}.items():
                if name in self._settings:
                    self._settings[name].value = value
        return self._settings

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._settings is None:
            if name in self._own:
                return self._own[name]
            if self._holds is not None and name in self._holds:
                return self._holds[name]
        if name in self.settings:
            return self.settings[name].get()
        raise AttributeError(f"No configuration setting for: {name}")

    def set(self, name: str, value: Any) -> None:
        """Change a setting."""
        if name not in self.settings:
            raise AttributeError(f"No configuration setting for: {name}")
        self.settings[name].set(value)

    def validate(self) -> None:
        """Check nothing: the arbiter checks what was set."""

    def given(self) -> dict[str, Any]:
        """Give what set() has changed."""
        return {name: setting.value for name, setting in self.settings.items() if setting.given}

    def parser(self) -> argparse.ArgumentParser:
        """Give a parser of the command line, positional words in `args`."""
        import argparse

        parser = argparse.ArgumentParser(usage=self.usage, prog=self.prog)
        version = "%(prog)s (version 27.0.1)\n"
        parser.add_argument("-v", "--version", action="version", version=version)
        parser.add_argument("args", nargs="*", help=argparse.SUPPRESS)
        for setting in self.settings.values():
            setting.add_option(parser)
        return parser

    def get_cmd_args_from_env(self) -> list[str]:
        """Give the words of GUNICORN_CMD_ARGS."""
        import shlex

        return shlex.split(self.env_orig.get("GUNICORN_CMD_ARGS", ""))

    def __str__(self) -> str:
        lines = []
        width = max(map(len, self.settings))
        for name in sorted(self.settings):
            value = self.settings[name].value
            shown = f"<{value.__qualname__}()>" if callable(value) else value
            lines.append(f"{name:{width}} = {shown}")
        return "\n".join(lines)

    # ---- what Gunicorn computes from settings ----

    def _value(self, name: str) -> Any:
        return type(self).__getattr__(self, name)

    @property
    def worker_class_str(self) -> str:
        """Name of the worker class that is used."""
        name = self._value("worker_class")
        name = name if isinstance(name, str) else name.__name__
        return "gthread" if name == "sync" and self._value("threads") > 1 else name

    @property
    def worker_class(self) -> type:
        """Class of the workers, for isinstance() and names."""
        from tricorn.compat.workers import gthread, sync

        given = self._value("worker_class")
        if isinstance(given, type):
            return given
        return gthread.ThreadWorker if self.worker_class_str == "gthread" else sync.SyncWorker

    @property
    def address(self) -> list[Any]:
        """Where to listen: (host, port), or the path of a unix socket."""
        from tricorn.compat import util

        return [util.parse_address(address) for address in self._value("bind")]

    @property
    def uid(self) -> int:
        """User id of the workers."""
        user = self._value("user")
        return os.geteuid() if user is None else user

    @property
    def gid(self) -> int:
        """Group id of the workers."""
        group = self._value("group")
        return os.getegid() if group is None else group

    @property
    def proc_name(self) -> str:
        """Name of the processes."""
        return self._value("proc_name") or self._value("default_proc_name")

    @property
    def is_ssl(self) -> str | None:
        """Whether a certificate or a key is set."""
        return self._value("certfile") or self._value("keyfile")

    @property
    def ssl_options(self) -> dict[str, Any]:
        """The settings about TLS."""
        return {n: s.get() for n, s in self.settings.items() if s.section == "SSL"}

    @property
    def env(self) -> dict[str, str]:
        """What raw_env adds to the environment."""
        added = {}
        for item in self._value("raw_env"):
            name, found, value = item.partition("=")
            if not found:
                raise RuntimeError(f"environment setting {item!r} invalid")
            added[name] = value
        return added

    @property
    def reuse_port(self) -> bool:
        """Whether each worker has a listening socket of its own."""
        return self._value("reuse_port")
