"""Command line, environment, configuration file, exit codes, logs."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys

import pytest

from blackbox.support.answer import Answer, read_all
from blackbox.support.site import APPS, TRICORN, Site, clean_environment, free_port, run
from blackbox.support.waiting import poll

# ---- sources of settings ----

def workers_with(serve, tmp_path, *args, env=None, conf=None):
    if conf is not None:
        file = tmp_path / "conf.py"
        file.write_text(conf)
        args = ("-c", file, *args)
    server = serve("specs:application", *args, env=env)
    server.get("/")
    server.wait_log("Booting worker with pid")
    return server


@pytest.mark.parametrize(
    ("env", "conf", "args", "expected"),
    [
        ({}, None, (), 1),
        ({"WEB_CONCURRENCY": "2"}, None, (), 2),
        ({"WEB_CONCURRENCY": "4"}, "workers = 2", (), 2),
        ({"WEB_CONCURRENCY": "4", "GUNICORN_CMD_ARGS": "--workers 2"}, "workers = 3", (), 2),
        ({"WEB_CONCURRENCY": "4", "GUNICORN_CMD_ARGS": "--workers 3"}, "workers = 5", ("-w", "2"), 2),
    ],
)
def test_stronger_sources_win(serve, tmp_path, env, conf, args, expected):
    server = workers_with(serve, tmp_path, *args, env=env, conf=conf)
    server.wait_log("Booting worker with pid", count=expected)
    assert server.stop() == 0
    assert len(re.findall("Booting worker with pid", server.log)) == expected


def test_port_changes_the_default_address(tmp_path):
    port = free_port()
    server = Site(tmp_path, "specs:application", bind=False, env={"PORT": port})
    try:
        server.wait_log(rf"Listening at: http://0\.0\.0\.0:{port} \({server.pid}\)")
        server.port = port
        assert server.get("/").content == b"application"
        assert server.stop() == 0
    finally:
        server.kill()


def test_gunicorn_conf_py_of_the_working_directory_is_read(serve, tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "gunicorn.conf.py").write_text("import os\nworkers = 2\nwsgi_app = 'specs:application'\nunknown_name = object()\n" f"pythonpath = {str(APPS)!r}\n")
    server = serve(cwd=folder)
    assert server.get("/").content == b"application"
    server.wait_log("Booting worker with pid", count=2)


def test_chdir_makes_the_folder_importable_and_current(serve, tmp_path):
    server = serve("environ_app:app", "--chdir", APPS, cwd=tmp_path)
    assert json.loads(server.get("/").content)["cwd"] == str(APPS)


def test_wsgi_app_of_the_command_line_wins(serve, tmp_path):
    server = workers_with(serve, tmp_path, conf="wsgi_app = 'nothing:here'")
    assert server.get("/").content == b"application"


# ---- naming the application ----

@pytest.mark.parametrize(
    ("spec", "body"),
    [("specs", b"application"), ("specs:application", b"application"), ("specs:factory()", b"factory"),
     ("specs:factory('word', times=2)", b"wordword")],
)
def test_ways_to_name_the_application(serve, spec, body):
    assert serve(spec).get("/").content == body


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("specs:missing", "Failed to find attribute 'missing' in 'specs'."),
        ("specs:holder.app", "Failed to parse 'holder.app' as an attribute name or function call."),
        ("specs:nothing", "Failed to find application object: 'nothing'"),
        ("specs:not_callable", "Application object must be callable."),
        ("specs:factory(os.environ)", "Failed to parse arguments as literal values: 'factory(os.environ)'"),
    ],
)
def test_an_application_that_cannot_be_found_ends_with_4(spec, message):
    code, _, err = run(spec, "-b", f"127.0.0.1:{free_port()}")
    assert code == 4, err
    assert message in err
    assert re.search(r"\[ERROR\] Shutting down: Master\n.*\[ERROR\] Reason: App failed to load\.", err), err


def test_a_worker_that_cannot_boot_ends_with_3():
    code, _, err = run("failing_boot:app", "-b", f"127.0.0.1:{free_port()}", "-w", "3")
    assert code == 3, err
    assert "Reason: Worker failed to boot." in err


# ---- errors before anything is started ----

@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ((), 1, "No application module specified."),
        (("specs", "-w", "-1"), 1, "Value must be positive: -1"),
        (("specs", "-w", "many"), 2, "invalid int value: 'many'"),
        (("specs", "--no-such-flag"), 2, "unrecognized arguments: --no-such-flag"),
        (("specs", "-c", "/no/such/conf.py"), 1, "'/no/such/conf.py' doesn't exist"),
        (("specs", "--chdir", "/no/such/folder"), 1, "can't chdir to '/no/such/folder'"),
        (("specs", "--user", "no-such-user"), 1, "No such user: 'no-such-user'"),
    ],
)
def test_wrong_settings_end_with_the_right_code(args, code, message):
    got, _, err = run(*args)
    assert got == code, err
    assert message in err


def test_a_broken_configuration_file_ends_with_1(tmp_path):
    conf = tmp_path / "conf.py"
    conf.write_text("workers = 1 / 0\n")
    code, _, err = run("specs", "-c", str(conf))
    assert code == 1
    assert "Failed to read config file" in err and "ZeroDivisionError" in err


@pytest.mark.parametrize(
    ("args", "env", "code", "message"),
    [(("--pid", b"/tmp/caf\xe9"), {}, 2, "not UTF-8: '/tmp/caf"), ((), {"PORT": b"\xe9"}, 1, "Invalid value for bind: ['0.0.0.0:"),
     ((), {"GUNICORN_CMD_ARGS": b"--pid /tmp/caf\xe9"}, 2, "not UTF-8: '/tmp/caf")],
)
def test_what_is_not_utf_8_is_refused(args, env, code, message):
    surroundings = {**{name.encode(): value.encode() for name, value in clean_environment().items()}, **{name.encode(): value for name, value in env.items()}}
    done = subprocess.run([TRICORN, "specs", *args], env=surroundings, cwd=APPS, timeout=30, capture_output=True, check=False)
    assert done.returncode == code, done.stderr
    assert message.encode() in done.stderr


def test_a_configuration_file_may_hold_names_that_json_cannot_carry(serve, tmp_path):
    server = workers_with(serve, tmp_path, conf="import os\nnan = float('nan')\npath = os.fsdecode(b'/caf\\xe9')\nworkers = 2\n")
    server.wait_log("Booting worker with pid", count=2)


def test_a_port_in_use_ends_with_1():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = run("specs", "-b", f"127.0.0.1:{taken.getsockname()[1]}")
    assert code == 1
    assert len(re.findall(r"Connection in use: \('127\.0\.0\.1', \d+\)", err)) == 5, err
    assert "Can't connect to ('127.0.0.1'," in err


def test_version_help_and_print_config():
    for flags in (("--version", "-v"), ("--help", "-h")):
        answers = {run(*words) for flag in flags for words in ([flag], ["specs", flag])}
        assert len(answers) == 1, f"{flags}, with an application or without: {answers}"
        code, out, err = answers.pop()
        assert (code, err) == (0, "")
        assert re.fullmatch(r"tricorn \(version \d+\.\d+\.\d+\)\n", out) or "--graceful-timeout" in out, out
    code, out, err = run("--no-such-flag")
    assert (code, out) == (2, "") and "--no-such-flag" in err
    code, out, _ = run("specs", "--print-config", "-w", "3")
    assert code == 0 and re.search(r"^workers +=? 3$", out, re.M), out


@pytest.mark.parametrize(("spec", "code"), [("specs", 0), ("failing_boot:app", 1), ("specs:missing", 1)])
def test_check_config_loads_the_application_and_listens_nowhere(spec, code):
    got, _, err = run(spec, "--check-config", "-b", "127.0.0.1:1")
    assert got == code, err


# ---- what the settings do ----

def test_several_addresses_and_a_unix_socket(serve, tmp_path):
    other, path = free_port(), tmp_path / "a socket"
    server = serve("specs", "-b", f"127.0.0.1:{other}", "-b", f"unix:{path}", "--umask", "0117")
    assert server.get("/").content == b"application"
    with socket.create_connection(("127.0.0.1", other), 5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert Answer(read_all(client)).content == b"application"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert Answer(read_all(client)).content == b"application"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    listening = server.wait_log(r"Listening at: (.*) \(\d+\)")[1].split(",")
    assert set(listening) == {f"http://127.0.0.1:{other}", f"unix:{path}", f"http://127.0.0.1:{server.port}"}


def test_a_stale_unix_socket_is_replaced(serve, tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    server = serve("specs", "-b", f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
    assert server.get("/").status == 200


def test_an_inherited_socket(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        process = subprocess.Popen(
            [TRICORN, "specs", "-b", f"fd://{listener.fileno()}"], cwd=APPS, env=clean_environment({}), pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        port = listener.getsockname()[1]
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert Answer(read_all(client)).content == b"application"
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_the_pid_file_holds_the_pid_while_the_server_runs(serve, tmp_path):
    file = tmp_path / "pid"
    server = serve("specs", "--pid", file)
    assert poll(lambda: file.exists() and file.read_text(), 5, "the pid file") == f"{server.pid}\n"
    code, _, err = run("specs", "--pid", str(file), "-b", f"127.0.0.1:{free_port()}")
    assert code == 1 and f"Already running on PID {server.pid}" in err
    assert server.stop() == 0
    assert not file.exists()


def test_a_stale_pid_file_is_replaced(serve, tmp_path):
    file = tmp_path / "pid"
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True).stdout
    file.write_text(ended)
    server = serve("specs", "-p", file)
    server.get("/")
    assert file.read_text() == f"{server.pid}\n"


def test_worker_tmp_dir_is_not_needed_and_says_so(serve):
    server = serve("specs", "--worker-tmp-dir", "/dev/shm")
    assert server.get("/").status == 200
    server.wait_log("worker.tmp.dir")


def test_a_setting_that_does_not_act_says_so_in_one_line(serve):
    server = serve("specs", "--spew")
    server.get("/")
    assert len(re.findall(r"\[WARNING\].*spew", server.log)) == 1


def test_the_name_is_seen_in_ps(serve):
    server = serve("specs", "-n", "shopfront")
    server.get("/")
    titles = [open(f"/proc/{pid}/cmdline").read().replace("\0", " ") + open(f"/proc/{pid}/comm").read() for pid in server.processes()]
    assert any("shopfront" in title for title in titles), titles


def test_the_access_log_is_in_gunicorns_format(serve):
    server = serve("environ_app:app", "--access-logfile", "-")
    server.raw(b"GET /a%20b?q=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nReferer: http://from/\r\nUser-Agent: a \"quoted\" agent\r\n\r\n")
    line = poll(lambda: server.out.strip(), 5, "an access line").splitlines()[-1]
    match = re.fullmatch(
        r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /a%20b\?q=1 HTTP/1\.1" 200 (\d+) "http://from/" "(.*)"', line)
    assert match, line
    assert int(match[1]) > 100
    assert match[2] in (r'a \"quoted\" agent', 'a %22quoted%22 agent', r"a \x22quoted\x22 agent"), match[2]


def test_a_forged_access_line_stays_one_line(serve):
    server = serve("environ_app:app", "--access-logfile", "-")
    server.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUser-Agent: x\xc2\x85y\t\"z\r\n\r\n")
    poll(lambda: server.out.strip(), 5, "an access line")
    assert server.out.count("\n") == 1 and "\t" not in server.out and '"z"' not in server.out.replace('\\"', ""), server.out


def test_atoms_of_the_access_log(serve):
    server = serve("environ_app:app", "--access-logfile", "-", "--access-logformat", "%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(B)s|%({x-one}i)s|%({content-type}o)s|%({request_method}e)s|%(p)s|%(L)s|%(D)s|%(T)s|%(M)s|%(u)s|%({none}i)s")
    server.raw(b"GET /p%41?q=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-One: 1\r\nAuthorization: Basic a2ltOnB3\r\n\r\n")
    line = poll(lambda: server.out.strip(), 5, "an access line")
    fields = line.split("|")
    assert fields[:4] == ["GET", "/pA", "q=1", "HTTP/1.1"], line
    assert fields[4] == "200" and int(fields[5]) > 0
    assert fields[6:9] == ["1", "application/json", "GET"]
    assert re.fullmatch(r"<\d+>", fields[9]) and re.fullmatch(r"0\.\d{6}", fields[10]) and re.fullmatch(r"\d+", fields[11])
    assert fields[12] == "0" and re.fullmatch(r"\d+", fields[13]) and fields[14] == "kim" and fields[15] == "-"


def test_logs_in_files_are_reopened_by_usr1(serve, tmp_path):
    errors, access = tmp_path / "errors", tmp_path / "access"
    server = serve("specs", "--error-logfile", errors, "--access-logfile", access)
    server.get("/")
    poll(lambda: access.exists() and access.read_text(), 5, "an access line")
    assert "Booting worker" in errors.read_text() and "Booting worker" not in server.log
    errors.rename(tmp_path / "errors.1")
    access.rename(tmp_path / "access.1")
    server.send(signal.SIGUSR1)
    poll(lambda: errors.exists() and access.exists(), 5, "new files")
    poll(lambda: server.get("/").status == 200 and access.read_text(), 5, "an access line in the new file")


def test_log_level(serve):
    server = serve("specs", "--log-level", "warning")
    server.get("/")
    assert server.stop() == 0
    assert server.log == ""
    server = serve("specs", "--log-level", "debug")
    server.get("/")
    server.wait_log(r"\[DEBUG\] GET /")


def test_the_life_of_a_server_in_its_log(serve):
    server = serve("specs")
    server.get("/")
    assert server.stop() == 0
    stamp = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\]"
    patterns = [
        rf"{stamp} \[{server.pid}\] \[INFO\] Starting \w+ \S+",
        rf"{stamp} \[{server.pid}\] \[INFO\] Listening at: http://127\.0\.0\.1:{server.port} \({server.pid}\)",
        rf"{stamp} \[{server.pid}\] \[INFO\] Using worker: sync",
        rf"{stamp} \[{server.pid}\] \[INFO\] Control socket listening at \S+",
        rf"{stamp} \[(\d+)\] \[INFO\] Booting worker with pid: (\d+)",
        rf"{stamp} \[{server.pid}\] \[INFO\] Handling signal: term",
        rf"{stamp} \[(\d+)\] \[INFO\] Worker exiting \(pid: (\d+)\)",
        rf"{stamp} \[{server.pid}\] \[INFO\] Shutting down: Master",
    ]
    lines = server.log.splitlines()
    assert len(lines) == len(patterns), lines
    for line, pattern in zip(lines, patterns):
        assert re.fullmatch(pattern, line), (line, pattern)


HOOKS = """
import os
def note(name, *shown):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(" ".join([name, *map(str, shown)]) + "\\n")
def on_starting(server): note("on_starting", server.pid == os.getpid() or server.pid > 0, server.cfg.workers)
def when_ready(server): note("when_ready", len(server.LISTENERS))
def pre_fork(server, worker): note("pre_fork", worker.age)
def post_fork(server, worker): note("post_fork", worker.pid == os.getpid(), server.cfg.timeout)
def post_worker_init(worker): note("post_worker_init", worker.age); worker.log.info("a line of %s", "the hook")
def pre_request(worker, req): note("pre_request", req.method, req.path, req.query)
def post_request(worker, req, environ, resp): note("post_request", environ["PATH_INFO"], resp.status)
def worker_exit(server, worker): note("worker_exit", worker.pid == os.getpid())
def child_exit(server, worker): note("child_exit", worker.age)
def nworkers_changed(server, new, old): note("nworkers_changed", new, old)
def on_exit(server): note("on_exit")
"""


def test_hooks_are_called_in_gunicorns_order(serve, tmp_path):
    conf, notes = tmp_path / "conf.py", tmp_path / "notes"
    conf.write_text(HOOKS)
    server = serve("specs", "-c", conf, env={"NOTES": notes})
    assert server.get("/x?y=1").status == 200
    server.wait_log("a line of the hook")
    assert server.stop() == 0
    assert notes.read_text().splitlines() == [
        "nworkers_changed 1 None", "on_starting True 1", "when_ready 1", "pre_fork 1", "post_fork True 30", "post_worker_init 1",
        "pre_request GET /x y=1", "post_request /x 200 OK", "worker_exit True", "child_exit 1", "on_exit",
    ]


def test_a_hook_that_fails_before_the_start_ends_the_server(tmp_path):
    conf = tmp_path / "conf.py"
    conf.write_text("def on_starting(server):\n    raise RuntimeError('not today')\n")
    code, _, err = run("specs", "-c", str(conf), "-b", f"127.0.0.1:{free_port()}")
    assert code == 1 and err.endswith("\nError: not today\n\n")


def test_user_and_group_of_workers(serve):
    if os.geteuid():
        pytest.skip("SKIPPED LOUDLY: only root can change the user")
    server = serve("environ_app:app", "-u", "nobody", "-g", "nogroup")
    pid = json.loads(server.get("/").content)["pid"]
    status = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line)
    assert set(status["Uid"].split()) == {"65534"} and set(status["Gid"].split()) == {"65534"}
