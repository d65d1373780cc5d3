"""Python's logging as the sink: logger_class and logconfig*, for workers, spawner and arbiter."""

import json
import os
import re
import signal

import pytest

from blackbox.support.site import MODES, SYNC, run
from blackbox.support.waiting import poll

CONF_DICT = """
logconfig_dict = {
    "formatters": {"json": {"()": "shop_logs.JsonFormatter"}},
    "handlers": {
        "error_console": {"class": "logging.FileHandler", "filename": "%(folder)s/error", "formatter": "json"},
        "console": {"class": "logging.FileHandler", "filename": "%(folder)s/access", "formatter": "json"},
    },
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["error_console"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": ["console"], "propagate": False},
    },
}
"""
INI = """
[loggers]
keys=root, gunicorn.error, gunicorn.access
[handlers]
keys=out
[formatters]
keys=plain
[logger_root]
level=INFO
handlers=out
[logger_gunicorn.error]
level=INFO
handlers=out
propagate=0
qualname=gunicorn.error
[logger_gunicorn.access]
level=INFO
handlers=out
propagate=0
qualname=gunicorn.access
[handler_out]
class=StreamHandler
formatter=plain
args=(sys.stdout,)
[formatter_plain]
format=INI %(name)s %(process)d %(levelname)s %(message)s
"""


@pytest.mark.parametrize("mode", MODES)
def test_logger_class(serve, mode):
    site = serve("logging_app:app", *MODES[mode], "--logger-class", "shop_logs.ShopLogger", "--access-logfile", "-",
                 "--access-logformat", "%(t)s %(s)s %({x-answer}o)s")
    assert site.get("/").status == 200
    assert site.get("/raise").status == 500
    site.wait_log(r"SHOP \d+ INFO served GET / in timedelta: 200 OK")
    worker = site.workers()[0]
    site.wait_log(rf'SHOP {worker} ERROR Error handling request GET /raise\nTraceback[^\0]*ValueError: a fault of the application\n')
    assert site.stop() == 0
    assert site.out.splitlines()[0] == r'[whenever] 200 the \"answer\"'
    for line in (rf"SHOP {site.pid} INFO Starting tricorn", rf"SHOP {site.pid} INFO Listening at: ", rf"SHOP {worker} INFO Booting worker with pid: {worker}",
                 rf"SHOP {site.pid} INFO Handling signal: term", rf"SHOP {worker} INFO Worker exiting", rf"SHOP {site.pid} INFO Shutting down: Master"):
        assert re.search(f"(?m)^{line}", site.log), f"{line}\n{site.log}"
    assert not re.search(r"(?m)^\[\d{4}-", site.log), site.log


def test_logconfig_dict_with_objects_of_the_configuration_file(serve, tmp_path):
    conf = tmp_path / "conf.py"
    conf.write_text(CONF_DICT % {"folder": tmp_path})
    site = serve("logging_app:app", *SYNC, "-c", conf, "--timeout", "1")
    assert site.get("/").status == 200
    assert site.get("/hang").status == 500
    assert site.raw(b"broken\r\n\r\n")  # told by a thread without the GIL
    poll(lambda: "Invalid request" in (tmp_path / "error").read_text(), 10, lambda: (tmp_path / "error").read_text())
    assert site.stop() == 0
    errors = [json.loads(line) for line in (tmp_path / "error").read_text().splitlines()]
    access = [json.loads(line) for line in (tmp_path / "access").read_text().splitlines()]
    assert {line["logger"] for line in errors} == {"gunicorn.error"} and {line["logger"] for line in access} == {"gunicorn.access"}
    assert '"GET / HTTP/1.1" 200 3' in access[0]["text"]
    timeout = next(line for line in errors if line["text"].startswith("WORKER TIMEOUT"))
    assert timeout["level"] == "CRITICAL" and timeout["pid"] == site.pid
    story = next(line for line in errors if line["text"].startswith("Error handling request GET /hang"))
    assert story["pid"] != site.pid and "Traceback" in story["text"]
    assert errors[-1]["text"] == "Shutting down: Master"


def test_log_config_json_and_file(serve, tmp_path):
    (tmp_path / "log.json").write_text(json.dumps({"formatters": {"generic": {"format": "JSON %(name)s %(message)s"}}}))
    site = serve("logging_app:app", *SYNC, "--log-config-json", tmp_path / "log.json")
    site.get("/")
    poll(lambda: "JSON gunicorn.access 127.0.0.1" in site.out, 10, lambda: site.out)
    assert "JSON gunicorn.error Listening at" in site.log
    assert site.stop() == 0
    (tmp_path / "log.ini").write_text(INI)
    site = serve("logging_app:app", *SYNC, "--log-config", tmp_path / "log.ini")
    site.get("/")
    poll(lambda: "INI gunicorn.access" in site.out, 10, lambda: site.out)
    assert f"INI gunicorn.error {site.pid} INFO Listening at" in site.out
    assert site.stop() == 0


@pytest.mark.parametrize(("args", "text"), [
    (["--log-config", "/nowhere"], "Error: log config '/nowhere' not found"),
    (["--logger-class", "nowhere.Logger"], "class uri 'nowhere.Logger' invalid or not found"),
])
def test_faults_end_the_start(args, text):
    code, _, err = run("logging_app:app", *args, "-b", "127.0.0.1:0")
    assert code == 1 and text in err, err


def test_usr1_reopens_files_everywhere(serve, tmp_path):
    error, access = tmp_path / "error", tmp_path / "access"
    site = serve("logging_app:app", *SYNC, "--logger-class", "shop_logs.PlainLogger", "--error-logfile", error, "--access-logfile", access)
    site.get("/")
    poll(lambda: access.exists() and access.read_text(), 10, "an access line")
    for file in (error, access):
        file.rename(f"{file}.1")
    site.send(signal.SIGUSR1)
    poll(lambda: error.exists() and access.exists(), 10, "both files again")

    def served():
        site.get("/")
        return access.read_text()

    poll(served, 10, "an access line in the new file")
    poll(lambda: (site.send(signal.SIGTTIN), "Handling signal: ttin" in error.read_text())[1], 10, "the arbiter's line in the new file")
    assert site.stop() == 0


def test_a_logger_that_hangs_holds_up_no_arbiter(serve, tmp_path):
    (tmp_path / "slow_logs.py").write_text(
        "import time\nfrom gunicorn import glogging\n"
        "class Slow(glogging.Logger):\n    def info(self, msg, *args, **kwargs):\n"
        "        if 'Handling signal: usr1' in str(args): time.sleep(60)\n        super().info(msg, *args, **kwargs)\n")
    site = serve("logging_app:app", *SYNC, "--logger-class", "slow_logs.Slow", "--pythonpath", tmp_path, "--timeout", "1")
    site.get("/")
    site.send(signal.SIGUSR1)
    assert site.get("/hang").status == 500
    assert site.get("/").status == 200
    site.kill()


def test_prints_go_to_the_error_log(serve, tmp_path):
    error = tmp_path / "error"
    site = serve("logging_app:app", *SYNC, "--capture-output", "--error-logfile", error)
    site.get("/print")
    poll(lambda: "printed to stdout\n" in error.read_text() and "printed to stderr\n" in error.read_text(), 10, lambda: error.read_text())
    error.rename(tmp_path / "error.1")
    site.send(signal.SIGUSR1)
    poll(error.exists, 10, "the new file")

    def printed():
        site.get("/print")
        return "printed to stdout\n" in error.read_text()

    poll(printed, 10, lambda: error.read_text())
    assert "printed" not in site.out and "printed" not in site.log
    assert site.stop() == 0


def logger_of(site):
    """Give the pid of the process that logs for the arbiter; None when there is none."""
    return next((pid for pid, name in site.processes().items() if name == "tricorn-logger"), None)


def test_a_logger_that_dies_is_told_and_started_again(serve):
    site = serve("logging_app:app", *SYNC, "--logger-class", "shop_logs.ShopLogger")
    first = poll(lambda: logger_of(site), 10, "the logger")
    for before, when in ((first, "now"), (None, "in 1 s")):
        before = before or logger_of(site)
        os.kill(before, signal.SIGKILL)
        site.wait_log(rf"\[{site.pid}\] \[WARNING\] The process that calls Python's logging \(pid:{before}\) was sent SIGKILL; "
                      rf"lines come here until it runs again, which is tried {when}\n")
        site.send(signal.SIGTTOU)
        assert site.get("/").status == 200
        again = site.wait_log(rf"SHOP {site.pid} WARNING Python's logging is called again \(pid:(\d+)\)", count=2 if when != "now" else 1)
        assert int(again[1]) == poll(lambda: logger_of(site), 10, "the logger") != before
    site.raw(b"broken\r\n\r\n")  # told by a thread of the worker without the GIL, on the channel it has had from the start
    site.wait_log(r"SHOP \d+ WARNING Invalid request")
    assert site.log.count("Handling signal: ttou") == 2, "each line in one place"
    assert site.log.count("died") == 2 and len(re.findall("The process that calls", site.log)) == 2
    assert site.stop() == 0
    assert f"SHOP {site.pid} INFO Shutting down: Master" in site.log


def test_a_logger_that_cannot_live_costs_lines_their_form_and_nothing_else(serve, tmp_path):
    (tmp_path / "dying_logs.py").write_text(
        "import os\nfrom gunicorn import glogging\n"
        "class Dying(glogging.Logger):\n    def info(self, msg, *args, **kwargs):\n"
        "        if open('/proc/self/comm').read() == 'tricorn-logger\\n': os._exit(9)\n        super().info(msg, *args, **kwargs)\n"
        "    warning = info\n")
    site = serve("logging_app:app", *SYNC, "--logger-class", "dying_logs.Dying", "--pythonpath", tmp_path, "--timeout", "1")
    assert site.get("/").status == 200
    site.wait_log("(exited with code 9|has ended at once); lines come here until it runs again, which is tried in 1 s")
    site.wait_log("(exited with code 9|has ended at once); lines come here until it runs again, which is tried in 2 s")
    assert site.get("/hang").status == 500
    site.wait_log(rf"\[{site.pid}\] \[CRITICAL\] WORKER TIMEOUT")
    site.send(signal.SIGHUP)
    site.wait_log("Booting worker", count=3)
    assert site.get("/").status == 200
    assert site.stop() == 0
    assert f"[{site.pid}] [INFO] Shutting down: Master" in site.log
