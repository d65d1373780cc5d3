"""Access atoms, loggers of Python, syslog and statsd, on both servers."""

import base64
import contextlib
import re
import socket

import pytest

ATOMS = ('%(h)s %(l)s %(u)s %(t)s "%(r)s" %(m)s %(U)s %(q)s %(H)s %(s)s %(b)s %(B)s "%(f)s" "%(a)s" %({X-In}i)s %({x-in}i)s %({content-type}o)s '
         '%({REQUEST_METHOD}e)s %({nothing}i)s %(zzz)s %(s)6s|%(s)-6s|%(B)05d 100%%')
BASIC = "Authorization: Basic " + base64.b64encode(b'us"er:secret').decode()
BARE = "Authorization: Basic " + base64.b64encode(b"nocolon").decode()


@pytest.mark.parametrize("request_", [
    ("/a%20b?x=1&y=%22", 'X-In: one"two', "X-In: three", 'Referer: r"ef', "User-Agent: test", BASIC), ("/", "User-Agent:", "Referer: ", BARE),
    ("/", "Authorization: Basic ===", "User-Agent: a", "User-Agent: b"), ("/", "Authorization: Bearer abc"), ("/missing?",),
], ids=["quotes", "empty", "padding", "bearer", "404"])
def test_every_atom(both, request_):
    def scenario(server):
        server.start("app:app", "--access-logfile", "-", "--access-logformat", ATOMS)
        server.get(*request_)
    both(scenario)


@pytest.mark.parametrize("method", ["PUT", "POST", "OPTIONS"])
def test_methods_and_durations(both, method):
    def scenario(server):
        server.start("app:app", "--access-logfile", server.folder / "access", "--access-logformat", "%(m)s %(s)s %(b)s %(T)s %(M)d %(D)i %(L)s %(p)s")
        server.get("/", method=method)
        server.stop()
        text = (server.folder / "access").read_text()
        assert re.fullmatch(rf"{method} 200 \d+ 0 \d+ \d+ 0\.\d{{6}} <\d+>\n", text), text
        server.note("bytes", text.split()[2])
    both(scenario)


LOGGER = """
from gunicorn import glogging

class Logger(glogging.Logger):
    error_fmt = "OWN %(name)s %(levelname)s %(message)s"

    def atoms(self, resp, req, environ, request_time):
        return {**super().atoms(resp, req, environ, request_time), "own": type(request_time).__name__}

    def now(self):
        return "[whenever]"

logger_class = Logger
accesslog = "-"
access_log_format = '%(t)s %(own)s %(s)s %({content-type}o)s "%(r)s"'
"""
DICT = """
logconfig_dict = {"formatters": {"generic": {"format": "DICT %(name)s %(levelname)s %(message)s"}}}
"""
QUIET = """
logconfig_dict = {"loggers": {"gunicorn.error": {"level": "WARNING", "handlers": ["error_console"], "propagate": False}}}
"""


@pytest.mark.parametrize("conf", [LOGGER, DICT], ids=["class", "dict"])
def test_loggers_of_python(both, conf):
    def scenario(server):
        server.start("app:app", conf=conf)
        server.get("/x?y")
        server.stop()
    both(scenario, "python-logger-order")


def test_level_of_a_dictionary(both):
    def scenario(server):
        server.launch("app:app", "--no-control-socket", conf=QUIET)
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                server.get("/")
                break
    both(scenario)


def collected(server, *args, pages=("/", "/missing")):
    """Run the server with a UDP collector in {}; give its datagrams in order."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.setblocking(False)
        address = f"127.0.0.1:{collector.getsockname()[1]}"
        server.start("app:app", *(arg.replace("{}", address) for arg in args))
        for page in pages:
            server.get(page)
        server.stop()
        seen = []
        with contextlib.suppress(BlockingIOError):
            while True:
                seen.append(collector.recv(65536).decode())
        return seen


def test_statsd(both):
    def scenario(server):
        metrics = collected(server, "--statsd-host", "{}", "--statsd-prefix", "shop.", "--dogstatsd-tags", "a:b")
        masked = sorted({re.sub(r"duration:\d+\.\d+", "duration:<TIME>", metric) for metric in metrics})
        server.note("metrics", "\n".join(metric for metric in masked if "workers:0" not in metric))
    both(scenario)


def test_syslog(both):
    def scenario(server):
        lines = collected(server, "--log-syslog", "--log-syslog-to", "udp://{}", "--log-syslog-facility", "local3", "--access-logfile", "-")
        access = [re.sub(r"\[\d+\] ", "[PID] ", line) for line in lines if ".access: " in line]
        server.note("access", "\n".join(access))
        server.note("last", re.sub(r"\[\d+\] ", "[PID] ", lines[-1]))
    both(scenario)
