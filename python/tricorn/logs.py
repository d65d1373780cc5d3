"""Python's `logging` as the sink: the logger of spawner and workers, and the process that logs for
the arbiter and for threads that must not wait for the GIL. Source: docs/decisions/0012.
"""  # noqa: D205

from __future__ import annotations

import json
import logging
import os
import socket
import sys

from tricorn.compat import glogging, util

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_DEFAULT_CLASSES = ("", "simple", "gunicorn.glogging.Logger")
_STATSD_CLASS = "gunicorn.instrument.statsd.Statsd"
_BYTES_MAX = 256 * 1024
_NAMES = ("debug", "info", "warning", "error", "critical")


class LogError(Exception):
    """The logger cannot be made; the text is for the operator."""


def wanted(settings: dict[str, Any]) -> bool:
    """Say whether a setting is there that only Python's logging can act on."""
    own_class = (settings["logger_class"] or "") not in _DEFAULT_CLASSES
    configured = settings["logconfig"] or settings["logconfig_json"] or settings["logconfig_dict"]
    return bool(own_class or configured)


def make(settings: dict[str, Any], names: dict[str, Any], cfg: Any) -> Any:
    """Make the logger that the settings ask for.

    names: what the configuration file defined; a class or a dictionary with objects is taken from
    there, since settings carry only what JSON can.
    """
    try:
        logger = _class_of(settings, names.get("logger_class"))(cfg)
    except RuntimeError as problem:
        raise LogError(str(problem)) from None
    except Exception as problem:
        import traceback

        raise LogError(
            f"The logger cannot be set up: {traceback.format_exc().rstrip()}"
        ) from problem
    if hasattr(logger, "close_on_exec"):
        logger.close_on_exec()
    return logger


def _class_of(settings: dict[str, Any], given: Any) -> Callable[[Any], Any]:
    uri = settings["logger_class"] or ""
    if callable(given) and uri == f"{given.__module__}.{given.__qualname__}":
        return given  # nothing on the command line changed it
    if uri in (*_DEFAULT_CLASSES, _STATSD_CLASS) and (
        settings["statsd_host"] or uri == _STATSD_CLASS
    ):
        from tricorn.compat.instrument.statsd import Statsd

        return Statsd
    if uri in _DEFAULT_CLASSES:
        return glogging.Logger
    found = util.load_class(uri)
    if hasattr(found, "install"):
        found.install()
    return found


class Speaker:
    """Whose pid the records of this process carry: a line may speak for somebody else."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        made = logging.getLogRecordFactory()

        def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = made(*args, **kwargs)
            record.process = self.pid or os.getpid()
            return record

        logging.setLogRecordFactory(factory)


def attach(core: Any, logger: Any, channel_fd: int) -> None:
    """Make a worker's lines go to the logger; lines of threads without the GIL to the channel."""
    import datetime
    import threading

    def access(resp: Any, req: Any, environ: Any, microseconds: int) -> None:
        logger.access(resp, req, environ, datetime.timedelta(microseconds=microseconds))

    def report(level: int, line: str, traceback: str) -> None:
        text = f"{line}\n{traceback.rstrip()}" if traceback else line
        getattr(logger, _NAMES[level])("%s", text)

    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)

    def reopen() -> None:
        while os.read(read_end, 64):
            logger.reopen_files()

    level = logger.error_log.level if hasattr(logger, "error_log") else logging.INFO
    index = min(max(level // 10 - 1, 0), 4)
    core.use_python_log(access, report, os.dup(channel_fd), write_end, index)
    # A thread, since the main one may be inside a long call of the application.
    threading.Thread(target=reopen, name="reopen-logs", daemon=True).start()


def serve(channel: socket.socket, logger: Any, speaker: Speaker) -> None:
    """Log what the arbiter and the workers' own threads say, until all of them are gone."""
    while data := channel.recv(_BYTES_MAX):
        try:
            record = json.loads(data)
            if record.get("reopen"):
                logger.reopen_files()
                continue
            speaker.pid = record["pid"]
            if lost := record["undelivered"]:
                logger.warning("Python's logging was too slow: %s lines went past it", lost)
            text = record["message"]
            if record["tail"]:
                text += "\n" + record["tail"].rstrip()
            getattr(logger, _NAMES[record["level"] // 10 - 1])("%s", text)
        except Exception:
            import traceback

            traceback.print_exc()


def ask_to_reopen(channel_fd: int) -> None:
    """Have the logging process open its files again."""
    with socket.socket(fileno=os.dup(channel_fd)) as channel:
        channel.setblocking(False)
        try:
            channel.send(b'{"reopen":true}')
        except OSError as problem:
            print(f"The logging process cannot be asked to reopen: {problem}", file=sys.stderr)
