"""Servers that stop by themselves, and real PostgreSQL and Redis beside them."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from harness import Server, find_program, free_port, other_user, poll


@pytest.fixture
def server(tmp_path):
    """A factory: server("hangs:app", "--timeout", "2") starts, waits until it answers and returns a Server."""
    started = []

    def start(*args, ready=True, **options):
        folder = tmp_path / f"server-{len(started)}"
        folder.mkdir()
        started.append(Server(folder, *args, **options))
        return started[-1].wait_ready() if ready else started[-1]

    yield start
    faults = []
    for each in started:
        try:
            each.stop()
        except AssertionError as fault:
            faults.append(str(fault))
    assert not faults, "\n".join(faults)


@pytest.fixture(scope="session")
def postgres():
    """Connection words of a PostgreSQL of our own: dbname, user, host, port."""
    initdb, program = find_program("initdb"), find_program("postgres")
    if not (initdb and program):
        pytest.skip("no PostgreSQL server on this machine: apt-get install postgresql")
    become, uid, gid = other_user()
    folder = Path(tempfile.mkdtemp(prefix="tricorn-postgres-"))
    os.chown(folder, uid, gid)
    port = free_port()
    options = {"cwd": folder, "stdin": subprocess.DEVNULL, **become}
    subprocess.run([initdb, "-D", folder / "data", "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync"],
                   check=True, capture_output=True, **options)
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [program, "-D", folder / "data", "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
             "-c", f"unix_socket_directories={folder}"], stdout=log, stderr=log, **options)
    import psycopg2

    def answers():
        assert process.poll() is None, (folder / "log").read_text()
        with contextlib.suppress(psycopg2.OperationalError):
            psycopg2.connect(dbname="postgres", user="tester", host="127.0.0.1", port=port).close()
            return True

    poll(answers, 20, "PostgreSQL answers")
    yield {"dbname": "postgres", "user": "tester", "host": "127.0.0.1", "port": port}
    process.send_signal(signal.SIGINT)
    process.wait(20)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_port(tmp_path_factory):
    program = shutil.which("redis-server")
    if not program:
        pytest.skip("no redis-server on this machine: apt-get install redis-server")
    port = free_port()
    folder = tmp_path_factory.mktemp("redis")
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def answers():
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True

    poll(answers, 20, "Redis answers")
    yield port
    process.terminate()
    process.wait(20)
