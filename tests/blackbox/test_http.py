"""HTTP/1.1 on the wire: raw sockets, clients that are slow, rude or gone."""

import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import time

import pytest

from blackbox.support.answer import Answer, read_all, read_answer, unchunk
from blackbox.support.site import MODES, SYNC
from blackbox.support.waiting import poll

HOST = b"Host: a\r\n"
CLOSE = b"Host: a\r\nConnection: close\r\n"
MIB = 1 << 20


@pytest.fixture(params=MODES)
def server(request, serve):
    return serve("wsgi_rules:app", "--keep-alive", "5", *MODES[request.param])


@contextlib.contextmanager
def stopped(server):
    """Stop the worker like a container that is paused: what comes meanwhile, it finds all at once."""
    worker = server.workers()[0]
    os.kill(worker, signal.SIGSTOP)
    try:
        poll(lambda: server.session()[worker][1] == "T", 5, "the worker's stop")
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


# ---- keep-alive and pipelining ----

@pytest.mark.rule(30)
def test_many_requests_share_a_connection(server):
    with server.connect() as client:
        for _ in range(100):
            client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            assert read_answer(client).content == b"hello"


@pytest.mark.rule(30)
def test_pipelined_requests_are_answered_in_order(server):
    requests = b"".join(b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\n%04d" % n for n in range(50))
    answer = server.raw(requests + b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    bodies = [Answer(b"HTTP/1.1 200 OK" + part).content for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"%04d" % n for n in range(50)] + [b"hello"]


@pytest.mark.rule(30)
@pytest.mark.parametrize("behind", [b"GET /slept?1 HTTP/1.1\r\n" + CLOSE + b"\r\n", b"GET / HTTP/1.1\r\nHo"], ids=["slow", "unfinished"])
def test_an_answer_does_not_wait_for_the_request_behind_it(server, behind):
    with server.connect() as client:
        began = time.monotonic()
        client.sendall(3 * (b"GET / HTTP/1.1\r\n" + HOST + b"\r\n") + behind)
        received = b""
        while received.count(b"hello") < 3:
            received += client.recv(65536)
        assert time.monotonic() - began < 0.15  # the kernel's own limit for what waits is 0.2 s


@pytest.mark.rule(30)
def test_an_answer_does_not_wait_for_another_clients_slow_request(server):
    with server.connect() as quick, server.connect() as slow:
        for client in 20 * (quick, slow):  # a worker that has just met slow requests lets no answer wait
            client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            read_answer(client)
        with stopped(server):
            quick.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            slow.sendall(b"GET /slept?1 HTTP/1.1\r\n" + CLOSE + b"\r\n")
            began = time.monotonic()
        assert read_answer(quick).content == b"hello"
        assert time.monotonic() - began < 0.15  # as above
        read_all(slow)


@pytest.mark.rule(19)
def test_an_idle_connection_is_closed_after_keep_alive(serve):
    server = serve("wsgi_rules:app", "--keep-alive", "1")
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        read_answer(client)
        began = time.monotonic()
        assert client.recv(1) == b""
        assert 0.8 < time.monotonic() - began < 3


def test_requests_that_came_in_time_are_answered_after_a_pause(serve):
    """The first of a connection and a later one: that nobody read them in time was not their clients' doing."""
    server = serve("wsgi_rules:app", "--keep-alive", "1", "--header-timeout", "1")
    with server.connect() as fresh, server.connect() as kept:
        kept.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        read_answer(kept)  # it was accepted, and so was the one before it
        with stopped(server):
            for client in (fresh, kept):
                client.sendall(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
            time.sleep(1.3)
        for client in (fresh, kept):
            assert Answer(read_all(client)).content == b"hello"


def test_a_full_house_closes_nobody_who_has_sent_something(serve):
    """Room for a new client is made by closing the connection that idles longest; this one does not idle any more."""
    server = serve("wsgi_rules:app", "--worker-connections", "2", "--keep-alive", "30")
    with server.connect() as kept, server.connect() as other:
        for client in (kept, other):
            client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            read_answer(client)
        with stopped(server):
            fresh = server.connect()
            fresh.sendall(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
            kept.sendall(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
        with fresh:
            for client in (fresh, kept):
                assert Answer(read_all(client)).content == b"hello"


def test_keep_alive_0_closes_after_each_answer(serve):
    server = serve("wsgi_rules:app", "--keep-alive", "0")
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        answer = Answer(read_all(client))
    assert answer["Connection"] == "close" and answer.content == b"hello"


@pytest.mark.rule(7, 17)
@pytest.mark.parametrize(
    ("line", "fields", "kept"),
    [
        (b"GET / HTTP/1.1", HOST, True),
        (b"GET / HTTP/1.1", HOST + b"Connection: close\r\n", False),
        (b"GET / HTTP/1.1", HOST + b"Connection: foo, Close\r\n", False),
        (b"GET / HTTP/1.0", HOST, False),
        (b"GET / HTTP/1.0", HOST + b"Connection: keep-alive\r\n", True),
    ],
)
def test_connections_persist_as_rfc_9112_says(server, line, fields, kept):
    with server.connect() as client:
        client.sendall(line + b"\r\n" + fields + b"\r\n")
        answer = read_answer(client)
        assert answer.content == b"hello"
        if kept:
            assert answer["Connection"] != "close"
            client.sendall(line + b"\r\n" + fields + b"\r\n")
            assert read_answer(client).content == b"hello"
        else:
            assert answer["Connection"] == "close"
            assert client.recv(1) == b""


# ---- bodies ----

@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 10 * MIB])
def test_a_body_comes_back_whole(server, size):
    body = hashlib.shake_128(b"seed").digest(size)
    head = b"POST /echo HTTP/1.1\r\n" + CLOSE + b"Content-Length: %d\r\n\r\n" % size
    answer = Answer(server.raw(head + body, timeout=60))
    assert answer.content == body


def test_a_chunked_body_of_10_mib_comes_back_whole(server):
    body = hashlib.shake_128(b"seed").digest(10 * MIB)
    sizes, at, chunks = [1, 10, 70_000, 8192, 300_000], 0, []
    while at < len(body):
        size = min(sizes[len(chunks) % 5], len(body) - at)
        chunks.append(b"%x;note=\"x\"\r\n" % size + body[at:at + size] + b"\r\n")
        at += size
    request = b"POST /echo HTTP/1.1\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\nX-Trailer: 1\r\n\r\n"
    assert Answer(server.raw(request, timeout=60)).content == body


@pytest.mark.rule(13)
def test_a_large_body_is_not_kept_in_memory(server):
    size = 200 * MIB
    with server.connect(60) as client:
        client.sendall(b"POST /count HTTP/1.1\r\n" + CLOSE + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(200):
            client.sendall(bytes(MIB))
        result = json.loads(Answer(read_all(client)).content)
    assert result["bytes"] == size
    assert result["rss_kib"] < 100 * 1024, result


def test_a_large_answer_waits_for_its_reader_without_being_kept_in_memory(server):
    pid = int(server.get("/pid").content)
    with server.connect(60) as client:
        client.sendall(b"GET /streamed?100000 HTTP/1.1\r\n" + CLOSE + b"\r\n")
        assert client.recv(10)
        time.sleep(0.5)  # the server may run ahead meanwhile, but not far
        with open(f"/proc/{pid}/status") as status:
            rss_kib = int(next(line for line in status if line.startswith("VmRSS")).split()[1])
        total = len(read_all(client))
    assert rss_kib < 90 * 1024
    assert total > 100_000 * 1024


@pytest.mark.rule(19)
def test_a_body_that_trickles_in_does_not_occupy_the_application(serve):
    server = serve("wsgi_rules:app", *SYNC)  # one worker, one thread
    with server.connect() as slow:
        slow.sendall(b"POST /echo HTTP/1.1\r\n" + CLOSE + b"Content-Length: 20\r\n\r\n")
        for _ in range(5):
            slow.sendall(b"1234")
            began = time.monotonic()
            assert server.get("/").content == b"hello"
            assert time.monotonic() - began < 0.5
        assert Answer(read_all(slow)).content == b"1234" * 5


@pytest.mark.rule(8)
def test_an_unread_body_is_never_taken_for_the_next_request(server):
    smuggled = b"GET /raising HTTP/1.1\r\n" + HOST + b"\r\n" + b"x" * 500_000
    answer = server.raw(b"POST /ignored HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(smuggled) + smuggled)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert "raising" not in server.log


def test_a_client_that_sends_its_whole_body_first_reads_the_answer_of_who_reads_none_of_it(server):
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)  # it gives up where it cannot send on
    client.request("POST", "/ignored", body=b"x" * (30 * MIB))
    answer = client.getresponse()
    assert (answer.status, answer.getheader("Connection")) == (200, "close")
    client.close()


@pytest.mark.rule(8)
def test_a_small_unread_body_leaves_the_connection_usable(server):
    request = b"POST /ignored HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\n12345"
    answer = server.raw(request * 3 + b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 4


@pytest.mark.rule(18)
def test_expect_continue_is_answered_when_the_body_is_wanted(server):
    with server.connect() as client:
        client.sendall(b"POST /echo HTTP/1.1\r\n" + CLOSE + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"data")
        assert Answer(read_all(client)).content == b"data"


@pytest.mark.rule(18)
def test_another_expectation_is_refused(server):
    assert server.get("/", "Expect: tea").status == 417


# ---- HEAD, chunks, files ----

@pytest.mark.rule(15)
def test_head_has_the_fields_of_get_and_no_body(server):
    answer = Answer(server.raw(b"HEAD / HTTP/1.1\r\n" + CLOSE + b"\r\n"))
    assert answer["Content-Length"] == "5" and answer.body == b""


@pytest.mark.rule(15)
def test_head_keeps_the_connection_in_step(server):
    answer = server.raw(b"HEAD /streamed HTTP/1.1\r\n" + HOST + b"\r\n" + b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 2 and answer.endswith(b"\r\n\r\nhello")
    assert b"0000000" not in answer


@pytest.mark.rule(17)
def test_an_answer_without_length_is_chunked_for_1_1_and_ends_with_the_connection_for_1_0(server):
    chunked = server.get("/streamed?3")
    assert chunked["Transfer-Encoding"] == "chunked"
    plain = Answer(server.raw(b"GET /streamed?3 HTTP/1.0\r\n\r\n"))
    assert plain["Transfer-Encoding"] is None and plain["Connection"] == "close"
    assert chunked.content == plain.body and len(plain.body) == 3 * 1024


@pytest.mark.rule(20)
def test_parts_are_sent_when_they_are_made(server):
    with server.connect() as client:
        client.sendall(b"GET /slowly HTTP/1.1\r\n" + CLOSE + b"\r\n")
        began, seen = time.monotonic(), b""
        while b"part 0" not in seen:
            seen += client.recv(65536)
        assert time.monotonic() - began < 0.25
        assert unchunk((seen + read_all(client)).split(b"\r\n\r\n", 1)[1]) == b"part 0\npart 1\npart 2\n"


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize(("size", "offset"), [(0, 0), (1, 0), (100_000, 10), (20_000_000, 12_345)])
def test_a_wrapped_file_is_sent_from_its_offset(server, version, size, offset):
    answer = Answer(server.raw(b"GET /wrapped_file?%d:%d HTTP/%s\r\n" % (size, offset, version) + CLOSE + b"\r\n", timeout=60))
    expected = (bytes(range(251)) * (size // 251 + 1))[offset:size]
    assert answer.status == 200
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(expected).digest()


def test_a_wrapped_file_with_a_length_is_sent_that_far(server):
    assert server.get("/wrapped_file_with_length").content == b"23456"


@pytest.mark.rule(15)
def test_a_wrapped_file_for_head_is_not_sent(server):
    answer = Answer(server.raw(b"HEAD /wrapped_file?100 HTTP/1.1\r\n" + CLOSE + b"\r\n"))
    assert answer.status == 200 and answer.body == b""


def test_a_wrapped_buffer_without_a_descriptor_is_sent(server):
    assert server.get("/wrapped_buffer").content == b"from memory" * 1000


@pytest.mark.rule(20)
def test_a_wrapped_file_is_closed(server):
    assert b"class NotedFile" in server.get("/noted_file").content
    assert b"noted_file" in server.get("/closed_names").content


def test_files_without_sendfile(serve):
    server = serve("wsgi_rules:app", "--no-sendfile")
    assert server.get("/wrapped_file?300000:7").content == (bytes(range(251)) * 1200)[7:300_000]


# ---- clients that misbehave ----

@pytest.mark.rule(1, 2, 3, 6, 9, 10, 13, 28)
@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"FOO\r\n\r\n", 400), (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 400), (b"GET / HTTP/3.0\r\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: 1\r\n" % n for n in range(101)) + b"\r\n", 431),
        (b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\nx", 400),
        (b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: foo, chunked\r\n\r\n0\r\n\r\n", 501),
    ],
)
def test_a_malformed_request_is_refused_and_the_connection_closed(server, request_bytes, status):
    answer = Answer(server.raw(request_bytes))
    assert answer.status == status and answer["Connection"] == "close"
    assert b"<html>" in answer.content
    assert server.get("/").content == b"hello"


@pytest.mark.rule(4)
def test_a_malformed_chunk_is_refused(server):
    answer = Answer(server.raw(b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"))
    assert answer.status == 400
    assert server.get("/").content == b"hello"


@pytest.mark.rule(19)
@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\nhalf"])
def test_clients_that_say_nothing_or_half_keep_nobody_waiting(serve, sent):
    server = serve("wsgi_rules:app", *SYNC)  # one worker, one thread
    with contextlib.ExitStack() as idle:
        for _ in range(20):
            idle.enter_context(server.connect()).sendall(sent)
        began = time.monotonic()
        assert server.get("/").content == b"hello"
        assert time.monotonic() - began < 1


@pytest.mark.rule(19)
def test_half_a_head_is_ended_after_header_timeout(serve):
    server = serve("wsgi_rules:app", "--header-timeout", "1")
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost:")
        began = time.monotonic()
        read_all(client)
        assert time.monotonic() - began < 4


@pytest.mark.rule(19)
def test_half_a_body_is_ended_after_body_timeout(serve):
    server = serve("wsgi_rules:app", "--body-timeout", "1")
    with server.connect() as client:
        client.sendall(b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\nhalf")
        began = time.monotonic()
        read_all(client)
        assert time.monotonic() - began < 4
    assert server.get("/").content == b"hello"


def test_a_client_that_leaves_in_the_middle_of_its_body_costs_nothing(server):
    for _ in range(10):
        with server.connect() as client:
            client.sendall(b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\nhalf")
    assert server.get("/").content == b"hello"
    assert server.incidents(0) == []


def test_a_client_that_leaves_in_the_middle_of_its_answer_costs_nothing(server):
    for _ in range(3):
        with server.connect() as client:
            client.sendall(b"GET /endless HTTP/1.1\r\n" + HOST + b"\r\n")
            assert client.recv(1000)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    poll(lambda: b"endless" in server.get("/closed_names").content, 5, "close() of the endless answer")
    assert server.incidents(0) == []


def test_a_client_that_closes_its_sending_side_gets_its_answer(server):
    with server.connect() as client:
        client.sendall(b"GET /slept?0.3 HTTP/1.1\r\n" + HOST + b"\r\n")
        client.shutdown(socket.SHUT_WR)
        assert Answer(read_all(client)).content == b"slept"


def test_a_thousand_idle_connections_disturb_nobody(serve):
    server = serve("wsgi_rules:app", "--worker-connections", "2000", "--keep-alive", "30")
    with contextlib.ExitStack() as idle:
        clients = [idle.enter_context(server.connect()) for _ in range(1000)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        for client in clients:
            assert read_answer(client).content == b"hello"
        began = time.monotonic()
        assert server.get("/").content == b"hello"
        assert time.monotonic() - began < 0.5


@pytest.mark.rule(4)
def test_chunks_on_the_wire_may_be_cut_anywhere(server):
    request = b"POST /echo HTTP/1.1\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n"
    with server.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request:
            client.sendall(bytes([byte]))
        assert Answer(read_all(client)).content == b"Wikipedia"
