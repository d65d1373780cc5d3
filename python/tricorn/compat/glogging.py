"""Python's `logging` as the sink of the logs, under Gunicorn's names: its `gunicorn.glogging`.

Used when a logger class or a logging configuration is set; the built-in writer is C++.
Source: Gunicorn 27.0.1 as observed: public names, formats, defaults and error texts.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import logging
import logging.config
import logging.handlers
import os
import socket
import sys
import threading
import time
import traceback

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

ERROR_LOGGER = "gunicorn.error"
ACCESS_LOGGER = "gunicorn.access"

_FACILITY_NAMES = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp"
# Source: RFC 5424 section 6.2.1
SYSLOG_FACILITIES = {
    **{name: number for number, name in enumerate(_FACILITY_NAMES.split())},
    **{f"local{n}": 16 + n for n in range(8)},
    "security": 4,  # an old name of auth
}


def _logger_defaults(name: str, handler: str) -> dict[str, Any]:
    return {"level": "INFO", "handlers": [handler], "propagate": True, "qualname": name}


def _stream_defaults(stream: str) -> dict[str, Any]:
    return {
        "class": "logging.StreamHandler",
        "formatter": "generic",
        "stream": f"ext://sys.{stream}",
    }


# What logconfig_dict and the JSON file change, key by key at the top level.
CONFIG_DEFAULTS: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        ERROR_LOGGER: _logger_defaults(ERROR_LOGGER, "error_console"),
        ACCESS_LOGGER: _logger_defaults(ACCESS_LOGGER, "console"),
    },
    "handlers": {
        "console": _stream_defaults("stdout"),
        "error_console": _stream_defaults("stderr"),
    },
    "formatters": {
        "generic": {
            "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
            "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
            "class": "logging.Formatter",
        }
    },
}


def loggers() -> list[logging.Logger]:
    """Give every logger that exists, the root aside."""
    return [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]


class SafeAtoms(dict):
    """Atoms of one access line: a quote cannot end a field, what is missing is "-"."""

    def __init__(self, atoms: Mapping[str, Any]) -> None:
        super().__init__(
            (name, value.replace('"', '\\"') if isinstance(value, str) else value)
            for name, value in atoms.items()
        )

    def __getitem__(self, name: str) -> Any:
        return self.get(name.lower() if name.startswith("{") else name, "-")


def parse_syslog_address(addr: str) -> tuple[int | None, Any]:
    """Give the socket type, None when either will do, and the address of SysLogHandler.

    addr: udp://HOST:PORT, tcp://HOST:PORT, unix://PATH with #dgram or #stream.
    """
    scheme, found, rest = addr.partition("://")
    if scheme == "unix" and found:
        path, _, kind = rest.partition("#")
        return socket.SOCK_DGRAM if kind == "dgram" else None, path
    if scheme not in ("udp", "tcp") or not found:
        raise RuntimeError("invalid syslog address")
    if "[" in rest and "]" in rest:
        host, _, port = rest.partition("[")[2].partition("]")
        port = port.partition(":")[2]
    else:
        host, _, port = rest.partition(":")
    if port and not port.isdigit():
        raise RuntimeError(f"{port!r} is not a valid port number.")
    kind = socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM
    return kind, (host.lower() or "localhost", int(port or 514))


class Logger:
    """What `logger_class` names: a subclass, or any class with these methods."""

    LOG_LEVELS = {
        "critical": logging.CRITICAL,
        "error": logging.ERROR,
        "warning": logging.WARNING,
        "info": logging.INFO,
        "debug": logging.DEBUG,
    }
    loglevel = logging.INFO

    error_fmt = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
    datefmt = "[%Y-%m-%d %H:%M:%S %z]"
    access_fmt = "%(message)s"
    syslog_fmt = "[%(process)d] %(message)s"

    atoms_wrapper_class = SafeAtoms

    def __init__(self, cfg: Any) -> None:
        self.error_log = logging.getLogger(ERROR_LOGGER)
        self.access_log = logging.getLogger(ACCESS_LOGGER)
        self.error_log.propagate = self.access_log.propagate = False
        self.error_handlers: list[logging.Handler] = []
        self.access_handlers: list[logging.Handler] = []
        self.logfile: Any = None
        self.lock = threading.Lock()
        self.cfg = cfg
        self.setup(cfg)

    # ---- set-up ----

    def setup(self, cfg: Any) -> None:
        """Set levels and handlers, then apply logconfig_dict, logconfig_json or logconfig.

        May be called again. Raises RuntimeError or OSError with what the operator must change.
        """
        self.cfg = cfg
        self.loglevel = self.LOG_LEVELS.get(str(cfg.loglevel).lower(), logging.INFO)
        self.error_log.setLevel(self.loglevel)
        self.access_log.setLevel(logging.INFO)
        for log in (self.error_log, self.access_log):
            for handler in [h for h in log.handlers if getattr(h, "_gunicorn", False)]:
                log.removeHandler(handler)
        if cfg.capture_output and cfg.errorlog != "-":
            self._capture()
        self._set_handler(
            self.error_log, cfg.errorlog, logging.Formatter(self.error_fmt, self.datefmt)
        )
        if cfg.accesslog is not None:
            self._set_handler(
                self.access_log, cfg.accesslog, logging.Formatter(self.access_fmt), sys.stdout
            )
        if cfg.syslog:
            self._set_syslog_handler(self.error_log, cfg, self.syslog_fmt, "error")
            if not cfg.disable_redirect_access_to_syslog:
                self._set_syslog_handler(self.access_log, cfg, self.syslog_fmt, "access")
        self._configure(cfg)

    def _configure(self, cfg: Any) -> None:
        if cfg.logconfig_dict:
            self._configure_from(cfg.logconfig_dict)
        elif cfg.logconfig_json:
            if not os.path.exists(cfg.logconfig_json):
                return  # Gunicorn says nothing either
            try:
                with open(cfg.logconfig_json, encoding="utf-8") as file:
                    config = json.load(file)
            except ValueError as problem:
                raise RuntimeError(str(problem)) from problem
            self._configure_from(config)
        elif cfg.logconfig:
            if not os.path.exists(cfg.logconfig):
                raise RuntimeError(f"Error: log config '{cfg.logconfig}' not found")
            here = {"__file__": cfg.logconfig, "here": os.path.dirname(cfg.logconfig)}
            logging.config.fileConfig(
                cfg.logconfig, defaults={**CONFIG_DEFAULTS, **here}, disable_existing_loggers=False
            )

    @staticmethod
    def _configure_from(config: Mapping[str, Any]) -> None:
        try:
            logging.config.dictConfig({**CONFIG_DEFAULTS, **config})
        except (AttributeError, ImportError, TypeError, ValueError) as problem:
            raise RuntimeError(str(problem)) from problem

    def _set_handler(
        self, log: logging.Logger, output: str | None, fmt: logging.Formatter, stream: Any = None
    ) -> None:
        if (old := self._get_gunicorn_handler(log)) is not None:
            log.removeHandler(old)
        if output is None:
            return
        if output == "-":
            handler: logging.StreamHandler[Any] = logging.StreamHandler(stream)
        else:
            self._check_writable(output)
            handler = logging.FileHandler(output)
            self._give_to_user(handler.baseFilename)
        self._add_handler(log, handler, fmt)

    def _set_syslog_handler(self, log: logging.Logger, cfg: Any, fmt: str, name: str) -> None:
        name_of_app = cfg.proc_name or cfg.default_proc_name
        prefix = cfg.syslog_prefix or name_of_app.replace(":", ".")
        facility = SYSLOG_FACILITIES.get(cfg.syslog_facility.lower())
        if facility is None:
            raise RuntimeError("unknown facility name")
        kind, address = parse_syslog_address(cfg.syslog_addr)
        handler = logging.handlers.SysLogHandler(address=address, facility=facility, socktype=kind)
        self._add_handler(log, handler, logging.Formatter(f"gunicorn.{prefix}.{name}: {fmt}"))

    @staticmethod
    def _add_handler(log: logging.Logger, handler: logging.Handler, fmt: logging.Formatter) -> None:
        handler.setFormatter(fmt)
        handler._gunicorn = True  # type: ignore[attr-defined]  # a second setup() takes it away
        log.addHandler(handler)

    @staticmethod
    def _get_gunicorn_handler(log: logging.Logger) -> logging.Handler | None:
        return next((h for h in log.handlers if getattr(h, "_gunicorn", False)), None)

    @staticmethod
    def _check_writable(path: str) -> None:
        try:
            with open(path, "a", encoding="utf-8"):
                pass
        except OSError as problem:
            raise RuntimeError(f"Error: '{path}' isn't writable [{problem!r}]") from problem

    def _give_to_user(self, path: str) -> None:
        """Let the workers' user open the file again after logrotate has moved it."""
        owner = [-1 if one is None else one for one in (self.cfg.user, self.cfg.group)]
        with contextlib.suppress(OSError):  # a device, or not ours to give away
            os.chown(path, *owner)

    def _capture(self) -> None:
        """Send what is printed to the error log, by C code and child processes too."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with self.lock:
            if self.logfile is not None:
                self.logfile.close()
            self.logfile = open(self.cfg.errorlog, "a+", encoding="utf-8")  # noqa: SIM115
            for stream in (sys.stdout, sys.stderr):
                os.dup2(self.logfile.fileno(), stream.fileno())

    # ---- the error log ----

    def critical(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log what an operator must look at now."""
        self.error_log.critical(msg, *args, **kwargs)

    def error(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log what an operator must look at today."""
        self.error_log.error(msg, *args, **kwargs)

    def warning(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log what is odd but handled."""
        self.error_log.warning(msg, *args, **kwargs)

    def info(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log what is normal."""
        self.error_log.info(msg, *args, **kwargs)

    def debug(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log for developers."""
        self.error_log.debug(msg, *args, **kwargs)

    def exception(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log an error with the traceback of the exception being handled."""
        self.error_log.exception(msg, *args, **kwargs)

    def log(self, lvl: int | str, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log at a level given as a number or by name."""
        if isinstance(lvl, str):
            lvl = self.LOG_LEVELS.get(lvl.lower(), logging.INFO)
        self.error_log.log(lvl, msg, *args, **kwargs)

    # ---- the access log ----

    @property
    def access_log_enabled(self) -> bool:
        """Whether access() has anywhere to write to."""
        cfg = self.cfg
        configured = cfg.logconfig or cfg.logconfig_dict or cfg.logconfig_json
        to_syslog = cfg.syslog and not cfg.disable_redirect_access_to_syslog
        return bool(cfg.accesslog or configured or to_syslog)

    def access(
        self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: datetime.timedelta
    ) -> None:
        """Log one request; called after its response."""
        if not self.access_log_enabled:
            return
        atoms = self.atoms_wrapper_class(self.atoms(resp, req, environ, request_time))
        try:
            self.access_log.info(self.cfg.access_log_format, atoms)
        except Exception:
            self.error(traceback.format_exc())

    def atoms(
        self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: datetime.timedelta
    ) -> dict[str, Any]:
        """Give what %(name)s may stand for in access_log_format."""
        status = resp.status
        sent = getattr(resp, "sent", None)
        whole, micros = request_time.seconds, request_time.microseconds
        method, protocol = environ["REQUEST_METHOD"], environ["SERVER_PROTOCOL"]
        atoms = {
            "h": environ.get("REMOTE_ADDR", "-"),
            "l": "-",
            "u": self._get_user(environ) or "-",
            "t": self.now(),
            "r": f"{method} {environ['RAW_URI']} {protocol}",
            "s": status.split(None, 1)[0] if isinstance(status, str) else status,
            "m": method,
            "U": environ.get("PATH_INFO"),
            "q": environ.get("QUERY_STRING"),
            "H": protocol,
            "b": "-" if sent is None else str(sent),
            "B": sent,
            "f": environ.get("HTTP_REFERER", "-"),
            "a": environ.get("HTTP_USER_AGENT", "-"),
            "T": whole,
            "D": whole * 1_000_000 + micros,
            "M": whole * 1000 + micros // 1000,
            "L": f"{whole}.{micros:06}",
            "p": f"<{os.getpid()}>",
        }
        request_fields = getattr(req, "headers", req)
        for kind, fields in (("i", request_fields), ("o", resp.headers), ("e", environ)):
            atoms.update((f"{{{name.lower()}}}{kind}", value) for name, value in _pairs(fields))
        return atoms

    def now(self) -> str:
        """Give the date in the Common Log Format."""
        return time.strftime("[%d/%b/%Y:%H:%M:%S %z]")

    def _get_user(self, environ: Mapping[str, Any]) -> str | None:
        scheme, _, credentials = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "basic" or not credentials:
            return None
        try:
            return base64.b64decode(credentials.strip()).partition(b":")[0].decode()
        except (ValueError, binascii.Error) as problem:
            self.debug("Couldn't get username: %s", problem)
            return None

    # ---- files ----

    def reopen_files(self) -> None:
        """Open every log file again: logrotate has moved it."""
        if self.cfg.capture_output and self.cfg.errorlog != "-":
            self._capture()
        for handler in _open_file_handlers():
            handler.close()
            handler.stream = handler._open()

    def close_on_exec(self) -> None:
        """Keep log files out of the programs that the application starts."""
        for handler in _open_file_handlers():
            os.set_inheritable(handler.stream.fileno(), False)


def _pairs(fields: Any) -> Iterable[tuple[str, Any]]:
    return fields.items() if hasattr(fields, "items") else fields


def _open_file_handlers() -> Iterator[logging.FileHandler]:
    """Give each file handler that has its file open, locked while the caller works on it."""
    for log in loggers():
        for handler in log.handlers:
            if not isinstance(handler, logging.FileHandler):
                continue
            handler.acquire()
            try:
                if handler.stream:
                    yield handler
            finally:
                handler.release()
