"""The rules of HTTP/1.1 and WSGI that need a live server, by number; and that none of them is without a test.

Syntax is tried by tests/protocol, whose recordings begin with a rule's number; here is what a connection and an
application see of it. What is sent in pieces is sent so that the server reads each piece alone.
"""

import ast
import itertools
import json
import os
import re
import socket
import struct
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from blackbox.support.answer import Answer, read_all, read_answer, unchunk
from blackbox.support.site import MODES
from blackbox.support.waiting import poll

HERE = Path(__file__).resolve().parent
HOST = b"Host: a\r\n"
CLOSE = b"Host: a\r\nConnection: close\r\n"
NEXT = b"GET /pid HTTP/1.1\r\n" + HOST + b"\r\n"
LAST = b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n"
# More than the server ever reads before it calls the application: 4 MiB when the bytes come slowly (kLoanBytesMax).
BEYOND_READ_AHEAD = 4_500_000

LATER = {23: "ASGI", 24: "HTTP/2", 25: "TLS", 32: "WebSocket", 33: "HTTP/2"}


def rules_with_a_test():
    """Give the numbers that recordings begin with and those that black-box tests are marked with."""
    found = {int(path.name[:2]) for path in (HERE.parent / "protocol").glob("[0-9]*.http")}
    for path in HERE.glob("test_*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                for mark in function.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.rule":
                        found |= {ast.literal_eval(number) for number in mark.args}
    return found


def test_no_rule_is_without_a_test():
    found = rules_with_a_test()
    assert sorted(set(range(1, 34)) - LATER.keys() - found) == []
    assert sorted(found & LATER.keys()) == [], "no longer for later: strike it out of LATER"


# ---- bytes on their way ----

def unread_by_server(client):
    """Return how many bytes the kernel holds for the server's end of this connection, 0 when that end is gone.

    Asked of the kernel by sock_diag(7): /proc/net/tcp would walk all its tables for each byte sent.
    """
    (here, here_port), (there, there_port) = client.getsockname(), client.getpeername()
    ends = struct.pack(">HH16s16s", there_port, here_port, socket.inet_aton(there), socket.inet_aton(here))
    wanted = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0xffffffff) + ends + struct.pack("=III", 0, 0xffffffff, 0xffffffff)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 4) as diagnosis:  # NETLINK_SOCK_DIAG
        diagnosis.send(struct.pack("=IHHII", 16 + len(wanted), 20, 1, 0, 0) + wanted)  # SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST
        answer = diagnosis.recv(4096)
    kind, = struct.unpack_from("=H", answer, 4)
    return struct.unpack_from("=I", answer, 72)[0] if kind == 20 else 0


def wait_read(client):
    """Wait until the server has read all that was sent; it takes microseconds, too few for a pause."""
    deadline = time.monotonic() + 5
    while unread_by_server(client):
        assert time.monotonic() < deadline, "the server does not read"
        os.sched_yield()


def send_in_pieces(client, pieces):
    """Send each piece when the server has read the one before."""
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in pieces:
        client.sendall(piece)
        wait_read(client)


def whole(request):
    return [request]


def byte_by_byte(request):
    return [request[at:at + 1] for at in range(len(request))]


def at_line_ends(request):
    """Cut behind each CR and each LF."""
    return re.findall(rb"[^\r\n]*[\r\n]|[^\r\n]+", request)


WAYS = [whole, byte_by_byte, at_line_ends]


@pytest.fixture(params=MODES)
def server(request, serve):
    return serve("wsgi_rules:app", "--keep-alive", "5", *MODES[request.param])


def talk(server, way, request, behind=b""):
    """Give all that comes back on one connection; `behind` comes together with the end of the request."""
    pieces = way(request)
    pieces[-1] += behind
    with server.connect() as client:
        send_in_pieces(client, pieces)
        return read_all(client)


def answers_in(raw):
    """Give the status of each answer; works for bodies that hold no status line."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", raw)]


def notes(server, count):
    """Wait until noted_read has read `count` bodies; give how each ended."""
    def noted():
        found = json.loads(server.get("/noted_notes").content)
        return len(found) >= count and found

    return poll(noted, 5, f"{count} bodies read")


# ---- what comes after an error or a close: rules 5 to 8 ----

BROKEN_AT_ONCE = [
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"POST /noted_read HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
    (b"POST /noted_read HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
    (b"POST /noted_read HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    (b"POST /noted_read HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400),
    (b"POST /noted_read HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400),
]


@pytest.mark.rule(1, 2, 3, 4, 5, 6, 9, 11)
def test_nothing_behind_an_error_is_acted_on(server):
    for way, (request, status) in itertools.product(WAYS, BROKEN_AT_ONCE):
        raw = talk(server, way, request, NEXT + LAST)
        assert answers_in(raw) == [status], (request, raw)
        assert Answer(raw)["Connection"] == "close"
        assert Answer(raw).content.startswith(b"<html>")
    assert json.loads(server.get("/noted_notes").content) == []  # no application was called


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


HUGE_CHUNKED = b"POST /noted_read HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * BEYOND_READ_AHEAD)
HUGE_LENGTH = b"POST /noted_read HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % (2 * BEYOND_READ_AHEAD) + b"x" * BEYOND_READ_AHEAD


@pytest.mark.rule(5, 6)
def test_a_body_that_breaks_while_it_is_read_raises(server):
    wrong = [b"xyz\r\n", b"3\r\nabcd\r\n", b"3\r\nab\r\n0\r\n\r\n", b"3;\na\r\nabc\r\n", b"0\r\nX : y\r\n\r\n", b"\r\n"]
    for count, broken in enumerate(wrong, 1):
        raw = server.raw(HUGE_CHUNKED + broken + NEXT + LAST)
        assert answers_in(raw) == [400], (broken, raw)  # the peer is wrong, not the application
        how, bytes_read = notes(server, count)[-1]
        assert how == "OSError" and bytes_read <= BEYOND_READ_AHEAD + 4, broken


@pytest.mark.rule(5)
def test_a_body_that_ends_too_early_while_it_is_read_raises(server):
    for count, half in enumerate([HUGE_CHUNKED, HUGE_CHUNKED + b"0\r\n", HUGE_CHUNKED + b"5\r\nhe", HUGE_LENGTH], 1):
        with server.connect() as client:
            client.sendall(half)
            client.shutdown(socket.SHUT_WR)
            assert b"200 OK" not in read_all(client)
        how, bytes_read = notes(server, count)[-1]
        assert how == "ConnectionResetError" and bytes_read <= BEYOND_READ_AHEAD + 2, half[-20:]


@pytest.mark.rule(5)
def test_a_short_body_that_ends_too_early_is_never_given_to_the_application(server):
    for framing in (b"Content-Length: 10\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
                    b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n"):
        with server.connect() as client:
            client.sendall(b"POST /noted_read HTTP/1.1\r\n" + HOST + framing)
            client.shutdown(socket.SHUT_WR)
            assert b"200 OK" not in read_all(client)
    assert json.loads(server.get("/noted_notes").content) == []


@pytest.mark.rule(7)
def test_no_request_is_served_behind_close(server):
    closing = [b"Connection: close\r\n", b"Connection: foo, CLOSE\r\n", b"Connection: foo\r\nconnection: Close\r\n",
               b"Connection: keep-alive, close\r\n", b"Connection:close\t,x\r\n"]
    for way, fields in itertools.product(WAYS, closing):
        raw = talk(server, way, b"GET / HTTP/1.1\r\n" + HOST + fields + b"\r\n", NEXT + LAST)
        assert answers_in(raw) == [200] and raw.endswith(b"hello"), (fields, raw)


@pytest.mark.rule(7)
def test_no_request_is_served_behind_http_1_0(server):
    for way in WAYS:
        assert answers_in(talk(server, way, b"GET / HTTP/1.0\r\n\r\n", NEXT + LAST)) == [200]
        assert answers_in(talk(server, way, b"GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n" + LAST)) == [200, 200]


@pytest.mark.rule(8, 21)
def test_what_the_application_left_of_a_body_is_no_request(server):
    body = b"line\n" + NEXT * 2
    for way, framing in itertools.product(WAYS, [
            b"Transfer-Encoding: chunked\r\n\r\n" + chunk(body) + b"0\r\n\r\n", b"Content-Length: %d\r\n\r\n" % len(body) + body]):
        raw = talk(server, way, b"POST /one_line HTTP/1.1\r\n" + HOST + framing + LAST)
        assert answers_in(raw) == [200, 200] and b"line\nHTTP/1.1 200 OK" in raw and raw.endswith(b"hello"), raw


@pytest.mark.rule(8)
def test_a_large_chunked_body_left_unread_is_no_request(server):
    body = chunk(NEXT) * 5000
    raw = server.raw(b"POST /ignored HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n" + LAST)
    assert raw == b"" or (answers_in(raw) == [200] and raw.endswith(b"ignored")), raw


# ---- answers: rules 15 to 18, 31 ----

@pytest.mark.rule(15)
def test_head_has_no_body_and_leaves_the_connection_in_step(server):
    for path in ("/", "/streamed?3", "/wrapped_file?100", "/written", "/wrapped_buffer", "/short_body", "/long_body"):
        raw = server.raw(f"HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() + LAST)
        head, _, rest = raw.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK") and rest.startswith(b"HTTP/1.1 200 OK") and rest.endswith(b"\r\n\r\nhello"), raw


@pytest.mark.rule(15)
def test_204_and_304_have_no_body(server):
    paths = ("/status_204", "/status_204_with_body", "/status_304", "/status_304_with_body")
    for method, path in itertools.product(("GET", "HEAD"), paths):
        raw = server.raw(f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() + LAST)
        head, _, rest = raw.partition(b"\r\n\r\n")
        assert rest.startswith(b"HTTP/1.1 200 OK") and b"transfer-encoding" not in head.lower(), raw
        assert "304" in path or b"content-length" not in head.lower(), raw


@pytest.mark.rule(15)
def test_a_1xx_of_the_application_has_no_body_and_no_length(server):
    raw = server.raw(b"GET /status_1xx HTTP/1.1\r\n" + HOST + b"\r\n")
    assert b"hints" not in raw.replace(b"Early Hints", b"") and b"content-length: 5" not in raw.lower() and b"transfer-encoding" not in raw.lower(), raw


@pytest.mark.rule(16)
def test_an_answer_cut_short_ends_the_connection(server):
    for path in ("/raising_after_bytes", "/closing_after_failure", "/short_body"):
        raw = server.raw(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() + LAST)
        assert answers_in(raw) == [200] and not raw.endswith(b"0\r\n\r\n"), raw


@pytest.mark.rule(17, 18)
def test_http_1_0_gets_neither_chunks_nor_100_continue(server):
    with server.connect() as client:
        client.sendall(b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        wait_read(client)
        client.sendall(b"data")
        answer = Answer(read_all(client))
    assert answer.status == 200 and answer.body == b"data" and answer["Transfer-Encoding"] is None
    answer = Answer(server.raw(b"GET /streamed?3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + LAST))
    assert answer["Transfer-Encoding"] is None and answer["Connection"] == "close" and len(answer.body) == 3 * 1024
    answer = Answer(server.raw(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + LAST))
    assert answer["Connection"] == "keep-alive"


@pytest.mark.rule(18)
def test_100_continue_comes_at_once_and_once(server):
    framings = [(b"Transfer-Encoding: chunked", b"2\r\nda\r\n2\r\nta\r\n0\r\n\r\n"), (b"Content-Length: 4", b"data")]
    for way, expectation, (framing, body) in itertools.product(WAYS, [b"100-continue", b"100-Continue"], framings):
        with server.connect() as client:
            send_in_pieces(client, way(b"POST /echo HTTP/1.1\r\n" + CLOSE + b"Expect: " + expectation + b"\r\n" + framing + b"\r\n\r\n"))
            assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"  # before a byte of the body
            send_in_pieces(client, way(body))
            answer = Answer(read_all(client))
        assert answer.status == 200 and answer.content == b"data"


@pytest.mark.rule(18)
def test_expect_without_a_body_or_with_a_refusal_gets_a_final_status(server):
    raw = server.raw(b"GET / HTTP/1.1\r\n" + CLOSE + b"Expect: 100-continue\r\n\r\n")
    assert answers_in(raw)[-1] == 200 and raw.endswith(b"hello")
    assert answers_in(server.raw(b"POST /echo HTTP/1.1\r\n" + CLOSE + b"Expect: 100-continue\r\nContent-Length: +4\r\n\r\n")) == [400]


@pytest.mark.rule(31)
def test_every_answer_has_one_date(server):
    other_expectation = b"GET / HTTP/1.1\r\n" + CLOSE + b"Expect: tea\r\n\r\n"
    for request, status in [
        (b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n", 200), (b"GET /own_date HTTP/1.1\r\n" + CLOSE + b"\r\n", 200),
        (b"GET /status_304 HTTP/1.1\r\n" + CLOSE + b"\r\n", 304), (b"GET /raising HTTP/1.1\r\n" + CLOSE + b"\r\n", 500),
        (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n" + CLOSE + b"\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + CLOSE + b"X: " + b"y" * 9000 + b"\r\n\r\n", 431), (other_expectation, 417),
    ]:
        answer = Answer(server.raw(request))
        assert answer.status == status, answer
        assert parsedate_to_datetime(answer["Date"]).year >= 2024, answer  # one, and not the application's of 1970
        assert len(answer.all("Server")) <= 1 and "mine" not in answer.all("Server")


# ---- targets and pipelines: rules 26, 30 ----

@pytest.mark.rule(26)
def test_absolute_form_names_path_query_and_host(serve):
    server = serve("environ_app:app")
    for way, (target, host, path, query) in itertools.product(WAYS, [
        (b"http://b.example:81/p%20q?x=1", "b.example:81", "/p q", "x=1"), (b"http://b.example", "b.example", "/", ""),
        (b"HTTP://b.example?x", "b.example", "/", "x"), (b"https://[::1]:8443//a", "[::1]:8443", "//a", ""),
    ]):
        answer = Answer(talk(server, way, b"GET " + target + b" HTTP/1.1\r\n" + CLOSE + b"\r\n"))
        environ = json.loads(answer.content)
        assert (environ["HTTP_HOST"], environ["PATH_INFO"], environ["QUERY_STRING"]) == (host, path, query)


@pytest.mark.rule(30)
@pytest.mark.parametrize("way", WAYS)
def test_a_pipeline_stays_in_step(server, way):
    get_with_body = b"GET /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
    post_chunked = b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"de") + b"0\r\nX-T: 1\r\n\r\n"
    raw = talk(server, way, b"\r\n" + get_with_body + b"\r\n" + post_chunked + get_with_body + LAST)
    bodies = []
    while raw:
        answer = Answer(raw)
        assert answer.status == 200
        if answer["Transfer-Encoding"] == "chunked":
            end = answer.body.index(b"0\r\n\r\n") + 5
            bodies.append(unchunk(answer.body[:end]))
        else:
            end = int(answer["Content-Length"])
            bodies.append(answer.body[:end])
        raw = answer.body[end:]
    assert bodies == [b"abc", b"de", b"abc", b"hello"]


# ---- the application: rules 20, 22 ----

@pytest.mark.rule(20)
def test_close_is_called_once_whatever_becomes_of_the_answer(server):
    # An endless answer to HEAD would keep the application busy for good: nobody reads that it could stop.
    for method, path in [("GET", "endless"), *itertools.product(("GET", "HEAD"), ("closing", "closing_after_failure", "closing_before_first"))]:
        before = json.loads(server.get("/closed_names").content)
        with server.connect() as client:
            client.sendall(f"{method} /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            assert client.recv(100)
            if path != "endless":
                read_all(client)
        poll(lambda: json.loads(server.get("/closed_names").content) != before, 5, "close()")  # noqa: B023
        assert json.loads(server.get("/closed_names").content) == [*before, path], method


@pytest.mark.rule(22)
def test_a_fault_of_the_application_costs_its_request_and_no_other_connection(server):
    for path in ("/raising", "/exiting", "/interrupted", "/none_returned", "/text_body"):
        with server.connect() as other:
            other.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            assert read_answer(other).content == b"hello"
            assert server.get(path).status == 500
            other.sendall(LAST)
            assert Answer(read_all(other)).content == b"hello"
    assert server.process.poll() is None and server.incidents(0) == []
