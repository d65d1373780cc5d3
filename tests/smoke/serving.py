"""A WSGI application with one behaviour a path."""

import time


def app(environ, start_response):
    path = environ["PATH_INFO"]
    text = [("Content-Type", "text/plain")]
    if path == "/echo":
        body = environ["wsgi.input"].read()
        start_response("200 OK", [*text, ("X-Bytes", str(len(body)))])
        return [body]
    if path == "/lines":
        lines = list(environ["wsgi.input"])
        start_response("200 OK", text)
        return [b"%d %s" % (len(lines), lines[-1] if lines else b"")]
    if path == "/chunks":
        start_response("200 OK", text)
        return (b"part %d\n" % i for i in range(3))
    if path == "/raise":
        raise ValueError("on purpose")
    if path == "/exit":
        raise SystemExit(3)
    if path == "/exc_info":
        import sys

        start_response("200 OK", [*text, ("X-Old", "1")])
        try:
            raise KeyError
        except KeyError:
            start_response("503 Sorry", [*text, ("X-New", "1")], sys.exc_info())
        return [b"sorry"]
    if path == "/split":
        start_response("200 OK", [*text, ("X-Bad", "a\r\nX-Injected: 1")])
        return [b""]
    if path == "/slow":
        time.sleep(1)
    if path == "/204":
        start_response("204 No Content", [])
        return []
    start_response("200 OK", [*text, ("Content-Length", "5")])
    return [b"hello"]
