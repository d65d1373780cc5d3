"""USR2: a new server beside the old one, with the same sockets; then one of them goes."""

import os
import re
import signal
import socket
from pathlib import Path

from blackbox.support.load import Load
from blackbox.support.upgrading import pid_in, workers_of
from blackbox.support.waiting import poll


def upgrade(server, pidfile):
    """Send USR2 and give the pid of the new server once it serves."""
    server.send(signal.SIGUSR2)
    second = Path(f"{pidfile}.2")
    poll(lambda: pid_in(second), 10, lambda: f"{second}\n{server.log}")
    new = pid_in(second)
    server.wait_log(rf"\[{new}\] \[INFO\] Listening at: http://127.0.0.1:{server.port} \({new}\)")
    poll(lambda: workers_of(new), 10, lambda: f"workers of {new}\n{server.log}")
    return new


def test_usr2_starts_a_new_server_that_takes_over(serve, tmp_path):
    pidfile = tmp_path / "pid"
    conf = tmp_path / "conf.py"
    conf.write_text("def pre_exec(server):\n    print('pre_exec', server.pid, flush=True)\n")
    server = serve("wsgi_rules:app", "-c", conf, "-w", "2", "--keep-alive", "30", "--pid", pidfile)
    assert pid_in(pidfile) == server.pid
    with Load(server, "/pid", clients=6) as load:
        new = upgrade(server, pidfile)
        poll(lambda: len(workers_of(new)) == 2, 10, "two workers")
        assert server.out.splitlines()[0] == f"pre_exec {server.pid}"
        answering = set()
        poll(lambda: answering.add(int(server.get("/pid").content)) or len(answering) == 4, 10,
             lambda: f"answers of both servers' workers, not of {answering}")
        server.send(signal.SIGUSR2)
        server.wait_log(rf"\[{server.pid}\] \[WARNING\] USR2 signal ignored. Child exists.")
        os.kill(new, signal.SIGUSR2)
        server.wait_log(rf"\[{new}\] \[WARNING\] USR2 signal ignored. Parent exists.")
        os.kill(new, signal.SIGHUP)
        server.wait_log(rf"\[{new}\] \[INFO\] Hang up: Master.2")
        server.send(signal.SIGTERM)
        assert server.process.wait(10) == 0
        server.wait_log(rf"\[{new}\] \[INFO\] Master has been promoted\.")
        poll(lambda: pid_in(pidfile) == new, 5, "the pid file of the new server")
        assert not Path(f"{pidfile}.2").exists()
        assert server.get("/").status == 200
    assert set(load.outcomes) == {200}, (load.outcomes, load.broken[:5], server.log)
    assert f"[{server.pid}] [INFO] Shutting down: Master\n" in server.log
    # The next upgrade starts from the one that took over.
    os.kill(new, signal.SIGUSR2)
    third = poll(lambda: pid_in(Path(f"{pidfile}.2")), 10, "the third server")
    poll(lambda: workers_of(third), 10, "its workers")
    os.kill(new, signal.SIGTERM)
    poll(lambda: pid_in(pidfile) == third, 10, lambda: f"the third server in the pid file\n{server.log}")
    assert server.get("/").status == 200
    os.kill(third, signal.SIGTERM)
    poll(lambda: not server.processes(), 10, lambda: server.processes())
    assert not pidfile.exists()
    assert server.incidents(0) == []


def test_an_upgrade_can_be_rolled_back(serve, tmp_path):
    pidfile = tmp_path / "pid"
    server = serve("wsgi_rules:app", "--keep-alive", "30", "--pid", pidfile)
    for number in (signal.SIGTERM, signal.SIGQUIT):
        with Load(server, clients=4) as load:
            new = upgrade(server, pidfile)
            os.kill(new, number)
            server.wait_log(rf"\[{server.pid}\] \[INFO\] The new server \(pid:{new}\) has ended with status 0")
            assert server.get("/").status == 200
        assert set(load.outcomes) == {200}, (load.outcomes, load.broken[:5], server.log)
        assert f"[{new}] [INFO] Shutting down: Master.2\n" in server.log
        assert not Path(f"{pidfile}.2").exists() and pid_in(pidfile) == server.pid
    assert server.zombies() == []


def test_a_new_server_that_cannot_start_leaves_the_old_one_serving(serve, tmp_path):
    conf = tmp_path / "conf.py"
    conf.write_text("workers = 1\n")
    server = serve("wsgi_rules:app", "-c", conf)
    server.get("/")
    conf.write_text("workers = (\n")
    server.send(signal.SIGUSR2)
    server.wait_log(rf"\[{server.pid}\] \[ERROR\] The new server \(pid:\d+\) has ended with status 1; this one goes on")
    assert server.get("/").status == 200
    conf.write_text("def pre_exec(server):\n    raise ValueError('not today')\n")
    server.send(signal.SIGHUP)
    server.wait_log("Booting worker", count=2)
    server.send(signal.SIGUSR2)
    server.wait_log("(?s)No upgrade, hook pre_exec.*not today")
    assert server.get("/").status == 200


def test_an_upgrade_starts_where_and_as_the_old_one_did(serve, tmp_path):
    """The directory by its name, the words and the environment as they were, the program by the link it was called by."""
    app = "import os\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'%s ' + os.environ['KEPT'].encode()]\n"
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "shop.py").write_text(app % release)
    current = tmp_path / "current"
    current.symlink_to("one")
    pidfile = tmp_path / "pid"
    server = serve("shop:app", "--pid", pidfile, cwd=current, env={"KEPT": "as it was", "PWD": current})
    assert server.get("/").content == b"one as it was"
    current.unlink()
    current.symlink_to("two")
    new = upgrade(server, pidfile)
    command = Path(f"/proc/{new}/cmdline").read_bytes().split(b"\0")[1:-1]
    assert command == [os.fsencode(str(word)) for word in server.command[1:]]
    server.send(signal.SIGTERM)
    server.process.wait(10)
    assert server.get("/").content == b"two as it was"
    variables = Path(f"/proc/{workers_of(new)[0]}/environ").read_bytes()
    assert b"GUNICORN_FD" not in variables and b"TRICORN_PEER_FD" not in variables
    os.kill(new, signal.SIGTERM)
    poll(lambda: not server.processes(), 10, lambda: server.processes())


def test_a_unix_socket_stays_through_an_upgrade_and_goes_with_the_last_server(serve, tmp_path):
    path = tmp_path / "socket"
    pidfile = tmp_path / "pid"
    server = serve("wsgi_rules:app", "-b", f"unix:{path}", "--pid", pidfile, bind=False)

    def get():
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return client.recv(100)

    poll(lambda: path.exists() and server.workers(), 10, "the socket")
    assert get().startswith(b"HTTP/1.1 200")
    server.send(signal.SIGUSR2)
    new = poll(lambda: pid_in(Path(f"{pidfile}.2")), 10, "the new server")
    server.wait_log(rf"\[{new}\] \[INFO\] Listening at: unix:{re.escape(str(path))} ")
    poll(lambda: workers_of(new), 10, "its workers")
    server.send(signal.SIGTERM)
    assert server.process.wait(10) == 0
    assert path.exists() and get().startswith(b"HTTP/1.1 200")
    poll(lambda: pid_in(pidfile) == new, 5, "the promotion")
    os.kill(new, signal.SIGTERM)
    poll(lambda: not server.processes(), 10, lambda: server.processes())
    assert not path.exists()


def test_a_killed_old_server_promotes_the_new_one(serve, tmp_path):
    pidfile = tmp_path / "pid"
    server = serve("wsgi_rules:app", "--pid", pidfile)
    new = upgrade(server, pidfile)
    server.send(signal.SIGKILL)
    server.process.wait(10)
    server.wait_log("Master has been promoted")
    poll(lambda: pid_in(pidfile) == new, 5, "the pid file")
    assert server.get("/").status == 200
    os.kill(workers_of(new)[0], signal.SIGKILL)  # it can still read and replace its workers
    incident = server.incidents()[0]
    assert incident["class"] == "signal.external_kill", incident
    poll(lambda: workers_of(new), 10, "the next worker")
    assert server.get("/").status == 200
    os.kill(new, signal.SIGTERM)
    poll(lambda: not server.processes(), 10, lambda: server.processes())


def test_a_request_under_way_in_the_old_server_finishes_there(serve, tmp_path):
    pidfile = tmp_path / "pid"
    server = serve("wsgi_rules:app", "--pid", pidfile)
    with server.connect() as client:
        client.sendall(b"GET /slept?1.5 HTTP/1.1\r\nHost: a\r\n\r\n")
        upgrade(server, pidfile)
        server.send(signal.SIGTERM)
        assert b"slept" in client.recv(65536)
    assert server.process.wait(10) == 0
    assert server.get("/").status == 200
    os.kill(poll(lambda: pid_in(pidfile), 5, "the promotion"), signal.SIGTERM)
    poll(lambda: not server.processes(), 10, lambda: server.processes())


def test_winch_in_the_foreground_does_nothing(serve):
    server = serve("wsgi_rules:app", "--log-level", "debug")
    server.send(signal.SIGWINCH)
    server.wait_log(r"\[DEBUG\] SIGWINCH ignored\. Not daemonized")
    assert server.get("/").status == 200


def titles_of(*pids):
    """Give what ps shows of processes, by pid."""
    return {pid: Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode() for pid in pids}


def test_processes_have_names_in_ps_when_asked(serve, tmp_path):
    name = "the shop " + "x" * 200  # longer than the words of any of them
    site = serve("wsgi_rules:app", "-w", "2", "--name", name, "--pid", tmp_path / "pid", env={"FOR_WORKERS": "still here"})
    site.wait_log("Booting worker", count=2)
    assert site.get("/").status == 200
    shown = sorted(titles_of(*site.processes()).values())
    assert shown == sorted(f"tricorn: {role} [{name}]" for role in ("master", "spawner", "worker", "worker", "keeper", "keeper"))
    site.send(signal.SIGUSR2)
    new = poll(lambda: pid_in(tmp_path / "pid.2"), 10, lambda: site.log)
    poll(lambda: titles_of(new)[new] == f"tricorn: master [{name}.2]", 10, lambda: titles_of(new))
    assert titles_of(site.pid)[site.pid] == f"tricorn: master [{name}]"
    poll(lambda: f"tricorn: worker [{name}.2]" in titles_of(*workers_of(new)).values(), 10, lambda: titles_of(*workers_of(new)))
    site.send(signal.SIGTERM)
    poll(lambda: titles_of(new)[new] == f"tricorn: master [{name}]", 10, lambda: titles_of(new))
    os.kill(new, signal.SIGTERM)
    site.wait()


def test_without_a_name_ps_shows_the_words(serve):
    site = serve("wsgi_rules:app")
    assert "wsgi_rules:app\0-b" in titles_of(site.pid)[site.pid]
