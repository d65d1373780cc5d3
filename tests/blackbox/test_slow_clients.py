"""Slow and hostile clients: nobody else is slowed, each is cut by a time-out of its own, memory stays bounded.

Sixty of a kind beside somebody who wants an answer: far more than there are app threads.
"""

import contextlib
import json
import os
import socket
import time

import pytest

from blackbox.support.answer import Answer, read_all, read_answer
from blackbox.support.site import GTHREAD, MODES, SYNC
from blackbox.support.waiting import poll

pytestmark = pytest.mark.rule(19)

HOST = b"Host: a\r\n"
CLOSE = b"Host: a\r\nConnection: close\r\n"
MIB = 1 << 20
STUCK = 60
SHAPES = {"sync": ("-k", "sync", "-w", "1"), "gthread": ("-k", "gthread", "-w", "2", "--threads", "8")}
# What an answer may take while others are stuck: far above what it takes, far below any time-out here.
PROMPT_S = 1.0

# What a client says before it goes silent. None of them may occupy an app thread.
SILENT = {
    "nothing": b"",
    "half-a-line": b"GET / HT",
    "half-a-head": b"GET / HTTP/1.1\r\n" + HOST + b"X-Half: ",
    "no-body": b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n",
    "half-a-body": b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n" + b"x" * 500,
    "half-a-chunk": b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 500,
    "expects": b"POST /echo HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n",
}


@pytest.fixture(params=SHAPES)
def shape(request):
    return SHAPES[request.param]


@contextlib.contextmanager
def stuck_clients(server, sent, count=STUCK):
    """Connect `count` clients that say `sent` and then nothing."""
    with contextlib.ExitStack() as kept:
        clients = [kept.enter_context(socket.socket()) for _ in range(count)]
        for client in clients:
            # Small, so that the kernels do not carry megabytes for somebody who never reads.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
            client.settimeout(20)
            client.connect(("127.0.0.1", server.port))
            client.sendall(sent)
        yield clients


def blames_clients_only(server):
    """Return whether nothing but clients that were too slow is reported; a busy machine may be overloaded as well."""
    return {incident["class"].split(".")[0] for incident in server.incidents(0)} <= {"client", "overload"}


def assert_prompt(server, times=5):
    """Hold the server to answering others as if nobody was stuck."""
    for _ in range(times):
        began = time.monotonic()
        assert server.get("/").content == b"hello"
        assert time.monotonic() - began < PROMPT_S


def rss_kib(pid):
    """Return the resident memory of a process."""
    with open(f"/proc/{pid}/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])


# ---- each by a time-out of its own ----

@pytest.mark.parametrize("kind", SILENT)
def test_silent_clients_slow_nobody(serve, shape, kind):
    server = serve("wsgi_rules:app", *shape)
    with stuck_clients(server, SILENT[kind]):
        assert_prompt(server)


@pytest.mark.parametrize(
    ("kind", "setting", "status"),
    [("nothing", "--header-timeout", None), ("half-a-line", "--header-timeout", 408), ("half-a-head", "--header-timeout", 408),
     ("no-body", "--body-timeout", 408), ("half-a-body", "--body-timeout", 408), ("half-a-chunk", "--body-timeout", 408)],
)
@pytest.mark.parametrize("mode", MODES)
def test_a_silent_client_is_cut_by_its_own_time_out(serve, mode, kind, setting, status):
    server = serve("wsgi_rules:app", *MODES[mode], setting, "1")
    with stuck_clients(server, SILENT[kind], 3) as clients:
        began = time.monotonic()
        for client in clients:
            raw = read_all(client)
            assert 0.7 < time.monotonic() - began < 4
            if status is None:
                assert raw == b""  # it asked for nothing: RFC 9112 9.5
            else:
                assert Answer(raw).status == status and Answer(raw)["Connection"] == "close"
    assert server.get("/").content == b"hello"
    assert blames_clients_only(server)


@pytest.mark.parametrize("target", ["/echo", "/input_calls?iter"])
@pytest.mark.parametrize("mode", MODES)
def test_a_client_that_keeps_the_application_waiting_gets_the_reference(serve, mode, target):
    """So much comes fast that the application is called before all is there; then nothing more comes."""
    server = serve("wsgi_rules:app", *MODES[mode], "--body-timeout", "1")
    with server.connect() as client:
        client.sendall(f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {8 * MIB}\r\n\r\n".encode() + b"x" * MIB)
        cut = Answer(read_all(client))
    (incident,) = server.incidents()
    path = target.partition("?")[0]
    assert (cut.status, incident["class"], incident["request"]) == (408, "client.slow_upload", f"POST {path}")
    assert cut["X-Reference-Id"] == incident["ref"]
    assert f"Reference: {incident['ref']}".encode() in cut.content
    assert server.wait_log(rf"client\.slow_upload: POST {path} .*; ref {incident['ref']}\n")


def test_a_head_that_trickles_in_is_cut_all_the_same(serve):
    server = serve("wsgi_rules:app", *SYNC, "--header-timeout", "1")
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"X: ")
        client.settimeout(0.1)  # a byte each tenth of a second
        began, raw = time.monotonic(), b""
        while b"408" not in raw:
            assert time.monotonic() - began < 4
            with contextlib.suppress(TimeoutError):
                raw += client.recv(1000)
                continue
            client.sendall(b"x")
        assert time.monotonic() - began > 0.7


def test_an_idle_connection_is_no_work(serve, shape):
    server = serve("wsgi_rules:app", *shape, "--keep-alive", "30", "--timeout", "1", "--graceful-timeout", "10")
    with stuck_clients(server, b"GET / HTTP/1.1\r\n" + HOST + b"\r\n") as clients:
        for client in clients:
            assert read_answer(client).content == b"hello"
        assert_prompt(server)
        server.connect().close()
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 5  # it waits for none of them
    assert server.incidents(0) == []


# ---- many ----

def test_two_thousand_silent_connections_slow_nobody(serve):
    server = serve("wsgi_rules:app", *GTHREAD, "-w", "2", "--worker-connections", "2000", "--header-timeout", "2")
    server.get("/")
    with stuck_clients(server, b"", 2000) as clients:
        assert_prompt(server)
        assert max(map(rss_kib, server.workers())) < 60 * 1024
        for client in clients:  # and each is cut
            assert client.recv(1) == b""
    assert_prompt(server, 1)


# ---- half closed ----

@pytest.mark.parametrize("kind", SILENT)
def test_half_closed_clients_are_let_go_at_once(serve, shape, kind):
    server = serve("wsgi_rules:app", *shape)
    with stuck_clients(server, SILENT[kind]) as clients:
        for client in clients:
            client.shutdown(socket.SHUT_WR)
        began = time.monotonic()
        for client in clients:
            read_all(client)
        assert time.monotonic() - began < 5  # no time-out is that short
        assert_prompt(server)


def test_a_half_closed_client_gets_its_answer(serve, shape):
    server = serve("wsgi_rules:app", *shape)
    with stuck_clients(server, b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\ndata") as clients:
        for client in clients:
            client.shutdown(socket.SHUT_WR)
        for client in clients:
            assert Answer(read_all(client)).content == b"data"


# ---- uploads that trickle in, answers that are taken slowly ----

def test_uploads_that_trickle_in_hold_no_thread(serve):
    server = serve("wsgi_rules:app", *SYNC)
    size, piece = 400_000, b"x" * 8_000
    head = b"POST /count HTTP/1.1\r\n" + CLOSE + b"Content-Length: %d\r\n\r\n" % size
    chunked = b"POST /count HTTP/1.1\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"
    with stuck_clients(server, head, 5) as clients, stuck_clients(server, chunked, 5) as in_chunks:
        for _ in range(0, size, len(piece)):
            for client in clients:
                client.sendall(piece)
            for client in in_chunks:
                client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            assert server.get("/", timeout=PROMPT_S).content == b"hello"  # what came before it was read by now
        for client in in_chunks:
            client.sendall(b"0\r\n\r\n")
        for client in (*clients, *in_chunks):
            assert json.loads(Answer(read_all(client)).content)["bytes"] == size


def test_an_answer_of_megabytes_waits_for_its_client_without_a_thread(serve):
    server = serve("wsgi_rules:app", *SYNC)
    with stuck_clients(server, b"GET /streamed?5500 HTTP/1.1\r\n" + CLOSE + b"\r\n", 5) as clients:
        assert_prompt(server)
        for client in clients:
            assert len(read_all(client)) > 5500 * 1024


def test_a_long_stream_to_a_slow_client_keeps_nothing_that_was_taken(serve):
    server = serve("wsgi_rules:app", *SYNC)
    pid = int(server.get("/pid").content)
    before = rss_kib(pid)
    with stuck_clients(server, b"GET /streamed?60000 HTTP/1.1\r\n" + CLOSE + b"\r\n", 1) as (client,):
        taken = 0
        while taken < 59_000 * 1024:  # less at a time than waits, so that the client never has all
            taken += sum(len(client.recv(512)) for _ in range(64))
            assert rss_kib(pid) < before + 20 * 1024
        read_all(client)


# ---- readers that never read, bodies that never end ----

NEVER_READS = {
    "file": b"GET /sparse_file HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "stream": b"GET /streamed?50000 HTTP/1.1\r\n" + CLOSE + b"\r\n",
}
# 64 KiB are read before the application is called; these are more.
ENDLESS_BODY = b"POST /count HTTP/1.1\r\n" + CLOSE + b"Content-Length: 100000000\r\n\r\n" + b"x" * 100_000
HOLDS_A_THREAD = "an app thread waits for the client of a long stream or body: nobody else is served until a time-out cuts it"


def sockets_of(server):
    """Count the sockets of all workers: a client that does not read cannot see that it was cut."""
    count = 0
    for pid in server.workers():
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                count += os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
    return count


def assert_cut(server, before):
    """Wait until the workers have no more sockets than `before` any client came."""
    poll(lambda: sockets_of(server) <= before, 20, lambda: f"the cut: {sockets_of(server)} sockets, {before} before")


def test_readers_of_a_file_that_never_read_slow_nobody(serve, shape):
    server = serve("wsgi_rules:app", *shape, "--write-timeout", "3")
    server.get("/")
    before = sockets_of(server)
    with stuck_clients(server, NEVER_READS["file"]) as clients:
        for client in clients:  # filling sixty sockets is honest work; what follows must not wait for it to be read
            assert client.recv(1, socket.MSG_PEEK) == b"H"
        assert_prompt(server)
        assert sockets_of(server) > before
        assert max(map(rss_kib, server.workers())) < 60 * 1024
        assert_cut(server, before)
    assert blames_clients_only(server)


@pytest.mark.xfail(strict=True, reason=HOLDS_A_THREAD)
@pytest.mark.parametrize("sent", [NEVER_READS["stream"], ENDLESS_BODY], ids=["never-reads", "never-sends"])
def test_long_streams_and_bodies_slow_nobody(serve, shape, sent):
    server = serve("wsgi_rules:app", *shape)
    with stuck_clients(server, sent):
        assert server.get("/", timeout=PROMPT_S).content == b"hello"


@pytest.mark.parametrize(("kind", "setting"), [(NEVER_READS["stream"], "--write-timeout"), (ENDLESS_BODY, "--body-timeout")], ids=["never-reads", "never-sends"])
@pytest.mark.parametrize("mode", MODES)
def test_long_streams_and_bodies_are_cut_and_take_no_memory(serve, mode, kind, setting):
    server = serve("wsgi_rules:app", *MODES[mode], setting, "1")
    pid = int(server.get("/pid").content)
    before = sockets_of(server)
    with stuck_clients(server, kind, 4):
        poll(lambda: sockets_of(server) > before, 5, "the clients")
        assert_cut(server, before)
        assert rss_kib(pid) < 60 * 1024
    assert server.get("/").content == b"hello"
    assert int(server.get("/pid").content) == pid and blames_clients_only(server)
