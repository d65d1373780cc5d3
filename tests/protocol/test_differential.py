"""What we accept, llhttp (httptools) and h11 accept with the same meaning.

Recorded connections and mutations of them go through `h1_probe` (built with the tests; its path in
TRICORN_H1_PROBE) and through both foreign parsers. We may refuse more than they do; we may never
accept a request that one of them reads as another, and what they refuse only for a reason listed in
docs/http-differences.md.
"""

import json
import os
import pathlib
import random
import subprocess

import h11
import httptools
import pytest

PROBE = os.environ.get("TRICORN_H1_PROBE")
HERE = pathlib.Path(__file__).parent
MUTATIONS = int(os.environ.get("TRICORN_DIFFERENTIAL_MUTATIONS", "4000"))
pytestmark = pytest.mark.skipif(not PROBE, reason="SKIPPED LOUDLY: TRICORN_H1_PROBE names no h1_probe; `make differential` does")

PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b";", b",", b"0\r\n\r\n", b"5\r\nhello\r\n", b"chunked",
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Connection: close\r\n",
    b"Host: b\r\n", b"GET /z HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.0", b"\xff", b"+", b"-", b"0x", b"_", b'"', b"identity",
]


def recorded():
    for path in sorted(HERE.glob("*.http")):
        content = path.read_bytes()
        if len(content) <= 700:
            yield content


def mutated(seeds, count, seed):
    chance = random.Random(seed)
    for _ in range(count):
        content = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(content) + 1)
            kind = chance.randrange(4)
            if kind == 0:
                content[at:at] = chance.choice(PIECES)
            elif kind == 1:
                del content[at : at + chance.randint(1, 8)]
            elif kind == 2:
                content[at : at + 1] = bytes([chance.randrange(256)])
            else:
                other = chance.choice(seeds)
                content[at:] = other[chance.randrange(len(other)) :]
        if content:
            yield bytes(content)


@pytest.fixture(scope="module")
def compared():
    """(bytes, our understanding of the first request, whether it was the same however they were cut) of all inputs."""
    seeds = list(recorded())
    inputs = seeds + list(mutated(seeds, MUTATIONS, seed=7))
    stream = b"".join(b"%d\n" % len(each) + each for each in inputs)
    lines = subprocess.run([PROBE], input=stream, stdout=subprocess.PIPE, check=True).stdout.splitlines()
    assert len(lines) == len(inputs)
    understood = [json.loads(line) for line in lines]
    return [(content, first_request(one["transcript"]), one["alike"]) for content, one in zip(inputs, understood)]


def first_request(transcript):
    """(method, path, query, body) of the first request, or None when we refused or await more."""
    if not transcript or transcript.startswith(("refused", "broken")):
        return None
    method, path, query, _keep, rest = transcript.split(" ", 4)
    return method, path, "" if query == "-" else query, rest.removeprefix("[")


class Llhttp:
    """One request by llhttp; `body` is None until it is complete, `refusal` says why it never is."""

    def __init__(self, content):
        self.target, self.parts, self.body, self.refusal = b"", [], None, None
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(content)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as why:
            if self.body is None:  # else it is about what came after the first request
                self.refusal = str(why)

    def on_url(self, url):
        if self.body is None:
            self.target += url

    def on_body(self, part):
        if self.body is None:
            self.parts.append(part)

    def on_message_complete(self):
        if self.body is None:
            self.body = b"".join(self.parts)


class H11:
    """One request by h11; `body` is None until it is complete, `refusal` says why it never is."""

    def __init__(self, content):
        self.method, self.target, self.body, self.refusal = None, None, None, None
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(content)
        parts = []
        try:
            while (event := connection.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Request):
                    self.method, self.target = event.method.decode("latin-1"), event.target.decode("latin-1")
                elif isinstance(event, h11.Data):
                    parts.append(bytes(event.data))
                else:
                    assert isinstance(event, h11.EndOfMessage), event
                    self.body = b"".join(parts)
                    return
        except h11.RemoteProtocolError as why:
            self.refusal = str(why)


def target_of(path, query):
    return path + ("?" + query if query else "")


def same_target(ours, theirs):
    """Theirs is as sent; ours is split, and of an absolute form only path and query are left."""
    theirs = theirs.rstrip("?") if not ours.endswith("?") else theirs
    if "://" in theirs and not theirs.startswith("/"):
        rest = theirs.split("://", 1)[1]
        cut = min([at for at in (rest.find("/"), rest.find("?")) if at >= 0], default=len(rest))
        theirs = rest[cut:] if rest[cut:].startswith("/") else "/" + rest[cut:]
        return ours in (theirs, "*")
    return ours == theirs


def body_matches(ours, theirs):
    # The transcript goes on behind the body with "]" and the next request.
    return ours.startswith(theirs.decode("latin-1") + "]\n")


def test_every_input_means_the_same_however_it_is_cut(compared):
    assert [content for content, _, alike in compared if not alike] == []


def test_h11_never_reads_another_request_than_we_do(compared):
    disagreements = []
    both = 0
    for content, ours, _ in compared:
        theirs = H11(content)
        if ours is None or theirs.body is None:
            continue
        both += 1
        method, path, query, body = ours
        if method != theirs.method or not same_target(target_of(path, query), theirs.target) or not body_matches(body, theirs.body):
            disagreements.append((content, ours, theirs.target, theirs.body))
    assert both > len(compared) // 20
    assert not disagreements, disagreements[:5]


def test_llhttp_never_reads_another_request_than_we_do(compared):
    disagreements = []
    both = 0
    for content, ours, _ in compared:
        if ours is None or ours[0] == "CONNECT":  # llhttp takes what follows for the tunnel; we end the connection
            continue
        theirs = Llhttp(content)
        if theirs.body is None:
            continue
        both += 1
        _, path, query, body = ours
        target = theirs.target.decode("latin-1")
        if not same_target(target_of(path, query), target) or not body_matches(body, theirs.body):
            disagreements.append((content, ours, target, theirs.body))
    assert both > len(compared) // 20
    assert not disagreements, disagreements[:5]


# The last paragraph of docs/http-differences.md, in the words of the parser that refuses.
REFUSED_ONLY_BY_H11 = ("Only Transfer-Encoding: chunked is supported", "no request line received", "illegal chunk header: ")
REFUSED_ONLY_BY_LLHTTP = ("Invalid method encountered", "Expected space after method", "Invalid HTTP version", "Invalid character in chunk size")


@pytest.mark.parametrize(("parser", "listed"), [(H11, REFUSED_ONLY_BY_H11), (Llhttp, REFUSED_ONLY_BY_LLHTTP)])
def test_what_only_we_accept_is_written_down(compared, parser, listed):
    whole = [(content, parser(content).refusal) for content, ours, _ in compared if ours is not None and "]\n" in ours[3]]
    refused = [(content, why) for content, why in whole if why is not None]
    assert [(content, why) for content, why in refused if not why.startswith(listed)] == []
    assert {reason for reason in listed if any(why.startswith(reason) for _, why in refused)} == set(listed), "no longer so: strike it out"
