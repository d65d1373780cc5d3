"""The PROXY protocol: the client is whom a trusted proxy names, for the whole connection and for nobody else."""

import json
import socket
import struct
import time

import pytest

from blackbox.support.answer import Answer, read_all

REQUEST = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11" + struct.pack(">H4s4sHH", 12, b"\xc0\x00\x02\x07", b"\xc6\x33\x64\x01", 56324, 443)
V2_LOCAL = b"\r\n\r\n\0\r\nQUIT\n" + b"\x20\x00\x00\x00"


def environ_after(server, first):
    """The environ of two requests behind `first`, which must be the same for both."""
    with server.connect() as client:
        client.sendall(first + REQUEST + LAST)
        answers = read_all(client)
    decoder = json.JSONDecoder()
    seen = [decoder.raw_decode(part.decode())[0] for part in answers.split(b"\r\n\r\n")[1:]]
    assert len(seen) == 2 and seen[1].pop("HTTP_CONNECTION") == "close" and seen[0] == seen[1], answers
    return seen[0]


@pytest.mark.parametrize(("mode", "header"), [("auto", V1), ("auto", V2), ("v1", V1), ("v2", V2)])
def test_the_client_is_whom_the_header_names(serve, mode, header):
    server = serve("environ_app:app", "--proxy-protocol", mode, "--access-logfile", "-")
    environ = environ_after(server, header)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("192.0.2.7", "56324")
    assert (environ["PROXY_PROTOCOL"], environ["PROXY_ADDR"], environ["PROXY_PORT"]) == ("TCP4", "198.51.100.1", "443")
    assert server.stop() == 0
    assert server.out.startswith("192.0.2.7 - - ")


@pytest.mark.parametrize("first", [b"", b"PROXY UNKNOWN\r\n", V2_LOCAL], ids=["none", "unknown", "local"])
def test_without_a_name_the_client_is_the_peer(serve, first):
    environ = environ_after(serve("environ_app:app", "--proxy-protocol", "auto"), first)
    assert environ["REMOTE_ADDR"] == "127.0.0.1" and "PROXY_PROTOCOL" not in environ


def test_a_header_in_small_pieces_is_read(serve):
    server = serve("environ_app:app", "--proxy-protocol", "auto")
    with server.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(V1), 7):
            client.sendall(V1[at : at + 7])
            time.sleep(0.01)  # so that the pieces are read apart
        client.sendall(LAST)
        assert json.loads(Answer(read_all(client)).content)["REMOTE_ADDR"] == "192.0.2.7"


@pytest.mark.parametrize(("options", "first", "status"), [
    (("--proxy-protocol", "auto", "--proxy-allow-from", "10.0.0.0/8"), V1, 403),
    (("--proxy-protocol", "auto", "--proxy-allow-from", "10.0.0.0/8"), V2, 403),
    (("--proxy-protocol", "auto"), b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", 400),
    (("--proxy-protocol", "auto"), V2.replace(b"\x21\x11", b"\x2f\x11"), 400),
    (("--proxy-protocol", "auto"), V1 + V1, 400),
    (("--proxy-protocol", "v2"), V1, 400),
    ((), V1, 400),
    ((), V2, 400),
])
def test_what_is_not_allowed_or_not_one_is_refused(serve, options, first, status):
    server = serve("environ_app:app", *options)
    answer = Answer(server.raw(first + LAST))
    assert answer.status == status and answer["Connection"] == "close"
    assert "Invalid request from ip=" in server.log


def test_the_scheme_is_believed_of_the_peer_not_of_the_named_client(serve):
    server = serve("environ_app:app", "--proxy-protocol", "auto", "--forwarded-allow-ips", "192.0.2.7")
    with server.connect() as client:
        client.sendall(V1 + LAST.replace(b"Host: a\r\n", b"Host: a\r\nX-Forwarded-Proto: https\r\n"))
        assert json.loads(Answer(read_all(client)).content)["wsgi.url_scheme"] == "http"
