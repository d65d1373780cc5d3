"""Starting, stopping, reloading, and losing processes: nobody is left behind, no request is lost."""

import collections
import concurrent.futures
import contextlib
import os
import re
import signal
import socket
import time

import pytest

from blackbox.judge import place_of
from blackbox.support.answer import Answer, read_all, read_answer
from blackbox.support.load import Load
from blackbox.support.site import GTHREAD, MODES, free_port
from blackbox.support.waiting import poll


# ---- stopping ----

@pytest.mark.parametrize("mode", MODES)
def test_term_lets_a_request_finish(serve, mode):
    server = serve("wsgi_rules:app", *MODES[mode])
    with server.begin("/slept?1.5") as client:
        server.send(signal.SIGTERM)
        answer = Answer(read_all(client))
    assert answer.content == b"slept" and answer["Connection"] == "close"
    assert server.wait() == 0
    server.wait()
    assert server.incidents(0) == []


def test_term_closes_idle_connections_and_the_port(serve):
    server = serve("wsgi_rules:app", "--keep-alive", "30")
    with server.connect() as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(65536)
        began = time.monotonic()
        server.send(signal.SIGTERM)
        assert idle.recv(1) == b""
        assert server.wait() == 0
        assert time.monotonic() - began < 3
    with pytest.raises(ConnectionRefusedError):
        server.connect()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_int_and_quit_do_not_wait_for_requests(serve, mode, number):
    server = serve("wsgi_rules:app", "--graceful-timeout", "20", *MODES[mode])
    with server.begin("/slept?10") as client:
        began = time.monotonic()
        server.send(number)
        answer = Answer(read_all(client))
        assert server.wait() == 0
    assert time.monotonic() - began < 4, server.log
    assert answer.status == 500, (answer, server.log)
    server.wait()


@pytest.mark.parametrize("mode", MODES)
def test_a_request_beyond_graceful_timeout_is_cut_answered_and_logged(serve, mode):
    server = serve("wsgi_rules:app", "--graceful-timeout", "1", *MODES[mode])
    with server.begin("/slept?20") as client:
        began = time.monotonic()
        server.send(signal.SIGTERM)
        answer = Answer(read_all(client))
        assert server.wait() == 0
    assert 1 <= time.monotonic() - began < 5
    assert answer.status in (500, 503) and answer.reference, (answer, server.log)
    assert re.search(rf"GET /slept .*ref {answer.reference}", server.log), server.log
    server.wait()


def test_a_stop_does_not_wait_for_a_request_that_had_its_answer(serve):
    server = serve("hanging:app", "--timeout", "2", *MODES["gthread"])
    assert server.get("/").status == 200
    with concurrent.futures.ThreadPoolExecutor() as clients:
        late = clients.submit(server.get, "/sleep")
        time.sleep(1)
        neighbour = clients.submit(server.get, "/steady?1.7")
        assert late.result().status == 500
        began = time.monotonic()
        server.send(signal.SIGTERM)
        assert neighbour.result().body == b"steady"
        assert server.wait() == 0
    assert time.monotonic() - began < 5


def test_a_stop_ends_everybody_in_their_own_way_before_the_main_process_ends(serve, tmp_path):
    conf = tmp_path / "conf.py"
    conf.write_text(
        "import atexit, os, time\n"
        "def on_starting(server):\n    atexit.register(lambda: (time.sleep(0.3), print('gone', os.getpid(), flush=True)))\n"
        "def on_exit(server):\n    print('exit', flush=True)\n"
    )
    server = serve("wsgi_rules:app", "-c", conf)
    server.wait_log("Booting worker")
    spawner, worker = server.spawner(), server.workers()[0]
    server.send(signal.SIGTERM)
    assert server.process.wait(10) == 0
    assert server.out.split("\n")[:3] == [f"gone {worker}", "exit", f"gone {spawner}"]
    assert server.session() == {}


def test_a_second_signal_makes_the_stop_quick(serve):
    server = serve("wsgi_rules:app", "--graceful-timeout", "30")
    with server.begin("/slept?20"):
        server.send(signal.SIGTERM)
        server.wait_log("Handling signal: term")
        server.send(signal.SIGINT)
        assert server.wait(8) == 0
    assert "[INFO] Quick shutdown requested" in server.log


@pytest.mark.parametrize("mode", MODES)
def test_a_stop_serves_the_backlog_and_refuses_whoever_comes_later(serve, mode):
    server = serve("wsgi_rules:app", *MODES[mode])
    busy = [server.begin("/slept?1.5") for _ in range(4 if mode == "gthread" else 1)]
    waiting = [server.connect() for _ in range(5)]
    for client in waiting:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    server.send(signal.SIGTERM)
    poll(lambda: refused(server), 1, "a refusal, while the requests still run")
    answers = [Answer(read_all(client)) for client in busy + waiting]
    assert [answer.status for answer in answers] == [200] * len(answers), (answers, server.log)
    assert server.wait() == 0


def refused(server):
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_stop_waits_a_moment_for_those_who_have_just_connected(serve):
    server = serve("wsgi_rules:app", "--graceful-timeout", "20")
    server.get("/")
    with server.connect() as late, server.connect() as silent:
        server.send(signal.SIGTERM)
        poll(lambda: refused(server), 5, "the closed port")
        late.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert Answer(read_all(late)).status == 200
        assert read_all(silent) == b""
    began = time.monotonic()
    assert server.wait() == 0
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTTOU])
def test_a_drain_beyond_graceful_timeout_is_cut_answered_and_logged(serve, mode, number):
    server = serve("wsgi_rules:app", "-w", "2", "--graceful-timeout", "1", *MODES[mode])
    server.wait_log("Booting worker", count=2)
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        late = [clients.submit(server.get, "/slept?20") for _ in range(8 if mode == "gthread" else 2)]
        server.wait_running(2)
        began = time.monotonic()
        server.send(number)
        done, _ = concurrent.futures.wait(late, 18, concurrent.futures.FIRST_COMPLETED)
        assert done, server.log
        answer = done.pop().result()
        assert time.monotonic() - began >= 0.9
        assert answer.status == 503 and answer.reference
        line = re.search(rf"\[ERROR\] Worker \(pid:\d+\) cut at its graceful time-out: GET /slept had run (.*); ref {answer.reference}", server.log)
        assert line and "; wait.sleep: slept " in line[1] and " at wsgi_rules.py:" in line[1], server.log
        server.stop(signal.SIGQUIT)


@pytest.mark.parametrize("kind", ["atexit", "thread"])
def test_what_keeps_a_worker_from_leaving_is_named(serve, kind):
    server = serve("lingering:app", "--graceful-timeout", "1", env={"LINGER": kind})
    server.get("/")
    assert server.stop() == 0
    line = re.search(r"was sent SIGKILL! By this server \(pid:\d+\), at the end of --graceful-timeout(.*); ref ", server.log)
    assert line, server.log
    assert f" at {place_of('lingering.py', kind)}" in line[1], line[1]


def test_a_worker_that_cannot_be_killed_does_not_keep_the_server(serve, frozen):
    server = serve("wsgi_rules:app", "--timeout", "2", env={"FROZEN": frozen})
    server.get("/")
    assert server.get("/frozen_write").status == 500
    server.wait_log(r"\[CRITICAL\] Worker \(pid:\d+\) cannot be killed: it is in uninterruptible sleep in \w+ ")
    assert server.get("/").status == 200
    server.send(signal.SIGTERM)
    assert server.process.wait(6) == 0
    assert refused(server)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_an_idle_server_stops_at_once_with_0(serve, number):
    server = serve("wsgi_rules:app", "-w", "3", "--preload")
    server.get("/")
    began = time.monotonic()
    assert server.stop(number) == 0
    assert time.monotonic() - began < 3


def test_a_server_can_be_stopped_while_it_starts(serve):
    server = serve("slow_boot:app", "-w", "2", "--graceful-timeout", "2", env={"BOOT_SECONDS": "30"})
    assert server.stop() == 0


# ---- losing processes ----

def test_workers_of_a_killed_arbiter_finish_and_leave(serve):
    server = serve("wsgi_rules:app", "-w", "2", *GTHREAD)
    with server.begin("/slept?1.5") as client:
        server.send(signal.SIGKILL)
        assert Answer(read_all(client)).content == b"slept"
    server.wait()
    server.wait()


def test_a_killed_arbiter_frees_the_port(serve):
    server = serve("wsgi_rules:app", "-w", "2")
    server.get("/")
    server.send(signal.SIGKILL)
    server.wait()
    server.wait()
    with pytest.raises(ConnectionRefusedError):
        server.connect()


def test_the_service_outlives_its_spawner(serve):
    server = serve("wsgi_rules:app", "-w", "2")
    with Load(server, clients=4) as load:
        server.wait_log("Booting worker", count=2)
        time.sleep(0.3)
        os.kill(server.spawner(), signal.SIGKILL)
        server.wait_log("spawner")
        os.kill(server.workers()[0], signal.SIGKILL)
        server.wait_log("Booting worker with pid", count=3)
        time.sleep(0.3)
    assert set(load.outcomes) <= {200, 500}, (load.outcomes, load.broken)
    assert load.outcomes[200] > 20
    assert server.get("/").status == 200


@pytest.mark.parametrize("mode", MODES)
def test_killed_workers_under_load_lose_no_request(serve, mode):
    server = serve("wsgi_rules:app", "-w", "3", "--keep-alive", "30", *MODES[mode])
    server.get("/")
    killed = []
    with Load(server, clients=12) as load:
        for round_ in range(5):
            server.wait_log("Booting worker with pid", count=3 + round_)
            time.sleep(0.3)
            killed.append(server.workers()[0])
            os.kill(killed[-1], signal.SIGKILL)
        time.sleep(0.5)
    # 503: read by the worker that died, and not seen by the application
    assert set(load.outcomes) <= {200, 500, 503}, (load.outcomes, load.broken[:5], server.log)
    assert load.outcomes[200] > 200
    references = {incident["ref"] for incident in server.incidents(5)}
    assert {reference for _, reference, _ in load.answers} <= references, load.answers
    assert {incident["pid"] for incident in server.incidents(5)} == set(killed)
    assert server.zombies() == []


PID_OR_GATE = """
import os, pathlib, time

def app(environ, start):
    gate = environ["QUERY_STRING"]
    while gate and not pathlib.Path(gate).exists():
        time.sleep(0.01)
    body = str(os.getpid()).encode()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def ask(client, gate=""):
    client.sendall(f"GET /?{gate} HTTP/1.1\r\nHost: a\r\n\r\n".encode())


def test_a_request_behind_a_slow_one_moves_when_another_worker_is_free_again(serve, tmp_path):
    (tmp_path / "gated.py").write_text(PID_OR_GATE)
    server = serve("gated:app", "-w", "2", "--keep-alive", "30", cwd=tmp_path)
    server.wait_log("Booting worker", count=2)
    with contextlib.ExitStack() as clients:
        by_worker = collections.defaultdict(list)
        while len(by_worker) < 2 or max(map(len, by_worker.values())) < 2:
            client = clients.enter_context(server.connect())
            ask(client)
            by_worker[read_answer(client).content].append(client)
        (other, [second, *_]), (pid, [first, waiting, *_]) = sorted(by_worker.items(), key=lambda item: len(item[1]))
        ask(first, tmp_path / "first")
        ask(second, tmp_path / "second")
        server.wait_running(2)
        ask(waiting)
        poll(lambda: server.control("status")["requests"]["queued"] == 1, 10, lambda: f"one waits\n{server.log}")
        (tmp_path / "second").touch()
        assert read_answer(second).content == other
        assert read_answer(waiting).content == other
        (tmp_path / "first").touch()
        assert read_answer(first).content == pid


def test_a_worker_killed_while_stopping_does_not_stop_the_stop(serve):
    server = serve("wsgi_rules:app", "-w", "2")
    with server.begin("/slept?5"):
        server.send(signal.SIGTERM)
        for pid in server.workers():
            with contextlib.suppress(ProcessLookupError):  # the idle one may have left by itself
                os.kill(pid, signal.SIGKILL)
        assert server.wait(8) == 0


def test_children_of_the_application_are_its_own(serve, tmp_path):
    app = tmp_path / "parent.py"
    app.write_text(
        "import subprocess\n"
        "def app(environ, start_response):\n"
        "    code = subprocess.run(['sh', '-c', 'sleep 0.1 & exit 5']).returncode\n"
        "    start_response('200 OK', [])\n"
        "    return [str(code).encode()]\n")
    server = serve("parent:app", "--chdir", tmp_path)
    assert [server.get("/").content for _ in range(5)] == [b"5"] * 5
    poll(lambda: not server.zombies(), 5, lambda: f"zombies {server.zombies()}")
    assert server.incidents(0) == []


# ---- replacing workers ----

@pytest.mark.parametrize("mode", MODES)
def test_max_requests_replaces_workers_without_losing_a_request(serve, mode):
    server = serve("wsgi_rules:app", "--max-requests", "20", "--max-requests-jitter", "5", "-w", "2", *MODES[mode])
    with Load(server, clients=4) as load:
        server.wait_log("Booting worker with pid", count=8, seconds=30)
    assert set(load.outcomes) == {200}, (load.outcomes, load.broken[:5], server.log)
    assert server.incidents(0) == []
    assert "Autorestarting worker after current request." in server.log


def test_max_requests_counts_exactly(serve):
    server = serve("wsgi_rules:app", "--max-requests", "3")
    pids = [server.get("/pid").content for _ in range(9)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3], pids


def test_the_replacement_serves_before_max_requests_ends_a_worker(serve):
    server = serve("wsgi_rules:app", "--max-requests", "50", "--keep-alive", "30")
    first = [server.get("/pid").content for _ in range(44)]
    assert len(set(first)) == 1
    assert server.log.count("Booting worker") == 1
    assert server.get("/pid").content == first[0]  # the 45th: a tenth is left
    server.wait_log("Booting worker", count=2)
    server.wait_log(rf"\[{int(first[0])}\] \[INFO\] Autorestarting worker after current request\.")
    server.wait_log(rf"Worker exiting \(pid: {int(first[0])}\)")
    assert server.get("/pid").content != first[0]
    assert server.incidents(0) == []


def test_ttin_and_ttou_change_the_number_of_workers(serve):
    server = serve("wsgi_rules:app", "-w", "1")
    server.wait_log("Booting worker with pid")
    server.send(signal.SIGTTIN)
    server.wait_log("Handling signal: ttin")
    server.wait_log("Booting worker with pid", count=2)
    poll(lambda: len(server.workers()) == 2, 5, "two workers")
    server.send(signal.SIGTTOU)
    server.wait_log("Handling signal: ttou")
    poll(lambda: len(server.workers()) == 1, 5, "one worker")
    assert server.get("/").status == 200
    assert server.incidents(0) == []


# ---- reloading ----

def site_of(tmp_path, body):
    (tmp_path / "shop.py").write_text(f"def app(environ, start_response):\n    start_response('200 OK', [])\n    return [{body!r}]\n")


def test_hup_loads_the_application_again_without_losing_a_request(serve, tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    site_of(folder, b"old")
    server = serve("shop:app", "-w", "2", "--chdir", folder)
    assert server.get("/").content == b"old"
    with Load(server, clients=4) as load:
        site_of(folder, b"a newer one")
        server.send(signal.SIGHUP)
        server.wait_log("Handling signal: hup")
        poll(lambda: server.get("/").content == b"a newer one", 10, "the new application")
        server.wait_log("Worker exiting", count=2)
    assert set(load.outcomes) == {200}, (load.outcomes, load.broken[:5], server.log)
    assert {server.get("/").content for _ in range(10)} == {b"a newer one"}
    assert "Hang up: Master" in server.log
    assert server.incidents(0) == []


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["fork", "preload"])
def test_hup_with_an_application_that_does_not_import_keeps_the_old_one(serve, tmp_path, preload):
    folder = tmp_path / "shop"
    folder.mkdir()
    site_of(folder, b"old")
    server = serve("shop:app", "-w", "2", "--chdir", folder, *preload)
    assert server.get("/").content == b"old"
    (folder / "shop.py").write_text("raise RuntimeError('half an edit')\n")
    server.send(signal.SIGHUP)
    server.wait_log(r"\[ERROR\] Reload failed")
    assert [server.get("/").content for _ in range(10)] == [b"old"] * 10
    site_of(folder, b"mended now")
    server.send(signal.SIGHUP)
    poll(lambda: server.get("/").content == b"mended now", 10, "the mended application")


def test_hup_during_a_reload_is_not_lost(serve, tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    site_of(folder, b"old")
    server = serve("shop:app", "--chdir", folder)
    assert server.get("/").content == b"old"
    (folder / "shop.py").write_text("import time; time.sleep(1)\nraise RuntimeError('half an edit')\n")
    server.send(signal.SIGHUP)
    server.wait_log("Booting worker with pid", count=2)
    site_of(folder, b"mended while the other reload was under way")
    server.send(signal.SIGHUP)
    poll(lambda: server.get("/").content.startswith(b"mended"), 10, lambda: f"the mended application\n{server.log}")


def test_hup_with_a_broken_configuration_keeps_the_old_one(serve, tmp_path):
    conf = tmp_path / "conf.py"
    conf.write_text("workers = 1\n")
    server = serve("wsgi_rules:app", "-c", conf)
    server.get("/")
    conf.write_text("workers = (\n")
    server.send(signal.SIGHUP)
    server.wait_log("SyntaxError")
    assert server.process.poll() is None
    assert server.get("/").status == 200
    conf.write_text("workers = 3\n")
    server.send(signal.SIGHUP)
    poll(lambda: len(server.workers()) == 3, 10, "three workers")


def test_hup_with_other_addresses_keeps_the_common_one_and_empties_the_old_ones(serve, tmp_path):
    old, common, new = free_port(), tmp_path / "common", tmp_path / "new"
    conf = tmp_path / "conf.py"
    conf.write_text(f"bind = ['127.0.0.1:{old}', 'unix:{common}']\nkeepalive = 30\n")
    server = serve("wsgi_rules:app", "-c", conf, bind=False)
    server.port = old
    server.wait_listening()
    inode = common.stat().st_ino
    busy = server.begin("/slept?1.5")
    waiting = [server.connect() for _ in range(3)]
    for client in waiting:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    conf.write_text(f"bind = ['unix:{common}', 'unix:{new}']\nkeepalive = 30\n")
    server.send(signal.SIGHUP)
    server.wait_log(f"Listening at: unix:{new}\n")
    poll(lambda: refused(server), 5, "the old address closed")
    assert [Answer(read_all(client)).status for client in [*waiting, busy]] == [200] * 4, server.log
    assert common.stat().st_ino == inode
    for path in (common, new):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert Answer(read_all(client)).status == 200
    conf.write_text(f"bind = ['unix:{new}']\n")
    server.send(signal.SIGHUP)
    poll(lambda: not common.exists(), 10, "the old socket's file gone")
    assert new.exists()
    assert server.stop() == 0
    assert not new.exists()


def test_hup_lets_a_request_finish(serve):
    server = serve("wsgi_rules:app")
    with server.begin("/slept?1.5") as client:
        server.send(signal.SIGHUP)
        assert Answer(read_all(client)).content == b"slept"
    assert server.get("/").status == 200


def test_preload_loads_the_application_once(serve, tmp_path):
    (tmp_path / "counted.py").write_text(
        "import os\n"
        "open(os.environ['NOTES'], 'a').write('loaded\\n')\n"
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'x']\n")
    notes = tmp_path / "notes"
    server = serve("counted:app", "--preload", "-w", "3", "--chdir", tmp_path, env={"NOTES": notes})
    assert [server.get("/").status for _ in range(9)] == [200] * 9
    os.kill(server.workers()[0], signal.SIGKILL)
    server.wait_log("Booting worker with pid", count=4)
    assert server.get("/").status == 200
    assert notes.read_text() == "loaded\n"


def test_requests_are_answered_by_all_workers(serve):
    server = serve("wsgi_rules:app", "-w", "3")
    with concurrent.futures.ThreadPoolExecutor(12) as clients:
        list(clients.map(server.get, ["/slept?0.2"] * 24))
        pids = {answer.content for answer in clients.map(server.get, ["/pid"] * 60)}
    assert len(pids) >= 2, pids


# ---- signals while it starts ----

def test_signals_that_come_too_early_act_once_the_server_runs(serve, tmp_path):
    conf = tmp_path / "conf.py"
    conf.write_text("import time\ntime.sleep(1)\n")
    server = serve("wsgi_rules:app", "-c", conf, bind=False)
    poll(lambda: any(name == "tricorn-spawner" for name, _ in server.session().values()), 10, "the spawner")
    server.send(signal.SIGTTIN)
    server.send(signal.SIGUSR1)
    server.wait_log("Handling signal: ttin")
    assert server.log.index("Using worker: sync") < server.log.index("Handling signal: ttin")
    poll(lambda: len(server.workers()) == 2, 10, "two workers")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_server_can_be_stopped_while_its_configuration_loads(serve, tmp_path, number):
    conf = tmp_path / "conf.py"
    conf.write_text("import time\ntime.sleep(60)\n")
    pidfile = tmp_path / "pid"
    server = serve("wsgi_rules:app", "-c", conf, "--pid", pidfile, bind=False)
    poll(lambda: any(name == "tricorn-spawner" for name, _ in server.session().values()), 10, "the spawner")
    assert server.stop(number) == 0
    assert not pidfile.exists()


def test_a_stop_during_when_ready_is_told_and_on_exit_runs(serve, tmp_path):
    (tmp_path / "conf.py").write_text(
        "import os\nFOLDER = os.path.dirname(__file__)\n"
        "def when_ready(server):\n    open(os.path.join(FOLDER, 'go')).close()\n"
        "def on_exit(server):\n    open(os.path.join(FOLDER, 'left'), 'w').close()\n")
    os.mkfifo(tmp_path / "go")
    server = serve("wsgi_rules:app", "-c", tmp_path / "conf.py", "--pid", tmp_path / "pid", bind=False)
    server.wait_log("Listening at")
    server.send(signal.SIGTERM)
    server.wait_log("Handling signal: term\n.*Shutting down: Master")
    (tmp_path / "go").write_text("")  # when_ready goes on
    assert server.stop() == 0
    assert (tmp_path / "left").exists()
    assert not (tmp_path / "pid").exists()
    assert "Booting worker" not in server.log
