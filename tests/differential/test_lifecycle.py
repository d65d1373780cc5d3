"""Starting, stopping, signals, pid files: what is logged and how it ends."""

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from blackbox.support.answer import read_all
from blackbox.support.waiting import poll


@pytest.mark.parametrize("name", ["TERM", "INT", "QUIT"])
@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_stop(both, name, worker):
    def scenario(server):
        server.start("app:app", "-k", worker, "--threads", "2" if worker == "gthread" else "1")
        server.get("/")
        server.stop(getattr(signal, "SIG" + name))
        with pytest.raises(ConnectionRefusedError):
            server.connect()
    both(scenario)


def test_hup(both):
    def scenario(server):
        server.start("app:app")
        server.get("/")
        server.send(signal.SIGHUP)
        server.wait_log("Booting worker", count=2)
        server.wait_log("Worker exiting")
        server.get("/")
    both(scenario, "transactional-reload")


def test_hup_with_other_settings(both):
    def scenario(server):
        server.start("app:app", conf="workers = 1\nraw_env = ['ONE=old']\n")
        server.get("/process")
        server.file("conf.py", "workers = 2\nraw_env = ['ONE=new']\n")
        server.send(signal.SIGHUP)
        server.wait_log("Booting worker", count=3)
        server.wait_log("Worker exiting")
        server.get("/process")
        server.stop()
        server.note("workers", len(re.findall("Booting worker", server.log)))
        server.err_path.write_text("")
    both(scenario)


def test_ttin_and_ttou(both):
    def scenario(server):
        server.start("app:app")
        server.get("/")
        server.send(signal.SIGTTIN)
        server.wait_log("Booting worker", count=2)
        server.get("/")
        server.get("/")
        server.send(signal.SIGTTOU)
        server.wait_log("Worker exiting")
        server.send(signal.SIGTTOU)
        server.wait_log("Handling signal: ttou", count=2)
    both(scenario, "no-false-sigterm")


def test_winch_without_daemon(both):
    def scenario(server):
        server.start("app:app")
        server.get("/")
        server.send(signal.SIGWINCH)
        server.wait_log("Handling signal: winch")
    both(scenario)


def test_usr1(both):
    def scenario(server):
        log = server.folder / "error.log"
        server.launch("app:app", "--no-control-socket", "--error-logfile", log)
        server.wait_log("Booting worker", path=log)
        server.get("/")
        log.rename(server.folder / "error.log.1")
        server.send(signal.SIGUSR1)
        server.wait_log("Handling signal: usr1", path=server.folder / "error.log.1")
        poll(log.exists, 10, "a new file")
        server.stop()
        for file in ("error.log.1", "error.log"):
            server.note(file, (server.folder / file).read_text())
    both(scenario)


def test_a_killed_worker_is_replaced(both):
    def scenario(server):
        server.start("app:app")
        server.get("/")
        os.kill(server.workers()[0], signal.SIGKILL)
        server.wait_log("Booting worker", count=2)
        server.get("/")
    both(scenario, "no-false-out-of-memory")


@pytest.mark.parametrize("name", ["TERM", "SEGV", "INT", "QUIT"])
def test_a_worker_gets_a_signal(both, name):
    def scenario(server):
        server.start("app:app")
        server.get("/")
        os.kill(server.workers()[0], getattr(signal, "SIG" + name))
        server.wait_log("Booting worker", count=2)
        server.get("/")
    both(scenario, "explained-exit" if name == "SEGV" else "told-to-leave-from-outside")


@pytest.mark.parametrize("status", [1, 3, 4, 9])
def test_a_worker_exits(both, status):
    def scenario(server):
        server.file("exiting.py", f"import os\ndef app(e, s): os._exit({status})\n")
        server.start("exiting:app", cwd=server.folder)
        server.get("/")
        poll(lambda: server.process.poll() is not None or server.log.count("Booting worker") == 2, 20, "a new worker or the end")
    both(scenario, *(["exit-status-while-serving"] if status in (3, 4) else ["explained-exit", "client-is-answered"]))


def test_max_requests(both):
    def scenario(server):
        server.start("app:app", "--max-requests", "2")
        server.get("/")
        server.get("/")
        server.wait_log("Booting worker", count=2)
        server.get("/")
    both(scenario)


def test_no_workers(both):
    def scenario(server):
        server.start("app:app", "-w", "0", booted=0)
        server.wait_log("Listening at")
        server.stop()
    both(scenario)


# ---- pid file ----

def test_pid_file(both):
    def scenario(server):
        path = server.folder / "pid"
        server.start("app:app", "-p", path)
        server.note("pid", path.read_text())
        server.note("mode", oct(path.stat().st_mode))
        server.get("/")  # Gunicorn loses a TERM that comes while its worker boots
        server.stop()
        server.note("left behind", path.exists())
    both(scenario)


@pytest.mark.parametrize(("name", "text"), [("stale", "4194304\n"), ("own", "1\n"), ("garbage", "x\n"), ("empty", "")])
def test_old_pid_file(both, name, text):
    def scenario(server):
        path = server.file("pid", text)
        server.start("app:app", "-p", path)
        if server.process.poll() is None:
            server.get("/")
        server.stop()
        server.note("left behind", path.exists())
    both(scenario)


def test_pid_file_in_no_folder(both):
    both(lambda server: server.run("app:app", "-p", server.folder / "no" / "pid"))


# ---- what cannot be had ----

def test_port_in_use(both):
    def scenario(server):
        with socket.create_server(("127.0.0.1", server.port)):
            server.run("app:app", bind=True)
    both(scenario)


BAD_ADDRESSES = {
    "192.0.2.1:80": "no-useless-retries", "nonsense.invalid:80": "no-useless-retries", "unix:/no/such/folder/socket": "no-useless-retries", "127.0.0.1:x": "", "[::1": "",
    "127.0.0.1:99999": "socket-addresses", "unix:": "socket-addresses", "fd://99": "socket-addresses",
}


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_bad_address(both, address):
    both(lambda server: server.run("app:app", "-b", address), *filter(None, [BAD_ADDRESSES[address]]))


def test_error_log_that_cannot_be_written(both):
    both(lambda server: server.run("app:app", "--error-logfile", "/no/such/folder/log"), "log-file-errors")


def test_access_log_that_cannot_be_written(both):
    both(lambda server: server.run("app:app", "--access-logfile", "/no/such/folder/log"), "log-file-errors")


def test_user_that_cannot_be_had(both):
    if os.geteuid():
        pytest.skip("SKIPPED LOUDLY: only root can change the user")
    def scenario(server):
        server.folder.chmod(0o755)
        server.start("app:app", "-u", "nobody", "-g", "nogroup")
        server.get("/")
        status = Path(f"/proc/{server.workers()[0]}/status").read_text()
        server.note("ids", re.findall(r"[UG]id:.*", status))
    both(scenario)


def test_timeout(both):
    def scenario(server):
        server.start("app:app", "-t", "2")
        server.get("/slow?30")
        server.wait_log("Booting worker", count=2)
        server.wait_log("Worker exiting|was sent SIGKILL")
        server.get("/")
    both(scenario, "timeout-explained")


def test_graceful_timeout(both):
    def scenario(server):
        server.start("app:app", "--graceful-timeout", "1")
        with server.connect() as client:
            client.sendall(b"GET /slow?30 HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.5)  # until the application sleeps: nothing tells
            server.stop()
            server.note("answer", read_all(client).decode())
    both(scenario, "cut-requests-answered")
