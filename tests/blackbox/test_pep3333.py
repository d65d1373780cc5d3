"""PEP 3333 from the application's side."""

import json

import pytest

from blackbox.support.answer import Answer
from blackbox.support.site import MODES
from blackbox.support.waiting import poll


@pytest.fixture(params=MODES)
def server(request, serve):
    return serve("wsgi_rules:app", *MODES[request.param])


def closed_names(server):
    return json.loads(server.get("/closed_names").content)


# ---- start_response, write, iterables ----

@pytest.mark.rule(20)
def test_exc_info_before_the_first_byte_replaces_status_and_headers(server):
    answer = server.get("/exc_info_before")
    assert answer.status_line == "HTTP/1.1 503 Sorry"
    assert answer["X-New"] == "1" and answer["X-Old"] is None and answer.content == b"sorry"


@pytest.mark.rule(20)
def test_exc_info_after_the_first_byte_raises_and_cuts_the_answer(server):
    answer = server.get("/exc_info_after")
    assert answer.status == 200 and answer.body == b"begun" and answer["Content-Length"] == "50"
    assert "KeyError: 'too late'" in server.log


@pytest.mark.rule(20)
def test_start_response_twice_without_exc_info_is_an_error(server):
    assert server.get("/started_twice").status == 500
    assert "AssertionError" in server.log


@pytest.mark.rule(20)
def test_write_and_the_iterable_are_sent_in_order(server):
    assert server.get("/written").content == b"one two three"
    assert server.get("/written_with_length").content == b"one two"[:7]


@pytest.mark.rule(20)
def test_start_response_may_be_called_by_the_first_step_of_the_iterable(server):
    answer = server.get("/lazy")
    assert answer.status == 202 and answer["X-Lazy"] == "1" and answer.content == b"first second"


def test_empty_parts_do_not_end_a_chunked_body(server):
    assert server.get("/empty_parts").content == b"ab"
    assert server.get("/no_parts").content == b""


@pytest.mark.rule(14, 22)
@pytest.mark.parametrize(
    "path",
    ["never_started", "none_returned", "text_body", "raising", "raising_after_start", "exiting", "interrupted", "injected_value",
     "injected_name", "injected_status", "bytes_value", "number_value", "name_with_space", "status_number", "status_short",
     "closing_before_first", "lf_in_value", "cr_in_value", "nul_in_value", "empty_name", "colon_in_name", "nul_in_status", "bad_replacement"],
)
def test_a_fault_of_the_application_is_a_500_with_a_traceback_and_costs_one_request(server, path):
    pid = server.get("/pid").content
    answer = server.get(f"/{path}?password=hunter2")
    assert answer.status == 500, answer
    assert b"X-Injected" not in answer.head
    assert b"Traceback" not in answer.raw and b"on purpose" not in answer.raw and b"hunter2" not in answer.raw
    assert f"Error handling request GET /{path}" in server.log, server.log
    assert server.get("/pid").content == pid
    assert server.incidents(0) == []


@pytest.mark.rule(16)
def test_an_error_after_the_first_byte_cuts_the_answer(server):
    answer = server.get("/raising_after_bytes")
    assert answer.status == 200 and answer.body == b"5\r\nbegun\r\n"
    assert "ValueError: on purpose, too late" in server.log


@pytest.mark.rule(16, 20)
def test_an_iterable_that_fails_in_the_middle_cuts_the_answer_and_is_closed(server):
    answer = server.get("/closing_after_failure")
    assert not answer.body.endswith(b"0\r\n\r\n")
    assert "closing_after_failure" in closed_names(server)


@pytest.mark.rule(20)
@pytest.mark.parametrize("path", ["closing", "closing_before_first"])
def test_close_is_called_whatever_happened(server, path):
    server.get(f"/{path}")
    assert closed_names(server).count(path) == 1


@pytest.mark.rule(20)
def test_close_is_called_for_head(server):
    server.raw(b"HEAD /closing_for_head HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    poll(lambda: "closing_for_head" in closed_names(server), 5, "close()")


@pytest.mark.rule(16)
def test_a_body_longer_than_its_length_is_cut_there(server):
    answer = server.get("/long_body")
    assert answer.body == b"hello"


@pytest.mark.rule(16)
def test_a_body_shorter_than_its_length_ends_the_connection(server):
    answer = Answer(server.raw(b"GET /short_body HTTP/1.1\r\nHost: a\r\n\r\n", timeout=5))
    assert answer["Content-Length"] == "50" and answer.body == b"hello"


# ---- headers ----

def test_hop_by_hop_fields_of_the_application_are_left_out(server):
    answer = server.get("/hop_by_hop")
    assert answer["X-Kept"] == "1" and answer.content == b"x"
    assert answer["Keep-Alive"] is None and answer["Transfer-Encoding"] in (None, "chunked") and answer["Connection"] == "close"
    assert answer["Server"] != "mine"


@pytest.mark.rule(31)
def test_date_and_server_are_there_once(server):
    answer = server.get("/")
    assert len(answer.all("Date")) == 1 and len(answer.all("Server")) == 1


def test_two_fields_of_one_name_stay_two(server):
    assert server.get("/two_cookies").all("Set-Cookie") == ["a=1", "b=2"]


def test_latin_1_is_sent_as_it_is(server):
    answer = server.get("/latin")
    assert answer.status_line == "HTTP/1.1 200 Très bien" and answer["X-Latin"] == "café"


def test_an_unusual_status_is_sent(server):
    assert server.get("/status_unusual").status_line == "HTTP/1.1 299 Something Else"


def test_headers_are_as_they_were_when_start_response_was_called_or_when_sent(server):
    answer = server.get("/mutated_headers")
    assert answer["X-Before"] == "1" and answer.status == 200


@pytest.mark.rule(15)
@pytest.mark.parametrize(("path", "length"), [("status_204", None), ("status_304", "500")])
def test_statuses_without_a_body(server, path, length):
    answer = Answer(server.raw(f"GET /{path} HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()))
    assert answer["Content-Length"] == length and answer["Transfer-Encoding"] is None
    assert answer.body.startswith(b"HTTP/1.1 200 OK")  # nothing between the two answers


@pytest.mark.rule(15)
def test_a_body_with_204_is_dropped_and_warned_about(server):
    answer = server.get("/status_204_with_body")
    assert answer.status == 204 and answer.body == b""
    assert "body" in server.log and "[WARNING]" in server.log


# ---- wsgi.input ----

BODY = b"first line\nsecond\n\nlast without end"


@pytest.mark.rule(21)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ("read", [BODY.decode()]),
        ("read,read,readline", [BODY.decode(), "", ""]),
        ("read:5,read:100,read:5", ["first", BODY[5:].decode(), ""]),
        ("read:0,read:-1", ["", BODY.decode()]),
        ("readline,readline,readline,readline,readline", ["first line\n", "second\n", "\n", "last without end", ""]),
        ("readline:4,readline:0,readline", ["firs", "", "t line\n"]),
        ("readlines", [["first line\n", "second\n", "\n", "last without end"]]),
        ("iter,read", [["first line\n", "second\n", "\n", "last without end"], ""]),
        ("read:6,readline,iter", ["first ", "line\n", ["second\n", "\n", "last without end"]]),
    ],
)
def test_wsgi_input_reads_as_a_file_does(server, chunked, calls, expected):
    if chunked:
        framing, body = b"Transfer-Encoding: chunked", b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:3], BODY[3:20], BODY[20:])) + b"0\r\n\r\n"
    else:
        framing, body = b"Content-Length: %d" % len(BODY), BODY
    request = f"POST /input_calls?{calls} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n".encode() + framing + b"\r\n\r\n" + body
    assert json.loads(Answer(server.raw(request)).content) == expected


@pytest.mark.rule(21)
def test_wsgi_input_of_a_get_is_empty(server):
    assert json.loads(server.get("/input_calls?read,readline,iter").content) == ["", "", []]


# ---- the validator of the standard library ----

@pytest.mark.rule(20, 21)
@pytest.mark.parametrize("path", ["/", "/write", "/file", "/a%20b?x=%2F", "/%C3%A4"])
@pytest.mark.parametrize("mode", MODES)
def test_wsgiref_validate_has_nothing_to_object(serve, mode, path):
    server = serve("validated:app", *MODES[mode])
    body = b"ab\ncd\nef"
    for framing, sent in ((b"Content-Length: %d" % len(body), body), (b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))):
        answer = Answer(server.raw(b"POST " + path.encode() + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + framing + b"\r\n\r\n" + sent))
        written = b"written " if path == "/write" else b""
        assert answer.status == 200 and answer.content == written + body + b"!", server.log
    assert server.get(path).content == (b"written !" if path == "/write" else b"!"), server.log
    head = Answer(server.raw(b"HEAD " + path.encode() + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
    assert head.status == 200, server.log
    assert head.body == b""
    assert "AssertionError" not in server.log
    assert "checked" in server.log
