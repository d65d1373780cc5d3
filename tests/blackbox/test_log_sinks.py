"""Logs as JSON, to syslog, and metrics to statsd."""

import contextlib
import json
import re
import signal
import socket

import pytest

from blackbox.support.site import GTHREAD, MODES, SYNC, run
from blackbox.support.waiting import poll


@pytest.fixture
def collector():
    """Give a UDP socket that collects datagrams: collector.texts() so far."""
    class Collector(socket.socket):
        def texts(self):
            while True:
                try:
                    self.seen.append(self.recv(65536).decode())
                except BlockingIOError:
                    return self.seen

    with Collector(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        made.bind(("127.0.0.1", 0))
        made.setblocking(False)
        made.seen = []
        made.port = made.getsockname()[1]
        yield made


def test_json_lines(serve):
    site = serve("logging_app:app", *SYNC, "--log-format", "json", "--access-logfile", "-", "--timeout", "1")
    assert site.get("/secret?token=1").status == 200
    assert site.get("/raise").status == 500
    assert site.get("/hang").status == 500
    assert site.stop() == 0
    access = [json.loads(line) for line in site.out.splitlines()]
    assert [line["url.path"] for line in access][:2] == ["/secret", "/raise"]
    first = access[0]
    assert first["http.request.method"] == "GET" and first["http.response.status_code"] == 200 and first["http.response.body.size"] == 3
    assert first["client.address"] == "127.0.0.1" and first["event.duration"] > 0 and "token" not in site.out
    errors = [json.loads(line) for line in site.log.splitlines() if line.startswith("{")]
    assert len(errors) == len(site.log.splitlines()), site.log
    assert all(set(line) >= {"timestamp", "severity", "message", "process.pid"} for line in errors)
    timeout = next(line for line in errors if line["severity"] == "CRITICAL")
    assert timeout["incident.class"] == "wait.sleep" and timeout["incident.ref"] and timeout["incident.place"].startswith("logging_app.py:")
    assert timeout["http.request.method"] == "GET" and timeout["url.path"] == "/hang"
    broken = next(line for line in errors if "exception.stacktrace" in line)
    assert "ValueError: a fault of the application" in broken["exception.stacktrace"]


def test_the_query_only_when_the_access_format_asks(serve):
    site = serve("logging_app:app", *SYNC, "--log-format", "json", "--access-logfile", "-", "--access-logformat", "%(q)s")
    site.get("/?token=1")
    poll(lambda: '"url.query":"token=1"' in site.out, 10, lambda: site.out)


def test_log_format_names_its_words():
    code, _, err = run("logging_app:app", "--log-format", "xml")
    assert code and "xml" in err


@pytest.mark.parametrize("mode", MODES)
def test_syslog_over_udp(serve, collector, mode):
    site = serve("logging_app:app", *MODES[mode], "--log-syslog", "--log-syslog-to", f"udp://127.0.0.1:{collector.port}", "--log-syslog-facility", "local1",
                 "--access-logfile", "-")
    site.get("/")
    poll(lambda: any("gunicorn.logging_app.app.access: " in text for text in collector.texts()), 10, lambda: str(collector.seen))
    assert site.stop() == 0
    texts = collector.texts()
    assert f"<142>gunicorn.logging_app.app.error: [{site.pid}] Shutting down: Master\0" in texts, texts
    assert any(re.fullmatch(r'<142>gunicorn\.logging_app\.app\.access: \[\d+\] 127\.0\.0\.1 - - \[.*\] "GET / HTTP/1\.1" 200 3 "-" "-"\0', text) for text in texts), texts
    assert "Shutting down: Master" in site.log and '"GET / HTTP/1.1"' in site.out


class StreamSyslog:
    """A syslog over TCP: texts() so far, each ended by a NUL on the wire."""

    def __init__(self, port=0):
        self.listener = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self.listener.setblocking(False)
        self.port, self.clients = self.listener.getsockname()[1], {}

    def texts(self):
        with contextlib.suppress(BlockingIOError):
            while client := self.listener.accept()[0]:
                client.setblocking(False)
                self.clients[client] = b""
        for client in self.clients:
            with contextlib.suppress(BlockingIOError):
                while got := client.recv(65536):
                    self.clients[client] += got
        return [text.decode() for got in self.clients.values() for text in got.split(b"\0")[:-1]]

    def close(self):
        for it in (self.listener, *self.clients):
            it.close()


@pytest.mark.parametrize("mode", MODES)
def test_syslog_over_tcp_and_its_restart(serve, mode):
    syslog = StreamSyslog()
    site = serve("logging_app:app", *MODES[mode], "--log-syslog", "--log-syslog-to", f"tcp://127.0.0.1:{syslog.port}", "--log-syslog-facility", "local1",
                 "--access-logfile", "-")
    site.get("/one")
    access = r'<142>gunicorn\.logging_app\.app\.access: \[\d+\] 127\.0\.0\.1 - - \[.*\] "GET /%s HTTP/1\.1" 200 3 "-" "-"'
    poll(lambda: any(re.fullmatch(access % "one", text) for text in syslog.texts()), 10, lambda: str(syslog.texts()))
    worker = site.workers()[0]
    begin = [f"<142>gunicorn.logging_app.app.error: [{pid}] {text}" for pid, text in (
        (site.pid, f"Starting tricorn {version_of(site)}"), (site.pid, f"Listening at: {site.url} ({site.pid})"), (worker, f"Booting worker with pid: {worker}"))]
    assert set(begin) <= set(syslog.texts()), syslog.texts()
    assert all(len(got.split(b"\0")) > 1 for got in syslog.clients.values()), "a connection each for arbiter and worker, nothing empty"
    syslog.close()
    again = StreamSyslog(syslog.port)
    # What was sent into the connection that has just been closed is lost; what follows is not.
    poll(lambda: site.get("/two") and any(re.fullmatch(access % "two", text) for text in again.texts()), 15, lambda: str(again.texts()))
    site.send(signal.SIGTTOU)
    poll(lambda: site.send(signal.SIGTTOU) or any(f"[{site.pid}] Handling signal: ttou" in text for text in again.texts()), 15, lambda: str(again.texts()))
    assert site.stop() == 0
    assert f"<142>gunicorn.logging_app.app.error: [{site.pid}] Shutting down: Master" in again.texts(), again.texts()
    again.close()


def version_of(site):
    return re.search(r"Starting tricorn (\S+)", site.log)[1]


def test_access_lines_stay_out_of_syslog(serve, collector):
    site = serve("logging_app:app", *SYNC, "--log-syslog", "--log-syslog-to", f"udp://127.0.0.1:{collector.port}", "--log-syslog-prefix", "shop",
                 "--disable-redirect-access-to-syslog", "--access-logfile", "-")
    site.get("/")
    assert site.stop() == 0
    assert all(text.split(": ")[0].endswith("gunicorn.shop.error") for text in collector.texts())
    assert '"GET / HTTP/1.1"' in site.out


def test_a_syslog_that_does_not_read_holds_up_nobody(serve, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stopped:
        stopped.bind(path)
        site = serve("logging_app:app", *GTHREAD, "--log-level", "debug", "--log-syslog", "--log-syslog-to", f"unix://{path}#dgram")
        for _ in range(300):
            assert site.get("/" + "x" * 2000).status == 200
        stopped.setblocking(False)

        def told():
            try:
                while stopped.recv(65536):
                    pass
            except BlockingIOError:
                return "Syslog too slow: " in site.log

        poll(told, 20, lambda: site.log[-500:])
        assert site.stop() == 0


@pytest.mark.parametrize(("args", "text"), [(["--log-syslog-to", "zork"], "invalid syslog address"), (["--log-syslog-facility", "zork"], "unknown facility name")])
def test_syslog_faults_end_the_start(args, text):
    code, _, err = run("logging_app:app", "--log-syslog", *args, "-b", "127.0.0.1:0")
    assert code == 1 and text in err, err


def test_statsd(serve, collector):
    site = serve("logging_app:app", *SYNC, "--workers", "2", "--statsd-host", f"127.0.0.1:{collector.port}", "--statsd-prefix", "pfx", "--dogstatsd-tags", "a:b",
                 "--enable-backlog-metric")
    site.get("/")
    site.get("/raise")
    wanted = {"pfx.gunicorn.requests:1|c|@1.0|#a:b", "pfx.gunicorn.request.status.200:1|c|@1.0|#a:b", "pfx.gunicorn.request.status.500:1|c|@1.0|#a:b",
              "pfx.gunicorn.workers:2|g|#a:b", "pfx.gunicorn.backlog:0|h|#a:b", "pfx.gunicorn.log.exception:1|c|@1.0|#a:b"}
    poll(lambda: wanted <= set(collector.texts()), 10, lambda: str(wanted - set(collector.seen)) + str(collector.seen))
    assert any(re.fullmatch(r"pfx\.gunicorn\.request\.duration:\d+\.\d+\|ms\|#a:b", text) for text in collector.seen)
    assert site.stop() == 0


def test_a_metric_with_a_log_line(serve, collector, tmp_path):
    conf = tmp_path / "conf.py"
    conf.write_text('def post_worker_init(worker):\n    worker.log.info("", extra={"metric": "shop.ready", "value": 3, "mtype": "gauge"})\n')
    serve("logging_app:app", *SYNC, "-c", conf, "--statsd-host", f"127.0.0.1:{collector.port}")
    poll(lambda: "shop.ready:3|g" in collector.texts(), 10, lambda: str(collector.seen))


def test_statsd_with_a_logger_of_python(serve, collector, tmp_path):
    (tmp_path / "log.json").write_text("{}")
    site = serve("logging_app:app", *SYNC, "--log-config-json", tmp_path / "log.json", "--statsd-host", f"127.0.0.1:{collector.port}")
    site.get("/")
    poll(lambda: {"gunicorn.requests:1|c|@1.0", "gunicorn.request.status.200:1|c|@1.0"} <= set(collector.texts()), 10, lambda: str(collector.seen))
    assert site.stop() == 0
