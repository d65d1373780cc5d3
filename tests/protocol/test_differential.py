"""What we accept, llhttp (httptools) and h11 accept with the same meaning.

Recorded connections and mutations of them go through `h1_probe` (build preset fuzz; its path in
TRICORN_H1_PROBE) and through both foreign parsers. We may refuse more than they do; we may never
accept a request that one of them reads as another.
"""

import json
import os
import pathlib
import random
import subprocess

import pytest

httptools = pytest.importorskip("httptools")
h11 = pytest.importorskip("h11")

PROBE = os.environ.get("TRICORN_H1_PROBE")
HERE = pathlib.Path(__file__).parent
MUTATIONS = int(os.environ.get("TRICORN_DIFFERENTIAL_MUTATIONS", "20000"))
pytestmark = pytest.mark.skipif(not PROBE, reason="TRICORN_H1_PROBE names no h1_probe")

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
        yield bytes(content)


def understood_by_us(inputs):
    stream = b"".join(b"%d\n" % len(each) + each for each in inputs)
    lines = subprocess.run([PROBE], input=stream, stdout=subprocess.PIPE, check=True).stdout.splitlines()
    return [json.loads(line)["transcript"] for line in lines]


def first_request(transcript):
    """(method, path, query, body) of the first request, or None when we refused or await more."""
    if not transcript or transcript.startswith(("refused", "broken")):
        return None
    method, path, query, _keep, rest = transcript.split(" ", 4)
    return method, path, "" if query == "-" else query, rest.removeprefix("[")


class Llhttp:
    """One request by llhttp; `body` is None until it is complete."""

    def __init__(self, content):
        self.target, self.parts, self.body = b"", [], None
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(content)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            pass  # what came after the first request

    def on_url(self, url):
        if self.body is None:
            self.target += url

    def on_body(self, part):
        if self.body is None:
            self.parts.append(part)

    def on_message_complete(self):
        if self.body is None:
            self.body = b"".join(self.parts)


def by_h11(content):
    """(method, target, body) of the first request, None when h11 refuses it or awaits more."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(content)
    target = method = None
    body = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                method, target = event.method.decode("latin-1"), event.target.decode("latin-1")
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return method, target, body.decode("latin-1")
            else:
                return None
    except h11.RemoteProtocolError:
        return None


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


def inputs():
    seeds = list(recorded())
    return seeds + list(mutated(seeds, MUTATIONS, seed=7))


def body_matches(ours, theirs):
    # The transcript goes on behind the body with "]" and the next request.
    return ours.startswith(theirs + "]\n")


def test_h11_never_reads_another_request_than_we_do():
    everything = inputs()
    disagreements = []
    compared = 0
    for content, transcript in zip(everything, understood_by_us(everything)):
        ours = first_request(transcript)
        theirs = by_h11(content)
        if ours is None or theirs is None:
            continue
        compared += 1
        method, path, query, body = ours
        if method != theirs[0] or not same_target(target_of(path, query), theirs[1]) or not body_matches(body, theirs[2]):
            disagreements.append((content, ours, theirs))
    assert compared > len(everything) // 20
    assert not disagreements, disagreements[:5]


def test_llhttp_never_reads_another_request_than_we_do():
    everything = inputs()
    disagreements = []
    compared = 0
    for content, transcript in zip(everything, understood_by_us(everything)):
        ours = first_request(transcript)
        if ours is None:
            continue
        theirs = Llhttp(content)
        if theirs.body is None:
            continue
        compared += 1
        method, path, query, body = ours
        if method == "CONNECT":  # llhttp takes what follows for the tunnel; we end the connection
            continue
        target = theirs.target.decode("latin-1")
        if not same_target(target_of(path, query), target) or not body_matches(body, theirs.body.decode("latin-1")):
            disagreements.append((content, ours, target, theirs.body))
    assert compared > len(everything) // 20
    assert not disagreements, disagreements[:5]
