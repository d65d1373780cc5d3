"""The objects hooks are given: server, worker and cfg with the attributes people read."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Config:
    """Settings as attributes, e.g. cfg.workers; also cfg.settings[name].get() as in Gunicorn."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(f"No configuration setting for: {name}") from None


class Log:
    """Logger with Gunicorn's methods; every line goes to the error log through `write`."""

    def __init__(self, write: Callable[[int, str], None]) -> None:
        self._write = write

    def _line(self, level: int, message: object, args: tuple[Any, ...]) -> None:
        text = str(message)
        self._write(level, text % args if args else text)

    def debug(self, message: object, *args: Any, **_: Any) -> None:
        """Log for developers."""
        self._line(0, message, args)

    def info(self, message: object, *args: Any, **_: Any) -> None:
        """Log what is normal."""
        self._line(1, message, args)

    def warning(self, message: object, *args: Any, **_: Any) -> None:
        """Log what is odd but handled."""
        self._line(2, message, args)

    def error(self, message: object, *args: Any, **_: Any) -> None:
        """Log what an operator must look at today."""
        self._line(3, message, args)

    def critical(self, message: object, *args: Any, **_: Any) -> None:
        """Log what an operator must look at now."""
        self._line(4, message, args)

    def exception(self, message: object, *args: Any, **_: Any) -> None:
        """Log an error with the traceback of the exception being handled."""
        import traceback

        self._line(3, message, args)
        self._line(3, traceback.format_exc().rstrip(), ())


class Worker:
    """One worker as hooks see it."""

    def __init__(self, age: int, cfg: Config, log: Log, pid: int | str = "[booting]") -> None:
        self.age = age
        self.cfg = cfg
        self.log = log
        self.pid = pid
        self.ppid = os.getppid()
        self.alive = True
        self.booted = False
        self.aborted = False
        self.nr = 0
        self.tmp = None
        self.app = None

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"


class Server:
    """The arbiter as hooks see it."""

    def __init__(self, pid: int, cfg: Config, log: Log) -> None:
        self.pid = pid
        self.cfg = cfg
        self.log = log
        self.WORKERS: dict[int, Worker] = {}
        self.LISTENERS: list[str] = []
        self.num_workers = cfg.workers
        self.master_name = "Master"
        self.proc_name = cfg.proc_name
