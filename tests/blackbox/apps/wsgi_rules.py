"""One corner of PEP 3333 a path."""

import io
import json
import os
import sys
import tempfile
import time

TEXT = [("Content-Type", "text/plain")]
closed = []  # names of the iterables whose close() was called
notes = []  # [how it ended, bytes] of each body that noted_read has read


class Closing:
    """An iterable that notes its close()."""

    def __init__(self, name, parts, fail_after=None, pause_s=0):
        self.name, self.parts, self.fail_after, self.pause_s = name, parts, fail_after, pause_s

    def __iter__(self):
        for number, part in enumerate(self.parts):
            if self.fail_after == number:
                raise RuntimeError("an iterable that fails")
            if self.pause_s:
                time.sleep(self.pause_s)
            yield part

    def close(self):
        closed.append(self.name)


def exc_info_of(error):
    try:
        raise error
    except type(error):
        return sys.exc_info()


def started_twice(environ, start):
    start("200 OK", TEXT)
    start("200 OK", TEXT)
    return [b""]


def exc_info_before(environ, start):
    start("200 OK", [*TEXT, ("X-Old", "1")])
    start("503 Sorry", [*TEXT, ("X-New", "1")], exc_info_of(KeyError("x")))
    return [b"sorry"]


def exc_info_after(environ, start):
    write = start("200 OK", [*TEXT, ("Content-Length", "50")])
    write(b"begun")
    start("500 Too Late", TEXT, exc_info_of(KeyError("too late")))
    return [b"never sent"]


def written(environ, start):
    write = start("200 OK", TEXT)
    write(b"one ")
    write(b"two ")
    return [b"three"]


def written_with_length(environ, start):
    write = start("200 OK", [*TEXT, ("Content-Length", "7")])
    write(b"one ")
    return [b"two"]


def lazy(environ, start):
    def parts():
        start("202 Accepted", [*TEXT, ("X-Lazy", "1")])
        yield b"first "
        yield b""
        yield b"second"

    return parts()


def empty_parts(environ, start):
    start("200 OK", TEXT)
    return [b"", b"a", b"", b"b", b""]


def no_parts(environ, start):
    start("200 OK", TEXT)
    return []


def never_started(environ, start):
    return [b"body"]


def bad_replacement(environ, start):
    """A good answer, replaced by a bad one before anything was sent."""
    start("200 OK", TEXT)
    start("500 Bad", [("X-Bad", "a\r\nX-Injected: 1")], exc_info_of(KeyError("x")))
    return [b"never sent"]


def none_returned(environ, start):
    start("200 OK", TEXT)


def text_body(environ, start):
    start("200 OK", TEXT)
    return ["text"]


def long_body(environ, start):
    start("200 OK", [*TEXT, ("Content-Length", "5")])
    return [b"hello, and more than was promised"]


def short_body(environ, start):
    start("200 OK", [*TEXT, ("Content-Length", "50")])
    return [b"hello"]


def closing(environ, start):
    start("200 OK", TEXT)
    return Closing("closing", [b"a", b"b"])


def closing_after_failure(environ, start):
    start("200 OK", TEXT)
    return Closing("closing_after_failure", [b"a", b"b"], fail_after=1)


def closing_before_first(environ, start):
    start("200 OK", TEXT)
    return Closing("closing_before_first", [b"a"], fail_after=0)


def closing_for_head(environ, start):
    start("200 OK", TEXT)
    return Closing("closing_for_head", [b"a"])


def endless(environ, start):
    start("200 OK", TEXT)
    return Closing("endless", (b"x" * 65536 for _ in range(10**9)))


def closed_names(environ, start):
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(closed).encode()]


def hop_by_hop(environ, start):
    start("200 OK", [*TEXT, ("Connection", "upgrade"), ("Keep-Alive", "timeout=99"), ("Transfer-Encoding", "gzip"), ("Server", "mine"), ("X-Kept", "1")])
    return [b"x"]


def two_cookies(environ, start):
    start("200 OK", [*TEXT, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [b""]


def latin(environ, start):
    start("200 Tr\u00e8s bien", [*TEXT, ("X-Latin", "caf\u00e9")])
    return [b""]


def with_headers(*headers, status="200 OK"):
    def rule(environ, start):
        start(status, list(headers))
        return [b"x"]

    return rule


def mutated_headers(environ, start):
    headers = [*TEXT, ("X-Before", "1")]
    start("200 OK", headers)
    headers.append(("X-After", "1"))
    return [b"x"]


def raising(environ, start):
    raise ValueError("on purpose")


def raising_after_start(environ, start):
    start("200 OK", TEXT)
    raise ValueError("on purpose, later")


def raising_after_bytes(environ, start):
    start("200 OK", TEXT)(b"begun")
    raise ValueError("on purpose, too late")


def exiting(environ, start):
    raise SystemExit(3)


def interrupted(environ, start):
    raise KeyboardInterrupt


def status_204(environ, start):
    start("204 No Content", [])
    return []


def status_304(environ, start):
    start("304 Not Modified", [("ETag", '"x"'), ("Content-Length", "500")])
    return []


def status_204_with_body(environ, start):
    start("204 No Content", TEXT)
    return [b"a body that must not be"]


def input_calls(environ, start):
    """Read the body by the calls named in the query: read, read:5, readline, readline:4, readlines, iter."""
    stream, results = environ["wsgi.input"], []
    for call in environ["QUERY_STRING"].split(","):
        name, _, argument = call.partition(":")
        if name == "iter":
            results.append([line.decode("latin-1") for line in stream])
            continue
        value = getattr(stream, name)(*([int(argument)] if argument else []))
        results.append([line.decode("latin-1") for line in value] if isinstance(value, list) else value.decode("latin-1"))
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(results).encode()]


def echo(environ, start):
    body = environ["wsgi.input"].read()
    start("200 OK", [*TEXT, ("X-Bytes", str(len(body)))])
    return [body]


def noted_read(environ, start):
    """Read to the end, and note how that went for /notes."""
    done = 0
    try:
        while part := environ["wsgi.input"].read(8192):
            done += len(part)
        notes.append(["end", done])
    except BaseException as why:
        notes.append([type(why).__name__, done])
        raise
    start("200 OK", [*TEXT, ("Content-Length", "4")])
    return [b"read"]


def noted_notes(environ, start):
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(notes).encode()]


def one_line(environ, start):
    """Read the first line of a body and leave the rest."""
    line = environ["wsgi.input"].readline()
    start("200 OK", [*TEXT, ("Content-Length", str(len(line)))])
    return [line]


def own_date(environ, start):
    start("200 OK", [*TEXT, ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Server", "mine"), ("Content-Length", "1")])
    return [b"x"]


def status_1xx(environ, start):
    start("103 Early Hints", [("Link", "</a.css>; rel=preload"), ("Content-Length", "5")])
    return [b"hints"]


def status_304_with_body(environ, start):
    start("304 Not Modified", [("ETag", '"x"')])
    return [b"a body that must not be"]


def count(environ, start):
    """Read in pieces; say how much came and how much memory the process ever needed."""
    import resource

    total = 0
    while part := environ["wsgi.input"].read(65536):
        total += len(part)
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"bytes": total, "rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}).encode()]


def ignored(environ, start):
    start("200 OK", [*TEXT, ("Content-Length", "7")])
    return [b"ignored"]


def streamed(environ, start):
    """As many 1 KiB parts as the query says, or 10."""
    parts = int(environ["QUERY_STRING"] or 10)
    start("200 OK", TEXT)
    return (b"%07d" % n * 128 + b"x" * 128 for n in range(parts))


def sparse_file(environ, start):
    """50 MiB that nobody has to write first."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  (the server closes it)
    file.truncate(50 << 20)
    start("200 OK", [("Content-Type", "application/octet-stream")])
    return environ["wsgi.file_wrapper"](file)


def slowly(environ, start):
    def parts():
        for n in range(3):
            yield b"part %d\n" % n
            time.sleep(0.3)

    start("200 OK", TEXT)
    return parts()


def slept(environ, start):
    time.sleep(float(environ["QUERY_STRING"] or 1))
    start("200 OK", [*TEXT, ("Content-Length", "5")])
    return [b"slept"]


def frozen_write(environ, start):
    with open(os.environ["FROZEN"], "ab") as file:
        file.write(b"x" * 100_000)
        file.flush()
        os.fsync(file.fileno())


def wrapped_file(environ, start):
    """A temporary file of the size and from the offset of the query, e.g. 1000000:10."""
    size, _, offset = environ["QUERY_STRING"].partition(":")
    file = tempfile.TemporaryFile()  # noqa: SIM115  (the server closes it)
    file.write((bytes(range(251)) * (int(size) // 251 + 1))[: int(size)])
    file.seek(int(offset or 0))
    start("200 OK", [("Content-Type", "application/octet-stream")])
    return environ["wsgi.file_wrapper"](file, 8192)


def wrapped_file_with_length(environ, start):
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(b"0123456789")
    file.seek(2)
    start("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", "5")])
    return environ["wsgi.file_wrapper"](file)


def wrapped_buffer(environ, start):
    start("200 OK", [("Content-Type", "application/octet-stream")])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"from memory" * 1000), 100)


class NotedFile(io.FileIO):
    def close(self):
        if not self.closed:
            closed.append("noted_file")
        super().close()


def noted_file(environ, start):
    start("200 OK", [("Content-Type", "text/x-python")])
    return environ["wsgi.file_wrapper"](NotedFile(__file__))


def pid(environ, start):
    start("200 OK", TEXT)
    return [str(os.getpid()).encode()]


RULES = {
    **{name: value for name, value in list(globals().items()) if callable(value) and getattr(value, "__module__", "") == __name__},
    "injected_value": with_headers(("X-Bad", "a\r\nX-Injected: 1")),
    "injected_name": with_headers(("X-Bad\r\nX-Injected", "1")),
    "injected_status": with_headers(*TEXT, status="200 OK\r\nX-Injected: 1"),
    "bytes_value": with_headers(("X-Bad", b"bytes")),
    "number_value": with_headers(("X-Bad", 5)),
    "lf_in_value": with_headers(("X-Bad", "a\nX-Injected: 1")),
    "cr_in_value": with_headers(("X-Bad", "a\rX-Injected: 1")),
    "nul_in_value": with_headers(("X-Bad", "a\0")),
    "empty_name": with_headers(("", "X-Injected: 1")),
    "colon_in_name": with_headers(("X-Injected:", "1")),
    "nul_in_status": with_headers(*TEXT, status="200 O\0K"),
    "name_with_space": with_headers(("X Bad", "1")),
    "status_number": with_headers(*TEXT, status=200),
    "status_short": with_headers(*TEXT, status="20 OK"),
    "status_unusual": with_headers(*TEXT, status="299 Something Else"),
}


def app(environ, start_response):
    rule = RULES.get(environ["PATH_INFO"].strip("/"))
    if rule is None:
        start_response("200 OK", [*TEXT, ("Content-Length", "5")])
        return [b"hello"]
    return rule(environ, start_response)
