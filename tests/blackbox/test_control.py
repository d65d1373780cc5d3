"""The control socket and tricornctl: the server explains itself, above all while no worker can."""

import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import tempfile
import time
from pathlib import Path

import pytest

from blackbox.judge import place_of
from blackbox.support.ctl import Ctl, tricornctl
from blackbox.support.site import GTHREAD, MODES, SYNC, Site
from blackbox.support.waiting import poll

HANGING = "hanging.py"


@pytest.fixture
def controlled(serve, tmp_path):
    """Start a server with a control socket of its own: gives site and tricornctl."""

    def start(*args, **options):
        path = tmp_path / f"{len(list(tmp_path.glob('*.ctl')))}.ctl"
        site = serve(*args, "--control-socket", path, "--graceful-timeout", "1", **options)
        site.wait_log("Control socket listening at " + re.escape(str(path)))
        return site, Ctl(path)

    return start


@contextlib.contextmanager
def hanging(site, *paths):
    """Have these requests run in the application, until the block ends."""
    clients = []
    for path in paths:
        clients.append(site.connect())
        clients[-1].sendall(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


def wait_running(ctl, count):
    """Wait until that many requests run; give them."""
    return poll(lambda: len(found := ctl.json("requests")) == count and found, what=lambda: f"{count} requests: {ctl.json('requests')}")


def sleep_then_hold_gil(clients, site, ctl):
    """Have one request sleep and then one hold the GIL, which the other could not wake up for."""
    clients.enter_context(hanging(site, "/sleep?password=hunter2"))
    poll(lambda: [one for one in ctl.json("requests") if one["function"] == "sleep"])
    clients.enter_context(hanging(site, "/regex"))
    poll(lambda: [one for one in ctl.json("requests") if one["gil"] == "holds"])


# ---- what it says ----


@pytest.mark.parametrize("mode", MODES)
def test_it_tells_all_while_every_worker_hangs(controlled, mode):
    """Each running request with its place, GIL or no GIL, and nothing in a worker has to answer."""
    site, ctl = controlled("hanging:app", *MODES[mode], "-w", "2", "-t", "60")
    poll(lambda: ctl.json("status")["workers"]["ready"] == 2)
    with contextlib.ExitStack() as clients:
        sleep_then_hold_gil(clients, site, ctl)
        requests = {request["request"]: request for request in wait_running(ctl, 2)}
        assert requests["GET /sleep"]["place"] == place_of(HANGING, "sleep")
        assert requests["GET /sleep"]["function"] == "sleep"
        assert requests["GET /regex"]["place"] == place_of(HANGING, "regex")
        assert requests["GET /regex"]["gil"] == "holds"
        assert all(request["seconds"] < 30 and request["phase"] == "application" for request in requests.values())
        status = ctl.json("status")
        assert status["pid"] == site.pid
        assert status["state"] == "running"
        assert status["requests"]["running"] == 2
        assert sum(worker["running"] for worker in ctl.json("workers")) == 2
        for words in (["status"], ["workers"], ["requests"], ["stacks"], ["incidents"]):
            assert "hunter2" not in ctl.text(*words) + json.dumps(ctl.json(*words))
    site.stop()


def test_workers_are_described(controlled):
    """Pid, age, state, requests, memory, CPU."""
    site, ctl = controlled("hanging:app", "-w", "2")
    poll(lambda: ctl.json("status")["workers"]["ready"] == 2)
    for _ in range(4):
        assert site.get("/").status == 200
    workers = ctl.json("workers")
    assert {worker["pid"] for worker in workers} == set(site.workers())  # they say in any order that they boot
    assert [worker["age"] for worker in workers] == [1, 2]
    assert {worker["state"] for worker in workers} == {"ready"}
    assert sum(worker["requests"] for worker in workers) == 4
    assert all(worker["rss_bytes"] > 5_000_000 and worker["cpu_s"] > 0 and worker["uptime_s"] > 0 for worker in workers)
    text = ctl.text("workers")
    assert text.startswith("PID")
    assert str(workers[0]["pid"]) in text


def test_requests_of_dead_workers_stay_counted(controlled):
    """What `status` calls answered does not shrink."""
    site, ctl = controlled("hanging:app", "--max-requests", "3")
    for _ in range(7):
        assert site.get("/").status == 200
    poll(lambda: ctl.json("status")["requests"]["answered"] == 7, what=lambda: ctl.text("status"))


def test_stacks_mark_the_holder_of_the_gil(controlled):
    """All threads of one worker, innermost frame first."""
    site, ctl = controlled("hanging:app", *GTHREAD, "-t", "60")
    with contextlib.ExitStack() as clients:
        sleep_then_hold_gil(clients, site, ctl)
        wait_running(ctl, 2)
        pid = site.workers()[0]
        [worker] = ctl.json("stacks", str(pid))["workers"]
        assert worker["pid"] == pid
        holders = [thread for thread in worker["threads"] if thread["gil"] == "holds"]
        assert len(holders) == 1
        assert holders[0]["tid"] == worker["gil_holder"]
        assert "regex" in [frame["function"] for frame in holders[0]["stack"]]
        text = ctl.text("stacks")
        assert f"Worker {pid}" in text
        assert re.search(r"R, holds the GIL\n( {6}.*\n)* {6}regex \(.*hanging.py:\d+\)", text), text
    site.stop()


def test_a_stopped_worker_is_described_too(controlled):
    """SIGSTOP: its memory and its page are still there."""
    site, ctl = controlled("hanging:app", "-t", "60")
    with hanging(site, "/sleep"):
        wait_running(ctl, 1)
        pid = site.workers()[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            poll(lambda: ctl.json("workers")[0]["process_state"] == "T")
            assert "stopped" in ctl.text("workers")
            assert ctl.json("requests")[0]["place"] == place_of(HANGING, "sleep")
            assert place_of(HANGING, "sleep") in ctl.text("stacks", str(pid))
        finally:
            os.kill(pid, signal.SIGCONT)
    site.stop()


def test_incidents_are_explained_without_a_report(serve, tmp_path):
    """The last ones are in memory."""
    path = tmp_path / "c.ctl"
    site = serve("hanging:app", "-t", "1", "--control-socket", path)
    ctl = Ctl(path)
    assert ctl.json("incidents") == []
    reference = site.get("/sleep").reference
    [incident, *_] = ctl.json("incidents")
    assert (incident["ref"], incident["class"], incident["request"]) == (reference, "wait.sleep", "GET /sleep")
    assert incident["place"] == place_of(HANGING, "sleep")
    assert reference in ctl.text("incidents")
    explained = ctl.text("explain", reference)
    assert re.search(r"^cause +wait\.sleep", explained, re.M), explained
    assert ctl.json("explain", reference)["class"] == "wait.sleep"
    assert ctl.json("status")["incidents"]["by_class"]["wait.sleep"] == 1
    code, out, err = ctl.run("explain", "zzzzzz")
    assert (code, out) == (1, "")
    assert "no incident with reference 'zzzzzz'" in err


def test_incidents_of_a_report_file_need_no_server(serve):
    """With --report the file is read."""
    site = serve("hanging:app", "-t", "1")
    reference = site.get("/sleep").reference
    site.incidents()
    site.stop()
    code, out, _ = tricornctl("explain", reference, "--report", site.report_path)
    assert code == 0
    assert "wait.sleep" in out
    code, out, _ = tricornctl("incidents", "--report", site.report_path)
    assert code == 0
    assert reference in out
    assert tricornctl("explain", "zzzzzz", "--report", site.report_path)[0] == 1
    assert tricornctl("explain", "zzzzzz", "--report", site.report_path.parent / "none")[0] == 1


# ---- what it does ----


def test_workers_come_and_go(controlled):
    """Commands ttin and ttou are the signals."""
    site, ctl = controlled("hanging:app")
    assert ctl.json("ttin") == {"workers_before": 1, "workers_now": 2}
    poll(lambda: ctl.json("status")["workers"]["ready"] == 2)
    assert "1 workers, 2 before" in ctl.text("ttou")
    poll(lambda: len(site.workers()) == 1)
    code, _, err = ctl.run("ttou")
    assert code == 1
    assert "last worker" in err


def test_a_reload_keeps_the_socket(controlled):
    """`reload` is HUP; the socket and its clients live on."""
    site, ctl = controlled("hanging:app")
    poll(lambda: ctl.json("status")["workers"]["ready"] == 1)
    before = site.workers()
    assert "begun" in ctl.text("reload")
    poll(lambda: (now := site.workers()) and not set(now) & set(before))
    assert ctl.json("status")["state"] == "running"
    assert site.log.count("Control socket listening") == 1


# ---- where it is, and for whom ----


def test_the_file_is_the_owners_and_goes_with_the_server(controlled):
    """Mode 0600, whatever the umask says."""
    site, ctl = controlled("hanging:app", "-m", "0")
    status = os.stat(ctl.path)
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o600
    site.stop()
    assert not os.path.exists(ctl.path)


def test_other_users_get_no_answer():
    """Also when the file's mode would let them."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    try:
        site = Site(folder, "hanging:app", "--control-socket", folder / "c.ctl", "--control-socket-mode", "0666").wait_listening()
        try:
            site.wait_log("Control socket listening")
            with socket.socket(socket.AF_UNIX) as client:
                pid = os.fork()
                if pid == 0:
                    os.setuid(65534)
                    with contextlib.suppress(OSError):
                        client.connect(str(folder / "c.ctl"))
                        os._exit(b"only uid 0 and root may ask" not in client.recv(4096))
                    os._exit(2)
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            assert Ctl(folder / "c.ctl").json("status")["pid"] == site.pid
            site.stop()
        finally:
            site.kill()
    finally:
        shutil.rmtree(folder)


def test_it_is_found_without_being_named(serve, tmp_path):
    """By default the socket lies where tricornctl looks; two servers of one user do not clash."""
    runtime = tmp_path / "run"
    runtime.mkdir()
    env = {"XDG_RUNTIME_DIR": runtime}
    code, _, err = tricornctl("status", env=env | {"HOME": tmp_path})
    assert code == 2, err
    assert str(runtime / "tricorn") in err
    first = serve("hanging:app", env=env)
    first.wait_log(f"Control socket listening at {runtime}/tricorn/{first.pid}.ctl")
    env["HOME"] = tmp_path  # nothing else of this user counts
    code, out, err = tricornctl("status", "--json", env=env)
    assert code == 0, err
    assert json.loads(out)["pid"] == first.pid
    pidfile = tmp_path / "pid"
    elsewhere = tmp_path / "elsewhere.ctl"
    second = serve("hanging:app", "-p", pidfile, "--control-socket", elsewhere, env=env)
    second.wait_log("Control socket listening at " + re.escape(str(elsewhere)))
    code, _, err = tricornctl("status", env=env)
    assert code == 2
    assert f"{first.pid}.ctl" in err
    assert f"{second.pid}.ctl" in err
    assert "hanging:app" in err
    code, out, err = tricornctl("status", "--json", "--pid", pidfile)
    assert code == 0, err
    assert json.loads(out)["pid"] == second.pid
    second.stop()
    first.stop()
    assert not list((runtime / "tricorn").iterdir())


def test_what_a_killed_server_left_is_cleared_away(serve, tmp_path):
    """The next server takes dead sockets away; tricornctl does not stumble over them."""
    env = {"XDG_RUNTIME_DIR": tmp_path, "HOME": tmp_path}
    first = serve("hanging:app", env=env)
    first.wait_log("Control socket listening")
    first.kill()
    left = tmp_path / "tricorn" / f"{first.pid}.ctl"
    assert left.exists()
    second = serve("hanging:app", env=env)
    second.wait_log("Control socket listening")
    assert not left.exists()
    code, out, err = tricornctl("status", "--json", env=env)
    assert code == 0, err
    assert json.loads(out)["pid"] == second.pid


def test_it_can_be_off(serve, tmp_path):
    """--no-control-socket: no file, no line, and tricornctl says that there is no server."""
    env = {"XDG_RUNTIME_DIR": tmp_path, "HOME": tmp_path}
    site = serve("hanging:app", "--no-control-socket", env=env)
    assert site.get("/").status == 200
    assert "ontrol socket" not in site.log
    assert not (tmp_path / "tricorn").exists()
    code, _, err = tricornctl("status", env=env)
    assert code == 2
    assert "no server answers" in err


def test_a_path_that_cannot_be_used_is_told_and_no_reason_not_to_serve(serve, tmp_path):
    """One WARNING that names it."""
    taken = tmp_path / "file"
    taken.write_text("mine")
    site = serve("hanging:app", "--control-socket", taken)
    site.wait_log(rf"\[WARNING\] Failed to start control socket: control socket '{re.escape(str(taken))}': the file there is no socket")
    assert site.get("/").status == 200
    assert taken.read_text() == "mine"


# ---- it never costs the supervision anything ----


def test_bad_clients_delay_nothing(controlled):
    """Silent, half-talking, unreading ones, and more than there is room for: a time-out is still found in time."""
    site, ctl = controlled("hanging:app", *SYNC, "-t", "1")
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(40)]
        for number, client in enumerate(crowd):
            client.connect(ctl.path)
            with contextlib.suppress(OSError):  # beyond the bound they are turned away
                client.sendall([b"", b'{"v":1,"comm', b'{"v":1,"command":"stacks"}\n' * 100, b"\xff\n" * 50][number % 4])
        began = time.monotonic()
        assert site.get("/sleep").status == 500
        assert time.monotonic() - began < 3
    poll(lambda: ctl.run("status")[0] == 0)


def test_many_ask_at_once(controlled):
    """Each gets a whole answer."""
    site, ctl = controlled("hanging:app", *GTHREAD)
    with hanging(site, "/sleep", "/sleep"), concurrent.futures.ThreadPoolExecutor(8) as people:
        wait_running(ctl, 2)
        answers = list(people.map(lambda _: ctl.json("stacks"), range(40)))
    assert all(len(answer["workers"]) == 1 for answer in answers)
    site.stop()


@pytest.mark.parametrize(("request_line", "says"), [
    (b"hello\n", "JSON object"),
    (b"[1]\n", "JSON object"),
    (b'{"command":"status"}\n', "version 1"),
    (b'{"v":2,"command":"status"}\n', "version 1"),
    (b'{"v":1}\n', "unknown command ''"),
    (b'{"v":1,"command":"shutdown"}\n', "unknown command 'shutdown'"),
    (b'{"v":1,"command":"stacks","pid":1}\n', "no worker has pid 1"),
    (b'{"v":1,"command":"stacks","pid":"x"}\n', None),
    (b"x" * 5000, "4096 bytes"),
])
def test_wrong_requests_are_told_what_is_wrong(controlled, request_line, says):
    """As JSON, like every answer."""
    _, ctl = controlled("hanging:app")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(ctl.path)
        client.sendall(request_line)
        answer = json.loads(client.makefile().readline())
    assert answer["v"] == 1
    assert answer["ok"] is (says is None)
    if says:
        assert says in answer["error"]


# ---- its words ----


COMMANDS = ("status", "workers", "requests", "stacks", "incidents", "explain", "top", "profile", "advise", "doctor", "reload", "ttin", "ttou", "alias")


def test_the_commands_are_those_of_the_help():
    code, out, err = tricornctl("--help")
    assert (code, err) == (0, "") and out.startswith("usage: tricornctl COMMAND")
    assert re.findall(r"^  (\w+) .*  ", out, re.M) == list(COMMANDS)
    assert tricornctl("-h") == (0, out, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_help(command):
    code, out, err = tricornctl(command, "--help")
    assert (code, err) == (0, "") and out.startswith(f"usage: tricornctl {command}")
    assert tricornctl(command, "-h") == (0, out, "")


@pytest.mark.parametrize(("words", "said"), [
    ([], "a command is needed; see tricornctl --help"),
    (["stauts"], "unknown command 'stauts'; see tricornctl --help"),
    (["stauts", "--help"], "unknown command 'stauts'; see tricornctl --help"),
    (["status", "--colour"], "unknown option '--colour'; see tricornctl --help"),
    (["stacks", "x"], "'x'"),
    (["alias"], "alias: a word is needed; see tricornctl alias --help"),
    (["alias", "instal"], "alias: 'instal' is not among its words; see tricornctl alias --help"),
    (["alias", "remove", "--force"], "alias: 'remove --force' is not among its words; see tricornctl alias --help"),
    (["-s", "/none.ctl", "alias", "status"], "alias has to be the first word; see tricornctl --help"),
    (["-s", "/none.ctl", "status"], "no server at '/none.ctl': No such file or directory"),
])
def test_wrong_words_are_named_with_status_2(words, said):
    code, out, err = tricornctl(*words)
    assert (code, out) == (2, "") and err.startswith("tricornctl: ") and said in err, err


def test_an_upgrade_takes_the_path_over(controlled):
    """After USR2 both answer, each at its own path; when the old server ends, the new one has its place."""
    site, ctl = controlled("hanging:app")
    poll(lambda: ctl.json("status")["workers"]["ready"] == 1)
    site.send(signal.SIGUSR2)
    site.wait_log("Control socket listening at " + re.escape(ctl.path) + r"\.2")
    successor = Ctl(ctl.path + ".2")
    new_pid = successor.json("status")["pid"]
    poll(lambda: successor.json("status")["workers"]["ready"] == 1)
    assert ctl.json("status")["pid"] == site.pid != new_pid
    site.send(signal.SIGTERM)
    def taken_over():
        code, out, _ = ctl.run("status", "--json")  # nobody is there for a moment
        return code == 0 and json.loads(out)["pid"] == new_pid
    poll(taken_over, what=lambda: site.log)
    assert not os.path.exists(successor.path)
    os.kill(new_pid, signal.SIGTERM)
    poll(lambda: not site.processes(), what=lambda: site.log)
    assert not os.path.exists(ctl.path)
