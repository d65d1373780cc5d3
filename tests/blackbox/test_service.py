"""What surrounds a server: the terminal it leaves, its pid file, its user, a service manager, other servers."""

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from blackbox.support.load import Load
from blackbox.support.site import APPS, TRICORN, clean_environment, free_port, run
from blackbox.support.upgrading import pid_in, workers_of
from blackbox.support.waiting import poll

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED LOUDLY: only root may change users")


def status_of(pid):
    """Give /proc/PID/status as a dictionary; None when the process is gone."""
    with contextlib.suppress(OSError):
        return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def gone(pid):
    """Tell whether a process has ended."""
    status = status_of(pid)
    return status is None or status["State"][0] in "ZX"


def answer(port):
    """GET / from a port; None when nobody listens."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return client.recv(65536).split(b"\r\n", 1)[0]


# ---- daemon ----

@contextlib.contextmanager
def daemon(tmp_path, *args, **options):
    """Run tricorn -D to the end of its foreground part; give what subprocess.run gave, the daemon's pid and its port."""
    port, pidfile, log = free_port(), tmp_path / "pid", tmp_path / "log"
    done = subprocess.run(
        [TRICORN, "wsgi_rules:app", "-b", f"127.0.0.1:{port}", "--pid", pidfile, "--log-file", log, *args], check=False,
        env=clean_environment(), capture_output=True, timeout=20, cwd=Path(__file__).parent / "apps", **options)
    pid = None
    try:
        if done.returncode == 0:
            pid = poll(lambda: pid_in(pidfile), 10, "the pid file of the daemon")
            poll(lambda: answer(port), 10, lambda: f"an answer\n{log.read_text()}")
        yield done, pid, port
    finally:
        if pid is not None and not gone(pid):
            os.kill(pid, signal.SIGTERM)
            poll(lambda: gone(pid), 10, lambda: f"the end of the daemon\n{log.read_text()}")


def test_a_daemon_leaves_the_terminal_and_runs_on(tmp_path):
    with daemon(tmp_path, "-D") as (done, pid, port):
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        assert int(fields[3]) not in (pid, os.getsid(0)), "a session of its own that it does not lead"
        assert int(fields[4]) == 0, "no controlling terminal"
        assert [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)] == ["/dev/null"] * 3
        assert status_of(pid)["Umask"] == "0022"
        assert answer(port) == b"HTTP/1.1 200 OK"
        assert stat.S_IMODE(os.stat(tmp_path / "pid").st_mode) == 0o644
        workers = workers_of(pid)
        os.kill(workers[0], signal.SIGKILL)
        poll(lambda: set(workers_of(pid)) - set(workers), 10, "another worker")
    assert not (tmp_path / "pid").exists()


def test_winch_stops_the_workers_of_a_daemon_and_hup_brings_them_back(tmp_path):
    with daemon(tmp_path, "-D", "-w", "2") as (_, pid, port):
        poll(lambda: len(workers_of(pid)) == 2, 10, "two workers")
        os.kill(pid, signal.SIGWINCH)
        poll(lambda: not workers_of(pid), 10, "no worker")
        assert "graceful stop of workers" in (tmp_path / "log").read_text()
        os.kill(pid, signal.SIGHUP)
        assert poll(lambda: answer(port), 10, "an answer") == b"HTTP/1.1 200 OK"


def test_the_documented_upgrade_of_a_daemon(tmp_path):
    """USR2, WINCH and TERM to the old one; a daemon's successor does not detach again."""
    with daemon(tmp_path, "-D", "--keep-alive", "30") as (_, pid, port):
        os.kill(pid, signal.SIGUSR2)
        new = poll(lambda: pid_in(tmp_path / "pid.2"), 10, "the new server")
        try:
            poll(lambda: workers_of(new), 10, "its workers")
            os.kill(pid, signal.SIGWINCH)
            poll(lambda: not workers_of(pid), 10, "no old worker")
            assert answer(port) == b"HTTP/1.1 200 OK"
            os.kill(pid, signal.SIGTERM)
            poll(lambda: pid_in(tmp_path / "pid") == new, 10, lambda: (tmp_path / "log").read_text())
            assert answer(port) == b"HTTP/1.1 200 OK"
        finally:
            os.kill(new, signal.SIGTERM)
            poll(lambda: gone(new), 10, "the end of the new server")


def test_a_daemon_keeps_its_output_when_asked(tmp_path):
    with open(tmp_path / "out", "wb") as out:
        port, pidfile = free_port(), tmp_path / "pid"
        conf = tmp_path / "conf.py"
        conf.write_text("daemon = True\nenable_stdio_inheritance = True\naccesslog = '-'\n")
        subprocess.run([TRICORN, "wsgi_rules:app", "-c", conf, "-b", f"127.0.0.1:{port}", "--pid", pidfile], check=True,
                       env=clean_environment(), stdout=out, stderr=out, timeout=20, cwd=Path(__file__).parent / "apps")
    pid = poll(lambda: pid_in(pidfile), 10, "the daemon")
    assert poll(lambda: answer(port), 10, "an answer") == b"HTTP/1.1 200 OK"
    os.kill(pid, signal.SIGTERM)
    poll(lambda: gone(pid), 10, "its end")
    written = (tmp_path / "out").read_text()
    assert "Listening at" in written and '"GET / HTTP/1.1" 200' in written


def test_a_daemon_says_what_is_wrong_with_its_configuration(tmp_path):
    conf = tmp_path / "conf.py"
    conf.write_text("workers = -1\n")
    with daemon(tmp_path, "-D", "-c", conf) as (done, _, port):
        assert done.returncode == 1 and b"Value must be positive: -1" in done.stderr
        assert answer(port) is None


# ---- the pid file ----

def test_a_second_server_with_the_same_pid_file_is_refused(serve, tmp_path):
    pidfile = tmp_path / "pid"
    server = serve("wsgi_rules:app", "--pid", pidfile)
    code, _, errors = run("wsgi_rules:app", "--pid", str(pidfile), "-b", f"127.0.0.1:{free_port()}")
    assert code == 1
    assert f"\nError: Already running on PID {server.pid} (or pid file '{pidfile}' is stale)\n" in errors
    assert pid_in(pidfile) == server.pid
    assert server.stop() == 0
    assert not pidfile.exists()


def test_a_stale_pid_file_is_taken_over(serve, tmp_path):
    pidfile = tmp_path / "pid"
    pidfile.write_text("4194303\n")
    server = serve("wsgi_rules:app", "--pid", pidfile)
    assert pidfile.read_text() == f"{server.pid}\n"


def test_a_pid_file_in_no_folder_is_refused(tmp_path):
    code, _, errors = run("wsgi_rules:app", "--pid", str(tmp_path / "none" / "pid"), "-b", f"127.0.0.1:{free_port()}")
    assert code == 1
    assert f"\nError: {tmp_path}/none doesn't exist. Can't create pidfile.\n" in errors


# ---- users ----

@contextlib.contextmanager
def public_folder():
    """Give a folder anybody may read, with an application in it that needs no module the server has not loaded already."""
    folder = Path(tempfile.mkdtemp(prefix="tricorn-public-"))
    try:
        folder.chmod(0o755)
        (folder / "shop.py").write_text(
            "import os, time\n"
            "def slow():\n    time.sleep(30)\n"
            "def app(environ, start_response):\n"
            "    if environ['PATH_INFO'] == '/slow':\n        slow()\n"
            "    start_response('200 OK', [])\n"
            "    ids = [os.getuid(), os.getgid(), *sorted(os.getgroups())]\n"
            "    return [' '.join(map(str, ids)).encode()]\n")
        yield folder
    finally:
        shutil.rmtree(folder)


@NEEDS_ROOT
def test_workers_run_as_another_user_and_are_still_explained(serve):
    user = pwd.getpwnam("nobody")
    with public_folder() as folder:
        access = folder / "access"
        server = serve("shop:app", "--chdir", folder, "--user", "nobody", "--group", user.pw_gid, "--timeout", "2",
                       "--access-logfile", access)
        assert server.get("/").content.split()[:2] == [str(user.pw_uid).encode(), str(user.pw_gid).encode()]
        assert status_of(server.pid)["Uid"].split()[0] == "0"
        named = {pid: name for pid, name in server.processes().items() if name in ("tricorn-worker", "tricorn-keeper")}
        assert len(named) == 2
        for pid in named:
            assert set(status_of(pid)["Uid"].split()) == {str(user.pw_uid)}, (named[pid], status_of(pid))
            assert set(status_of(pid)["Gid"].split()) == {str(user.pw_gid)}, named[pid]
        late = server.get("/slow")
        assert late.status == 500
        incident = server.incidents()[0]
        assert incident["class"] == "wait.sleep" and incident["place"] == "shop.py:3", incident
        assert late.reference == incident["ref"]
        os.rename(access, folder / "access.1")
        server.wait_log("Booting worker", count=2)
        server.send(signal.SIGUSR1)
        poll(access.exists, 5, "the new access log")
        poll(lambda: server.get("/").status == 200 and access.read_text(), 5, lambda: f"a line in it\n{server.log}")


@NEEDS_ROOT
@pytest.mark.parametrize("rotation", ["usr1", "hup"])
def test_log_files_belong_to_the_user_with_a_logger_of_python_too(serve, rotation):
    user = pwd.getpwnam("nobody")
    with public_folder() as folder:
        error, access = folder / "error", folder / "access"
        server = serve("shop:app", "--chdir", folder, "--user", "nobody", "--group", user.pw_gid, "--error-logfile", error,
                       "--access-logfile", access, "--logger-class", "shop_logs.ShopLogger", "--pythonpath", APPS)
        server.get("/")

        def written():
            server.send(signal.SIGTTOU)
            lines = error.read_text() if error.exists() else ""
            return (f"SHOP {server.pid} INFO Handling signal: ttou" in lines and server.get("/").status == 200
                    and re.search(rf"SHOP (?!{server.pid} )\d+ INFO served GET /", lines) and access.read_text())

        def told():
            return "\n".join(f"{file}\n{file.read_text()}" for file in folder.iterdir() if file.is_file()) + server.log

        poll(written, 10, told)
        logger = next(pid for pid, name in server.processes().items() if name == "tricorn-logger")
        assert status_of(logger)["Uid"].split()[0] == "0", "it speaks for the arbiter, which stays who it is"
        for file in (error, access):
            assert (file.stat().st_uid, file.stat().st_gid) == (user.pw_uid, user.pw_gid)
            file.rename(f"{file}.1")
        server.send(getattr(signal, f"SIG{rotation.upper()}"))
        poll(written, 10, told)
        assert (access.stat().st_uid, error.stat().st_uid) == (user.pw_uid, user.pw_uid)
        assert "Permission denied" not in told()


@NEEDS_ROOT
def test_workers_have_the_groups_of_their_user_when_asked(serve):
    user = pwd.getpwnam("nobody")
    with public_folder() as folder:
        server = serve("shop:app", "--chdir", folder, "--user", "nobody", "--group", user.pw_gid, "--initgroups")
        assert server.get("/").content == f"{user.pw_uid} {user.pw_gid} {user.pw_gid}".encode()


def test_umask_is_for_unix_sockets(serve, tmp_path):
    path = tmp_path / "socket"
    serve("wsgi_rules:app", "-b", f"unix:{path}", "--umask", "007", bind=False)
    poll(path.exists, 10, "the socket")
    assert stat.S_IMODE(path.stat().st_mode) == 0o770


# ---- sockets ----

def test_two_servers_share_a_port_with_reuse_port(serve):
    first = serve("wsgi_rules:app", "--reuse-port")
    assert f"Listening at: {first.url} ({first.pid})" in first.log
    second = serve("wsgi_rules:app", "--reuse-port", "-b", f"127.0.0.1:{first.port}", bind=False)
    second.wait_log("Booting worker")
    poll(lambda: int(first.get("/pid").content) in second.workers(), 10, "an answer of the second server")
    second.stop()
    assert int(first.get("/pid").content) in first.workers()


def test_a_port_in_use_is_refused_without_reuse_port(serve):
    server = serve("wsgi_rules:app", "--reuse-port")
    second = serve("wsgi_rules:app", "-b", f"127.0.0.1:{server.port}", bind=False)
    second.wait_log("Connection in use: ")
    assert second.stop() == 0


def test_an_abstract_socket(serve):
    name = f"tricorn-test-{os.getpid()}"
    server = serve("wsgi_rules:app", "-b", f"unix:@{name}", bind=False)
    server.wait_log(rf"Listening at: unix:@{name} ")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + name)
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")


# ---- a service manager ----

class Manager:
    """A manager's ear: the datagrams of sd_notify."""

    def __init__(self, folder):
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(20)
        self.heard = []

    def wait(self, pattern):
        """Wait for a message that the pattern matches from its beginning; give it."""
        while True:
            self.heard.append(self.socket.recv(4096).decode())
            if re.match(pattern, self.heard[-1]):
                return self.heard[-1]


def test_a_service_manager_hears_of_start_reload_and_stop(serve, tmp_path):
    manager = Manager(tmp_path)
    server = serve("wsgi_rules:app", "-w", "2", env={"NOTIFY_SOCKET": manager.path})
    assert manager.wait("READY=1\n").endswith("STATUS=Serving with 2 workers")
    server.send(signal.SIGHUP)
    reloading = manager.wait("RELOADING=1\n")
    assert re.search(r"^MONOTONIC_USEC=\d+$", reloading, re.M), reloading
    manager.wait("READY=1\n")
    server.send(signal.SIGTERM)
    manager.wait("STOPPING=1\n")
    assert server.wait() == 0
    assert not any("WATCHDOG" in message for message in manager.heard)


def test_ready_means_that_a_worker_serves(serve, tmp_path):
    manager = Manager(tmp_path)
    serve("slow_boot:app", env={"NOTIFY_SOCKET": manager.path, "BOOT_SECONDS": "2"})
    manager.wait("READY=1\n")
    assert any(message.startswith("EXTEND_TIMEOUT_USEC=") for message in manager.heard), manager.heard


def test_a_failed_reload_is_over_for_the_manager_too(serve, tmp_path):
    manager = Manager(tmp_path)
    conf = tmp_path / "conf.py"
    conf.write_text("workers = 1\n")
    server = serve("wsgi_rules:app", "-c", conf, env={"NOTIFY_SOCKET": manager.path})
    manager.wait("READY=1\n")
    conf.write_text("workers = (\n")
    server.send(signal.SIGHUP)
    manager.wait("RELOADING=1\n")
    manager.wait("READY=1\n")


def test_the_watchdog_is_fed_while_the_arbiter_turns(serve, tmp_path):
    manager = Manager(tmp_path)
    server = serve("wsgi_rules:app", env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"})
    for _ in range(5):
        manager.wait("WATCHDOG=1")
    server.send(signal.SIGSTOP)
    poll(lambda: status_of(server.pid)["State"][0] == "T", 5, "the arbiter stopped")
    manager.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            manager.socket.recv(4096)
    manager.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        manager.socket.recv(4096)
    server.send(signal.SIGCONT)
    manager.wait("WATCHDOG=1")


def test_the_main_process_is_the_new_server_after_an_upgrade(serve, tmp_path):
    manager = Manager(tmp_path)
    pidfile = tmp_path / "pid"
    server = serve("wsgi_rules:app", "--pid", pidfile, env={"NOTIFY_SOCKET": manager.path})
    manager.wait("READY=1\n")
    server.send(signal.SIGUSR2)
    new = poll(lambda: pid_in(Path(f"{pidfile}.2")), 10, "the new server")
    poll(lambda: workers_of(new), 10, "its worker")
    server.send(signal.SIGTERM)
    assert manager.wait("MAINPID=") == f"MAINPID={new}"
    assert server.process.wait(10) == 0
    manager.wait("READY=1\n")
    assert not any(message.startswith("STOPPING") for message in manager.heard)
    os.kill(new, signal.SIGTERM)
    manager.wait("STOPPING=1\n")
    poll(lambda: not server.processes(), 10, lambda: server.processes())


def test_sockets_of_a_service_manager(tmp_path):
    """LISTEN_FDS: both listeners are taken, --bind is not; the file of the unix socket stays."""
    path = tmp_path / "socket"
    tcp, unix = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
    unix.bind(str(path))
    unix.listen()
    port = tcp.getsockname()[1]
    log = tmp_path / "log"
    command = 'exec 3<&"$1" 4<&"$2" && LISTEN_PID=$$ LISTEN_FDS=2 exec "$0" wsgi_rules:app --keep-alive 30 --log-file "$3" --pid "$4"'
    process = subprocess.Popen(
        ["bash", "-c", command, TRICORN, str(tcp.fileno()), str(unix.fileno()), str(log), str(tmp_path / "pid")],
        env=clean_environment(), pass_fds=[tcp.fileno(), unix.fileno()], cwd=Path(__file__).parent / "apps")
    tcp.close()
    unix.close()
    try:
        assert poll(lambda: answer(port), 10, "an answer") == b"HTTP/1.1 200 OK"
        assert f"Listening at: http://127.0.0.1:{port},unix:{path} ({process.pid})" in log.read_text()
        worker = workers_of(process.pid)[0]
        assert b"LISTEN_FDS" not in Path(f"/proc/{worker}/environ").read_bytes()
        os.kill(process.pid, signal.SIGUSR2)
        new = poll(lambda: pid_in(tmp_path / "pid.2"), 10, "the new server")
        poll(lambda: workers_of(new), 10, "its worker")
        process.terminate()
        assert process.wait(10) == 0
        assert answer(port) == b"HTTP/1.1 200 OK"
        os.kill(new, signal.SIGTERM)
        poll(lambda: gone(new), 10, "the end of the new server")
        assert path.exists()
    finally:
        with contextlib.suppress(OSError):
            process.kill()
            process.wait(10)


# ---- logs ----

def test_usr1_opens_every_log_again(serve, tmp_path):
    error, access = tmp_path / "error", tmp_path / "access"
    server = serve("wsgi_rules:app", "-w", "2", "--log-file", error, "--access-logfile", access)
    server.get("/before")
    poll(lambda: "/before" in access.read_text(), 5, "its access line")  # the client may see the answer first
    for path in (error, access, server.report_path):
        path.rename(f"{path}.1")
    server.send(signal.SIGUSR1)
    poll(lambda: all(path.exists() for path in (error, access, server.report_path)), 5, "the new files")
    poll(lambda: server.get("/after").status and "/after" in access.read_text(), 5, "an access line in the new file")
    os.kill(poll(lambda: workers_of(server.pid), 5, "a worker")[0], signal.SIGKILL)
    poll(lambda: "was sent SIGKILL" in error.read_text() and server.report(), 5, "the death in the new files")
    assert "/before" in Path(f"{access}.1").read_text()
    assert "Listening at" in Path(f"{error}.1").read_text()


# ---- as process 1 ----

@NEEDS_ROOT
def test_process_1_of_a_container_reaps_what_others_leave_behind(tmp_path):
    if subprocess.run(["unshare", "-pf", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("SKIPPED LOUDLY: no process namespace can be made here")
    app = tmp_path / "leaver.py"
    app.write_text(
        "import subprocess\n"
        "def app(environ, start_response):\n"
        "    subprocess.run(['sh', '-c', '(sleep 0.2; exit 7) & exit 0'])\n"
        "    start_response('200 OK', [])\n"
        "    return [b'x']\n")
    port, log = free_port(), tmp_path / "log"
    process = subprocess.Popen(
        ["unshare", "-pf", "--mount-proc", "--kill-child", TRICORN, "leaver:app", "-b", f"127.0.0.1:{port}", "--log-file", log,
         "--log-level", "debug", "--chdir", tmp_path], env=clean_environment())
    try:
        assert poll(lambda: answer(port), 15, lambda: log.read_text()) == b"HTTP/1.1 200 OK"
        assert "[1] [INFO] Listening at" in log.read_text()
        poll(lambda: re.search(rf"Reaped unknown child process \(pid:\d+, status:{7 << 8}\)", log.read_text()), 10, lambda: log.read_text())
        inner = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        os.kill(inner, signal.SIGTERM)
        assert process.wait(10) == 0
        assert "[1] [INFO] Shutting down: Master" in log.read_text()
    finally:
        process.kill()
        process.wait(10)


def test_load_is_served_while_workers_come_and_go(serve):
    server = serve("wsgi_rules:app", "-w", "2", "--keep-alive", "30")
    with Load(server, clients=4) as load:
        for number, count in ((signal.SIGTTIN, 3), (signal.SIGTTIN, 4), (signal.SIGTTOU, 3), (signal.SIGTTOU, 2)):
            server.send(number)
            poll(lambda count=count: len(server.workers()) == count, 10, lambda: f"{server.workers()}\n{server.log}")
    assert set(load.outcomes) == {200}, (load.outcomes, load.broken[:5], server.log)
