"""HUP with other log destinations: the arbiter's own lines go there as well, when the reload has succeeded."""

import os
import signal
import socket

import pytest

from blackbox.support.site import SYNC
from blackbox.support.waiting import poll


class Shop:
    """A server with a conf file that says where its logs go."""

    def __init__(self, serve, folder, **settings):
        self.folder, self.conf = folder, folder / "conf.py"
        self.write(**settings)
        self.site = serve("logging_app:app", *SYNC, "-c", self.conf)

    def write(self, **settings):
        self.conf.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))

    def hup(self, **settings):
        self.write(**settings)
        self.site.send(signal.SIGHUP)

    def says(self, text, *files):
        """Have the arbiter log something until it stands in one of the files; give that file's text."""
        def said():
            self.site.send(signal.SIGTTOU)  # one worker stays: nothing happens but a line
            return text in "".join(file.read_text() for file in files if file.exists())
        poll(said, 15, lambda: f"{text}\n{self.everything()}")

    def everything(self):
        return "\n".join(f"--- {file}\n{file.read_text()}" for file in self.folder.iterdir() if file.is_file())


@pytest.fixture
def shop(serve, tmp_path):
    return lambda **settings: Shop(serve, tmp_path, **settings)


@pytest.fixture
def collector():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(15)
        yield made


def port_of(collector):
    return collector.getsockname()[1]


def wait_datagram(collector, begin):
    """Read until a datagram begins so; fail when none comes."""
    while not (text := collector.recv(65536).decode()).startswith(begin):
        pass
    return text


def test_error_log_and_level_follow(shop, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    server = shop(errorlog=str(one), timeout=1)
    server.hup(errorlog=str(two), timeout=1, loglevel="warning")
    poll(lambda: "Worker exiting" in one.read_text(), 10, server.everything)
    assert server.site.get("/hang").status == 500
    poll(lambda: "WORKER TIMEOUT" in two.read_text(), 10, server.everything)
    assert "INFO" not in two.read_text() and "WORKER TIMEOUT" not in one.read_text()
    assert f"[{server.site.pid}] [INFO] Handling signal: hup" in one.read_text()


def test_the_report_follows(serve, tmp_path):
    conf = tmp_path / "conf.py"
    conf.touch()
    site = serve("logging_app:app", *SYNC, "-c", conf, "-b", "127.0.0.1:0", bind=False)
    site.wait_log("Booting worker")
    for name, told in (("/nowhere/report", "Reload failed.* report '/nowhere/report' isn't writable: "), (tmp_path / "report", "Worker exiting")):
        conf.write_text(f"report = '{name}'\n")
        site.send(signal.SIGHUP)
        site.wait_log(told)
    site.wait_log("Booting worker", count=2)
    os.kill(site.workers()[-1], signal.SIGKILL)
    poll(lambda: '"signal.external_kill"' in (tmp_path / "report").read_text(), 10, lambda: site.log)


def test_an_error_log_of_the_same_name_is_opened_again(shop, tmp_path):
    log = tmp_path / "log"
    server = shop(errorlog=str(log))
    log.rename(tmp_path / "log.1")
    server.hup(errorlog=str(log))
    server.says(f"[{server.site.pid}] [INFO] Handling signal: ttou", log)


def test_syslog_and_statsd_follow(shop, collector):
    server = shop()
    place = f"localhost:{port_of(collector)}"  # a name: it is looked up, and not by the arbiter
    server.hup(syslog=True, syslog_addr=f"udp://{place}", statsd_host=place, statsd_prefix="after")
    assert wait_datagram(collector, "after.gunicorn.workers:").startswith("after.gunicorn.workers:1|g")
    server.site.send(signal.SIGTTIN)
    wait_datagram(collector, f"<14>gunicorn.logging_app.app.error: [{server.site.pid}] Handling signal: ttin")
    server.hup()
    server.site.wait_log("Worker exiting", count=3)
    collector.settimeout(None)
    collector.setblocking(False)
    with pytest.raises(BlockingIOError):
        while collector.recv(65536):
            pass
    server.site.send(signal.SIGTTOU)
    server.site.wait_log("Handling signal: ttou")
    with pytest.raises(BlockingIOError):
        collector.recv(65536)


def test_a_statsd_that_nobody_knows_is_a_warning(shop, tmp_path):
    log = tmp_path / "log"
    server = shop(errorlog=str(log))
    server.hup(errorlog=str(log), statsd_host="nowhere.invalid:8125")
    server.says(f"[{server.site.pid}] [WARNING] statsd_host: nowhere.invalid: ", log)
    poll(lambda: "Worker exiting" in log.read_text(), 20, server.everything)


@pytest.mark.parametrize(("settings", "why"), [
    ({"errorlog": "/nowhere/log"}, "'/nowhere/log' isn't writable: "),
    ({"accesslog": "/nowhere/log"}, "'/nowhere/log' isn't writable: "),
    ({"syslog": True, "syslog_addr": "udp://nowhere.invalid:514"}, "syslog_addr: nowhere.invalid: "),
    ({"syslog": True, "syslog_facility": "zork"}, "unknown facility name"),
    ({"logger_class": "nowhere.Logger"}, "class uri 'nowhere.Logger' invalid or not found"),
])
def test_destinations_that_cannot_be_change_nothing(shop, tmp_path, settings, why):
    log = tmp_path / "log"
    server = shop(errorlog=str(log))
    for count in (1, 2):  # the second finds no remains of the first
        server.hup(**{"errorlog": str(tmp_path / "other"), **settings})
        poll(lambda count=count: log.read_text().count(f"Reload failed, the old workers go on serving: {why}") == count, 20, server.everything)
        assert server.site.get("/").status == 200
    assert not (tmp_path / "other").exists() or "[INFO]" not in (tmp_path / "other").read_text()
    server.hup(errorlog=str(tmp_path / "third"))
    server.says("Handling signal: ttou", tmp_path / "third")


def test_python_logging_comes_and_goes(shop, tmp_path):
    one, two, three = tmp_path / "one", tmp_path / "two", tmp_path / "three"
    server = shop(errorlog=str(one))
    server.hup(errorlog=str(two), logger_class="shop_logs.ShopLogger")
    server.says(f"SHOP {server.site.pid} INFO Handling signal: ttou", two)
    server.hup(errorlog=str(three), logger_class="nowhere.Logger")
    server.says("Reload failed, the old workers go on serving: class uri 'nowhere.Logger'", two)
    server.hup(errorlog=str(three))
    server.says(f"[{server.site.pid}] [INFO] Handling signal: ttou", three)
    loggers = [name for name in server.site.processes().values() if name == "tricorn-logger"]
    poll(lambda: "tricorn-logger" not in server.site.processes().values(), 10, lambda: f"the end of {loggers}")


def test_a_reload_that_fails_late_leaves_pythons_logger_as_it_was(shop, tmp_path):
    log, other = tmp_path / "log", tmp_path / "other"
    server = shop(errorlog=str(log), logger_class="shop_logs.ShopLogger")
    server.write(errorlog=str(other), logger_class="shop_logs.PlainLogger")
    with server.conf.open("a") as conf:
        conf.write("def post_fork(server, worker):\n    raise OSError('late')\n")
    server.site.send(signal.SIGHUP)
    poll(lambda: f"SHOP {server.site.pid} ERROR Reload failed" in log.read_text(), 20, server.everything)
    server.says(f"SHOP {server.site.pid} INFO Handling signal: ttou", log)
    assert f"[{server.site.pid}]" not in other.read_text()
