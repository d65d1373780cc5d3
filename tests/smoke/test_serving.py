"""HTTP and PEP 3333 from a client's side."""

import re
import signal
import socket
import threading

import pytest


@pytest.fixture(params=[("-k", "sync"), ("-k", "gthread", "--threads", "4")], ids=["sync", "gthread"])
def server(request, start):
    return start("serving:app", *request.param)


def head_of(answer):
    return answer.split(b"\r\n\r\n", 1)[0].decode("latin-1")


def test_pipelined_requests_are_answered_in_order(server):
    answer = server.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2 + b"GET /chunks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.endswith(b"7\r\npart 2\n\r\n0\r\n\r\n")


@pytest.mark.parametrize("size", [0, 1, 10_000, 65_536, 65_537, 3_000_000])
def test_a_body_comes_back_whole(server, size):
    body = bytes(i % 251 for i in range(size))
    answer = server.raw(b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size + body)
    assert answer.split(b"\r\n\r\n", 1)[1] == body


def test_a_chunked_body_comes_back_whole(server):
    chunks = b"".join(b"%x\r\n" % n + b"z" * n + b"\r\n" for n in (1, 10, 70_000, 5))
    answer = server.raw(b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert answer.split(b"\r\n\r\n", 1)[1] == b"z" * 70_016


def test_an_unread_body_is_never_the_next_request(server):
    smuggled = b"GET /raise HTTP/1.1\r\nHost: a\r\n\r\n" + b"x" * 200_000
    answer = server.raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(smuggled) + smuggled)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert "Connection: close" in head_of(answer)


def test_a_connection_does_not_see_what_another_left_unread(server):
    server.raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000)
    for _ in range(3):
        assert server.get("/").endswith(b"hello")


def test_expect_continue_is_answered_once(server):
    with server.connect() as client:
        client.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n")
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"data")
        assert client.recv(65536).endswith(b"data")


def test_head_has_the_length_and_no_body(server):
    answer = server.raw(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n") and b"Content-Length: 5" in answer


def test_204_has_neither_length_nor_body(server):
    head = head_of(server.get("/204"))
    assert "Content-Length" not in head and "Transfer-Encoding" not in head


def test_exc_info_replaces_the_headers(server):
    head = head_of(server.get("/exc_info"))
    assert head.startswith("HTTP/1.1 503 Sorry") and "X-New" in head and "X-Old" not in head


@pytest.mark.parametrize("path", ["/raise", "/exit", "/split"])
def test_a_fault_of_the_application_costs_one_request(server, path):
    answer = server.get(path)
    assert answer.startswith(b"HTTP/1.1 500 ") and b"X-Injected" not in answer
    assert f"Error handling request GET {path}" in server.log()
    assert server.get("/").endswith(b"hello")
    assert len(server.workers()) == 1


@pytest.mark.parametrize("request_bytes", [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
    b"GET / HTTP/1.1\nHost: a\n\n",
])
def test_a_malformed_request_gets_400_and_the_connection_ends(server, request_bytes):
    answer = server.raw(request_bytes + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 Bad Request") and answer.count(b"HTTP/1.1 ") == 1


def test_a_request_in_flight_survives_term(start):
    server = start("serving:app")
    answers = []
    with server.connect() as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        server_log_grows(server)
        stopper = threading.Thread(target=server.stop, args=(signal.SIGTERM,))
        stopper.start()
        answers.append(client.recv(65536))
        stopper.join()
    assert answers[0].endswith(b"hello")
    assert "Shutting down: Master" in server.log()


def server_log_grows(server):
    """Give the request time to be read: nothing outside the worker tells when it has been."""
    with server.connect(0.3) as probe:
        try:
            probe.recv(1)
        except TimeoutError:
            return


def test_a_reload_serves_on_and_replaces_the_worker(start):
    server = start("serving:app")
    before = server.workers()
    server.process.send_signal(signal.SIGHUP)
    deadline = threading.Event()
    for _ in range(200):
        assert server.get("/").endswith(b"hello")
        if len(server.workers()) > len(before) and f"Worker exiting (pid: {before[0]})" in server.log():
            break
        deadline.wait(0.02)
    assert f"Worker exiting (pid: {before[0]})" in server.log(), server.log()


def test_a_reload_that_fails_keeps_the_old_worker(start, tmp_path):
    conf = tmp_path / "conf.py"
    conf.write_text("workers = 1\n")
    server = start("serving:app", "-c", str(conf))
    conf.write_text("workers = [\n")
    server.process.send_signal(signal.SIGHUP)
    deadline = threading.Event()
    for _ in range(200):
        if "Reload failed" in server.log():
            break
        deadline.wait(0.02)
    assert "Reload failed, the old workers go on serving" in server.log()
    assert server.get("/").endswith(b"hello")


def test_max_requests_replaces_the_worker_without_a_gap(start):
    server = start("serving:app", "--max-requests", "5")
    for _ in range(30):
        assert server.get("/").endswith(b"hello")
    assert "Autorestarting worker after current request." in server.log()


def test_a_unix_socket_and_two_binds(start, tmp_path):
    path = tmp_path / "s.sock"
    server = start("serving:app", "-b", f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert re.search(r"Listening at: http://127\.0\.0\.1:\d+,unix:.*s\.sock \(\d+\)", server.log())


def test_the_access_log_has_gunicorns_line(start, tmp_path):
    access = tmp_path / "access.log"
    server = start("serving:app", "--access-logfile", str(access))
    server.raw(b'GET /?q=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: a"b\r\nConnection: close\r\n\r\n')
    server.stop()
    pattern = r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /\?q=1 HTTP/1\.1" 200 5 "-" "a\\"b"'
    assert re.search(pattern, access.read_text()), access.read_text()


@pytest.mark.parametrize(("args", "code", "text"), [
    (["serving:app", "--workers", "abc"], 2, "invalid int value: 'abc'"),
    (["serving:app", "--no-such-flag"], 2, "unrecognized arguments"),
    ([], 1, "No application module specified."),
    (["serving:app", "-c", "missing.py"], 1, "'missing.py' doesn't exist"),
    (["serving:app", "-k", "gevent"], 1, "gevent"),
])
def test_a_wrong_command_line_says_what_is_wrong(args, code, text):
    import subprocess

    from .conftest import HERE, TRICORN

    done = subprocess.run([TRICORN, *args], cwd=HERE, capture_output=True, text=True, timeout=20)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
