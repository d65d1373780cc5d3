"""What Tricorn does better than Gunicorn on purpose, as docs/differences.md lists it, and no other test holds."""

import concurrent.futures
import re
import signal
import time

import pytest

from blackbox.support.answer import Answer, read_all
from blackbox.support.waiting import poll


def test_preload_and_hup_load_the_new_code(serve, tmp_path):
    app = "import os\ndef app(environ, start_response):\n    body = b'%s'\n    start_response('200 OK', [('Content-Length', str(len(body)))])\n    return [body]\n"
    (tmp_path / "main.py").write_text(app % "old")
    server = serve("main:app", "--preload", cwd=tmp_path, env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert server.get("/").content == b"old"
    (tmp_path / "main.py").write_text(app % "new and longer")
    server.send(signal.SIGHUP)
    poll(lambda: server.get("/").content == b"new and longer", 15, lambda: server.log)


def test_preload_and_hup_with_broken_code_keep_the_old(serve, tmp_path):
    (tmp_path / "main.py").write_text("def app(environ, start_response):\n    start_response('200 OK', [('Content-Length', '3')])\n    return [b'old']\n")
    server = serve("main:app", "--preload", cwd=tmp_path, env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert server.get("/").content == b"old"
    (tmp_path / "main.py").write_text("import nothing_like_it\n")
    server.send(signal.SIGHUP)
    server.wait_log("(?s)Reload failed, the old workers go on serving: .*nothing_like_it")
    assert server.get("/").content == b"old"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTTOU])
def test_graceful_timeout_holds_for_workers_that_leave(serve, number):
    server = serve("wsgi_rules:app", "--graceful-timeout", "1", "-w", "2")
    server.wait_log("Booting worker", count=2)
    clients = [server.begin("/slept?20") for _ in range(2)]  # one for each worker
    server.send(number)
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor() as readers:
        first = next(concurrent.futures.as_completed([readers.submit(lambda one=one: Answer(read_all(one))) for one in clients])).result()
        seconds = time.monotonic() - began
        assert first.status in (500, 503) and first.reference, (first, server.log)
        assert seconds < 8, (seconds, server.log)
        server.wait_log(rf"GET /slept .*ref {first.reference}")
        assert server.stop() == 0
    for client in clients:
        client.close()


def test_the_backlog_is_served_before_the_end(serve):
    server = serve("wsgi_rules:app")
    with server.begin("/slept?1.5"), concurrent.futures.ThreadPoolExecutor(8) as clients:
        waiting = [clients.submit(server.get, "/") for _ in range(8)]
        time.sleep(0.4)  # until they are in the backlog: nothing tells
        server.send(signal.SIGTERM)
        assert [one.result().status for one in waiting] == [200] * 8, server.log
    assert server.wait() == 0
    assert not re.search("ERROR", server.log)
