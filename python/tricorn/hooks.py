"""The objects hooks are given: server, worker, req, resp with the attributes people read."""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Log:
    """Logger with Gunicorn's methods; every line goes to the error log through `write`."""

    metrics: Any = None  # compat.instrument.statsd.Metrics, for `extra` of log calls

    def __init__(self, write: Callable[[int, str], None]) -> None:
        self._write = write

    def _line(
        self, level: int, message: object, args: tuple[Any, ...], extra: dict[str, Any]
    ) -> None:
        if self.metrics is not None and extra.get("extra"):
            self.metrics.from_extra(extra["extra"])
            if not message:
                return
        text = str(message)
        self._write(level, text % args if args else text)

    def debug(self, message: object, *args: Any, **extra: Any) -> None:
        """Log for developers."""
        self._line(0, message, args, extra)

    def info(self, message: object, *args: Any, **extra: Any) -> None:
        """Log what is normal."""
        self._line(1, message, args, extra)

    def warning(self, message: object, *args: Any, **extra: Any) -> None:
        """Log what is odd but handled."""
        self._line(2, message, args, extra)

    def error(self, message: object, *args: Any, **extra: Any) -> None:
        """Log what an operator must look at today."""
        self._line(3, message, args, extra)

    def critical(self, message: object, *args: Any, **extra: Any) -> None:
        """Log what an operator must look at now."""
        self._line(4, message, args, extra)

    def log(self, level: int | str, message: object, *args: Any, **extra: Any) -> None:
        """Log at a level of the logging module, by number or by name."""
        names = {"debug": 0, "info": 1, "warning": 2, "error": 3, "critical": 4}
        if isinstance(level, str):
            number = names.get(level.lower(), 1)
        else:
            number = min(max(level // 10 - 1, 0), 4)
        self._line(number, message, args, extra)

    def exception(self, message: object, *args: Any, **extra: Any) -> None:
        """Log an error with the traceback of the exception being handled."""
        import traceback

        text = str(message) % args if args else str(message)
        self._write(3, f"{text}\n{traceback.format_exc().rstrip()}")


class Listener:
    """One listening socket: server.LISTENERS, worker.sockets."""

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name

    def __str__(self) -> str:
        return self._name

    def fileno(self) -> int:
        """Give the descriptor; it is the server's."""
        return self._fd

    @property
    def sock(self) -> Any:
        """A socket object of its own, over a duplicate of the descriptor."""
        import socket

        return socket.socket(fileno=os.dup(self._fd))

    def getsockname(self) -> Any:
        """Give the address it is bound to."""
        with self.sock as sock:
            return sock.getsockname()


class Beat:
    """`worker.tmp`: heartbeats are in shared memory, and the server writes them by itself."""

    def notify(self) -> None:
        """Do nothing."""

    def last_update(self) -> float:
        """Give the time of the last beat, which is now, in seconds of time.monotonic()."""
        import time

        return time.monotonic()

    def close(self) -> None:
        """Do nothing."""


class Worker:
    """One worker as hooks see it."""

    def __init__(
        self, age: int, server: Server | None, cfg: Any, log: Log, pid: int | str = "[booting]"
    ) -> None:
        self.age = age
        self.cfg = cfg
        self.log = log
        self.pid = pid
        self.ppid = server.pid if server else os.getppid()
        self.sockets = list(server.LISTENERS) if server else []
        self.timeout = cfg.timeout / 2.0  # half of it, as in Gunicorn
        self.alive = True
        self.booted = False
        self.aborted = False
        self.reloader = None
        self.tmp = Beat()
        self.app = server.app if server else None
        self.wsgi: Any = None
        self.max_requests = cfg.max_requests or sys.maxsize
        self.core: Any = None

    @property
    def nr(self) -> int:
        """Requests the application was called for."""
        return 0 if self.core is None else self.core.requests()

    def notify(self) -> None:
        """Do nothing: the server knows by itself whether a worker gets on."""

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"


class Server:
    """The arbiter as hooks see it."""

    WORKER_BOOT_ERROR = 3
    APP_LOAD_ERROR = 4

    def __init__(self, pid: int, cfg: Any, log: Log, app: Any) -> None:
        self.pid = pid
        self.cfg = cfg
        self.log = log
        self.app = app
        self.WORKERS: dict[int, Worker] = {}
        self.LISTENERS: list[Listener] = []
        self.num_workers = cfg.workers
        self.timeout = cfg.timeout
        self.address = cfg.address
        generation = ".2" if "GUNICORN_PID" in os.environ else ""  # of an upgrade
        self.proc_name = cfg.proc_name + generation
        self.master_name = "Master" + generation
        self.master_pid = int(os.environ.get("GUNICORN_PID", 0))
        self.worker_age = 0
        self.START_CTX = {"args": list(sys.argv), "cwd": os.getcwd(), 0: sys.executable}

    @property
    def worker_class(self) -> type:
        """Class of the workers."""
        return self.cfg.worker_class

    def kill_worker(self, pid: int, sig: int) -> None:
        """Send a signal to a worker."""
        import contextlib

        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sig)

    def kill_workers(self, sig: int) -> None:
        """Send a signal to all workers."""
        for pid in list(self.WORKERS):
            self.kill_worker(pid, sig)

    def reload(self) -> None:
        """Load everything again, as HUP does; returns at once."""
        os.kill(self.pid, signal.SIGHUP)

    def stop(self, graceful: bool = True) -> None:
        """Stop the server; returns at once."""
        os.kill(self.pid, signal.SIGTERM if graceful else signal.SIGQUIT)

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """Stop the server; returns at once. The exit status stays 0."""
        if reason is not None:
            self.log.error("Reason: %s", reason)
        self.stop(graceful=exit_status == 0)


class Request:
    """`req` of pre_request and post_request: the same object for both."""

    def __init__(
        self,
        method: str,
        uri: str,
        path: str,
        query: str,
        version: tuple[int, int],
        headers: list[tuple[str, str]],
        peer: Any,
        scheme: str,
        keep_alive: bool,
        body: Any,
    ) -> None:
        self.method = method
        self.uri = uri
        self.path = path
        self.query = query
        self.fragment = ""
        self.version = version
        self.headers = headers
        self.trailers: list[tuple[str, str]] = []
        self.body = body
        self.peer_addr = self.remote_addr = peer
        self.scheme = scheme
        self.must_close = False
        self._keep_alive = keep_alive

    def force_close(self) -> None:
        """Change nothing: the connection's end is decided before hooks run."""
        self.must_close = True

    def should_close(self) -> bool:
        """Whether the client wants the connection to end."""
        return self.must_close or not self._keep_alive


class Response:
    """`resp` of post_request."""

    version = "tricorn"
    upgrade = False

    def __init__(
        self,
        req: Request,
        status: str | None,
        headers: list[tuple[str, str]],
        sent: int,
        response_length: int | None,
        headers_sent: bool,
        chunked: bool,
        keep_alive: bool,
    ) -> None:
        self.req = req
        self.status = status
        self.status_code = int(status.split()[0]) if status else None
        self.headers = headers
        if response_length is not None:
            self.headers.append(("Content-Length", str(response_length)))
        self.sent = sent
        self.response_length = response_length
        self.headers_sent = headers_sent
        self.chunked = chunked
        self.must_close = not keep_alive

    def should_close(self) -> bool:
        """Whether the connection ends with this response."""
        return self.must_close
