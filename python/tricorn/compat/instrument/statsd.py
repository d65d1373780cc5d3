"""Metrics to statsd from Python: this is Gunicorn's `gunicorn.instrument.statsd`.

The built-in writer has its own (src/net/statsd.h); this one is for loggers made in Python and for
metrics that applications and hooks send with a log line. Source: Gunicorn 27.0.1 as observed.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket

from tricorn.compat.glogging import Logger

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from typing import Any

METRIC_VAR = "metric"
VALUE_VAR = "value"
MTYPE_VAR = "mtype"
GAUGE_TYPE = "gauge"
COUNTER_TYPE = "counter"
HISTOGRAM_TYPE = "histogram"
TIMER_TYPE = "timer"


class Metrics:
    """Sends datagrams; one that is not taken at once is lost."""

    def __init__(self, cfg: Any) -> None:
        self.prefix = re.sub(r"^(.+[^.]+)\.*$", r"\g<1>.", cfg.statsd_prefix)
        self.dogstatsd_tags = cfg.dogstatsd_tags
        self.sock: socket.socket | None = None
        with contextlib.suppress(OSError, ValueError):
            self.sock = _connected(cfg.statsd_host)

    def gauge(self, name: str, value: object) -> None:
        """Set a value."""
        self._sock_send(f"{self.prefix}{name}:{value}|g")

    def increment(self, name: str, value: object, sampling_rate: float = 1.0) -> None:
        """Count up."""
        self._sock_send(f"{self.prefix}{name}:{value}|c|@{sampling_rate}")

    def decrement(self, name: str, value: object, sampling_rate: float = 1.0) -> None:
        """Count down."""
        self._sock_send(f"{self.prefix}{name}:-{value}|c|@{sampling_rate}")

    def timer(self, name: str, value: object) -> None:
        """Tell a duration in milliseconds."""
        self._sock_send(f"{self.prefix}{name}:{value}|ms")

    def histogram(self, name: str, value: object) -> None:
        """Tell one value of a distribution."""
        self._sock_send(f"{self.prefix}{name}:{value}|h")

    def from_extra(self, extra: Any) -> None:
        """Send the metric that came as `extra` of a log call, if it is one."""
        metric, value, kind = (extra.get(key) for key in (METRIC_VAR, VALUE_VAR, MTYPE_VAR))
        send = {
            GAUGE_TYPE: self.gauge,
            COUNTER_TYPE: self.increment,
            HISTOGRAM_TYPE: self.histogram,
            TIMER_TYPE: self.timer,
        }.get(kind)
        if metric and value is not None and send:
            send(metric, value)

    def _sock_send(self, msg: str) -> None:
        if self.sock is None:
            return
        tags = f"|#{self.dogstatsd_tags}" if self.dogstatsd_tags else ""
        with contextlib.suppress(OSError):
            self.sock.send((msg + tags).encode())


def _connected(address: Any) -> socket.socket:
    """Connect to (HOST, PORT), "HOST:PORT", "unix://PATH" or a path."""
    if isinstance(address, str) and address.startswith(("unix://", "/")):
        family, address = socket.AF_UNIX, address.removeprefix("unix://")
    elif isinstance(address, str):
        host, _, port = (
            address.rpartition(":") if re.search(r":\d+$", address) else (address, "", "")
        )
        address = (host.strip("[]"), int(port or 8125))
    if isinstance(address, tuple):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.connect(address)
    return sock


class Statsd(Logger, Metrics):
    """A logger that counts what it logs and measures requests."""

    def __init__(self, cfg: Any) -> None:
        Metrics.__init__(self, cfg)
        Logger.__init__(self, cfg)

    def critical(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log and count."""
        super().critical(msg, *args, **kwargs)
        self.increment("gunicorn.log.critical", 1)

    def error(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log and count."""
        super().error(msg, *args, **kwargs)
        self.increment("gunicorn.log.error", 1)

    def warning(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log and count."""
        super().warning(msg, *args, **kwargs)
        self.increment("gunicorn.log.warning", 1)

    def exception(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log and count."""
        super().exception(msg, *args, **kwargs)
        self.increment("gunicorn.log.exception", 1)

    def info(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log; `extra` may carry a metric."""
        self.log(logging.INFO, msg, *args, **kwargs)

    def debug(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log; `extra` may carry a metric."""
        self.log(logging.DEBUG, msg, *args, **kwargs)

    def log(self, lvl: int | str, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log if there is something to say; `extra` may carry a metric."""
        if kwargs.get("extra") is not None:
            self.from_extra(kwargs["extra"])
        if msg:
            super().log(lvl, msg, *args, **kwargs)

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Log one request, and send its duration and status."""
        super().access(resp, req, environ, request_time)
        status = resp.status.split(None, 1)[0] if isinstance(resp.status, str) else resp.status
        self.timer("gunicorn.request.duration", request_time.total_seconds() * 1000)
        self.increment("gunicorn.requests", 1)
        self.increment(f"gunicorn.request.status.{status}", 1)
