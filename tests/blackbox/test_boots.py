"""A worker that cannot boot, or takes long."""

import re

from blackbox.judge import place_of
from blackbox.support.waiting import poll


def test_an_import_that_fails_is_a_boot_failure_and_ends_with_3(serve):
    server = serve("failing_boot:app")
    assert server.wait() == 3
    incident = server.incidents()[0]
    assert incident["class"] == "boot.failure"
    assert incident["request"] is None
    assert incident["place"] == place_of("failing_boot.py", "boot"), incident
    log = server.log
    assert "Exception in worker process" in log
    assert re.search(r"RuntimeError: no configuration here", log)
    assert re.search(r"\[ERROR\] Shutting down: Master\n.*\[ERROR\] Reason: Worker failed to boot\.", log), log
    assert "out of memory" not in log.lower()
    server.wait()


def test_a_module_that_is_not_there_is_a_boot_failure(serve):
    server = serve("no_such_module:app")
    assert server.wait() == 3
    assert server.incidents()[0]["class"] == "boot.failure"
    assert "ModuleNotFoundError: No module named 'no_such_module'" in server.log


def test_an_import_that_leaves_the_process_says_so(serve):
    server = serve("exiting_boot:app")
    code = server.wait()
    assert code != 0
    assert server.incidents()[0]["class"] in ("boot.failure", "exit.code")
    server.wait()


def test_a_slow_import_is_reported_and_goes_on(serve):
    server = serve("slow_boot:app", "--timeout", "1", env={"BOOT_SECONDS": "3.5"})
    incident, = server.incidents()
    assert incident["class"] == "boot.slow"
    assert incident["request"] is None
    assert incident["place"] == place_of("slow_boot.py", "boot"), incident
    assert place_of("slow_boot.py", "boot") in server.log
    assert server.get("/").content == b"late"  # as with Gunicorn, which never ends a slow boot
    assert len(server.incidents()) == 1


def test_boot_timeout_ends_a_slow_import(serve):
    server = serve("slow_boot:app", "--boot-timeout", "1")
    poll(lambda: len({incident["pid"] for incident in server.incidents() if incident["class"] == "boot.slow"}) >= 2, 10, "two slow boots")
    assert {incident["class"] for incident in server.incidents()} <= {"boot.slow", "signal.own_kill"}
    assert re.search(r"\[CRITICAL\] WORKER TIMEOUT \(pid:\d+\) boot\.slow: ", server.log)
    assert "out of memory" not in server.log.lower()


def test_a_slow_import_before_the_fork_is_reported_too(serve):
    server = serve("slow_boot:app", "--preload", "--timeout", "1", env={"BOOT_SECONDS": "3"})
    incident, = server.incidents()
    assert incident["class"] == "boot.slow"
    assert incident["place"] == place_of("slow_boot.py", "boot"), incident
    assert re.search(
        r"\[WARNING\] Spawner \(pid:\d+\) loads the application slowly, no worker starts before: boot\.slow: "
        r"the boot is not over; wait\.sleep: slept (0\.[89]|1\.0) of 1\.0 s .* at slow_boot\.py:", server.log), server.log
    assert server.get("/").content == b"late"


def test_boot_timeout_ends_a_slow_import_before_the_fork(serve):
    server = serve("slow_boot:app", "--preload", "--boot-timeout", "1", "-b", "127.0.0.1:0", bind=False)
    assert server.wait() == 1
    assert re.search(
        r"\[CRITICAL\] Spawner \(pid:\d+\) loaded the application for longer than --boot-timeout and is ended: boot\.slow: "
        r".* at slow_boot\.py:\d+ in .*; ref [0-9a-f]{6}", server.log), server.log
    assert server.log.rstrip().endswith("Error: the application was not loaded within --boot-timeout")


def test_a_server_whose_workers_boot_slowly_can_be_stopped(serve):
    server = serve("slow_boot:app", "--timeout", "1", "--graceful-timeout", "1")
    server.incidents()
    assert server.stop() == 0
