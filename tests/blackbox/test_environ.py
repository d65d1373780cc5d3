"""The environ of a request is the one Gunicorn's users know."""

import json
import re
import socket

import pytest

from blackbox.support.answer import Answer, read_all
from blackbox.support.site import MODES
from blackbox.support.waiting import poll


def environ_of(server, target="/", fields="", method="GET", body=b"", version="1.1"):
    request = f"{method} {target} HTTP/{version}\r\nHost: example.org:81\r\nConnection: close\r\n{fields}\r\n".encode("latin-1") + body
    return json.loads(Answer(server.raw(request)).content)


@pytest.mark.rule(27)
@pytest.mark.parametrize("mode", MODES)
def test_all_keys_are_there_with_their_values(serve, mode):
    server = serve("environ_app:app", *MODES[mode])
    environ = environ_of(
        server, "/caf%C3%A9/a%2Fb;p=1?x=1&y=%20", "Content-Type: text/plain\r\nContent-Length: 3\r\nX-One: a\r\nX-Two: b\r\nX-One: c\r\n", "POST", b"abc")
    expected = {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/caf\u00c3\u00a9/a/b;p=1", "QUERY_STRING": "x=1&y=%20",
        "RAW_URI": "/caf%C3%A9/a%2Fb;p=1?x=1&y=%20", "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": str(server.port),
        "REMOTE_ADDR": "127.0.0.1", "CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "3", "HTTP_HOST": "example.org:81",
        "HTTP_X_ONE": "a,c", "HTTP_X_TWO": "b", "HTTP_CONNECTION": "close", "wsgi.version": [1, 0], "wsgi.url_scheme": "http",
        "wsgi.multithread": mode == "gthread", "wsgi.multiprocess": False, "wsgi.run_once": False, "wsgi.input_terminated": True,
    }
    assert {key: environ.get(key) for key in expected} == expected
    assert re.fullmatch(r"\d+", environ["REMOTE_PORT"])
    assert {"SERVER_SOFTWARE", "wsgi.input", "wsgi.errors", "wsgi.file_wrapper"} <= environ.keys()
    assert "HTTP_CONTENT_TYPE" not in environ and "HTTP_CONTENT_LENGTH" not in environ
    poll(lambda: "a word to wsgi.errors\n" in server.log, 5, "the word in the error log")


@pytest.mark.rule(27)
@pytest.mark.parametrize(
    ("target", "path", "query"),
    [("//a", "//a", ""), ("//a/b?//c", "//a/b", "//c"), ("/%2541", "/%41", ""), ("/a%2fb%3Fc?d%2f", "/a/b?c", "d%2f"), ("/%E4", "/\u00e4", ""),
     ("/%zz%4", "/%zz%4", ""), ("/?", "/", ""), ("/a;b?c?d", "/a;b", "c?d")],
)
def test_the_target_is_cut_and_decoded_once(serve, target, path, query):
    environ = environ_of(serve("environ_app:app"), target)
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["RAW_URI"]) == (path, query, target)


@pytest.mark.rule(29)
def test_of_two_names_with_one_key_the_one_with_the_underscore_is_dropped(serve):
    server = serve("environ_app:app")
    for fields in ("X-A: dash\r\nX_A: under\r\n", "X_A: under\r\nX-A: dash\r\n"):
        assert environ_of(server, fields=fields)["HTTP_X_A"] == "dash"
    assert "HTTP_CONTENT_LENGTH" not in environ_of(server, fields="Content_Length: 5\r\n")


def test_no_key_is_left_over_from_an_earlier_request(serve):
    server = serve("environ_app:app")
    with server.connect() as client:
        client.sendall(b"POST /a?q=1 HTTP/1.1\r\nHost: a\r\nX-Old: 1\r\nContent-Type: a/b\r\nContent-Length: 1\r\n\r\nx")
        client.recv(65536)
        client.sendall(b"GET /b HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n")
        second = json.loads(Answer(read_all(client)).content)
    assert second["QUERY_STRING"] == "" and second["PATH_INFO"] == "/b" and second["HTTP_HOST"] == "b"
    assert not {"HTTP_X_OLD", "CONTENT_TYPE", "CONTENT_LENGTH"} & second.keys()


def test_multiprocess_is_true_with_two_workers(serve):
    assert environ_of(serve("environ_app:app", "-w", "2"))["wsgi.multiprocess"] is True


def test_the_request_line_may_be_of_1_0(serve):
    environ = environ_of(serve("environ_app:app"), version="1.0")
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"


@pytest.mark.rule(26)
def test_absolute_form(serve):
    environ = environ_of(serve("environ_app:app"), "http://other.example/p?q=1")
    assert environ["PATH_INFO"] == "/p" and environ["QUERY_STRING"] == "q=1"
    assert environ["HTTP_HOST"] == "other.example"


@pytest.mark.rule(29)
def test_names_with_underscores_are_dropped_by_default(serve):
    environ = environ_of(serve("environ_app:app", "--forwarded-allow-ips", "10.0.0.1"), fields="X_Under: 1\r\nX-Dash: 2\r\nScript_Name: /x\r\n")
    assert "HTTP_X_UNDER" not in environ and environ["HTTP_X_DASH"] == "2" and environ["SCRIPT_NAME"] == ""


def test_script_name_of_the_environment_and_of_a_trusted_proxy(serve):
    server = serve("environ_app:app", env={"SCRIPT_NAME": "/base"})
    environ = environ_of(server, "/base/x")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/base", "/x")
    environ = environ_of(server, "/other/x", "SCRIPT_NAME: /other\r\n")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/other", "/x")
    assert Answer(server.raw(b"GET /elsewhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).status == 500


@pytest.mark.parametrize(("allowed", "scheme"), [("127.0.0.1", "https"), ("10.0.0.1", "http"), ("*", "https"), ("127.0.0.0/8", "https")])
def test_the_scheme_is_believed_of_trusted_peers_only(serve, allowed, scheme):
    server = serve("environ_app:app", "--forwarded-allow-ips", allowed)
    environ = environ_of(server, fields="X-Forwarded-Proto: https\r\nX-Forwarded-For: 1.2.3.4\r\n")
    assert environ["wsgi.url_scheme"] == scheme
    assert environ["REMOTE_ADDR"] == "127.0.0.1"


def test_contradictory_schemes_are_refused(serve):
    server = serve("environ_app:app")
    assert server.get("/", "X-Forwarded-Proto: https", "X-Forwarded-Ssl: off").status == 400


def test_over_a_unix_socket(serve, tmp_path):
    path = tmp_path / "socket"
    server = serve("environ_app:app", "-b", f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(b"GET /x HTTP/1.1\r\nHost: site.example:8080\r\nConnection: close\r\n\r\n")
        environ = json.loads(Answer(read_all(client)).content)
    assert environ["REMOTE_ADDR"] == "" and "REMOTE_PORT" not in environ
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("site.example", "8080")
    assert server.stop() == 0
    assert not path.exists()


def test_the_process_has_the_environment_asked_for(serve, tmp_path):
    environ = environ_of(serve("environ_app:app", "-e", "FIRST=1", "--env", "SECOND=two=2"))
    assert environ["process"]["FIRST"] == "1" and environ["process"]["SECOND"] == "two=2"


def test_over_ipv6(serve):
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as probe:
            port = probe.getsockname()[1]
    except OSError:
        pytest.skip("SKIPPED LOUDLY: no IPv6 here")
    server = serve("environ_app:app", "-b", f"[::1]:{port}")
    with socket.create_connection(("::1", port), 10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        environ = json.loads(Answer(read_all(client)).content)
    assert environ["REMOTE_ADDR"] == "::1" and environ["SERVER_NAME"] == "::1" and environ["SERVER_PORT"] == str(port)
    assert f"http://[::1]:{port}" in server.log
