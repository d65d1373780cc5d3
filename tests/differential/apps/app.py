"""Applications the scenarios serve."""

import json
import os
import sys
import time

SHOWN = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "RAW_URI", "SERVER_PROTOCOL", "SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR",
         "CONTENT_TYPE", "CONTENT_LENGTH", "wsgi.url_scheme", "wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.version", "wsgi.input_terminated")


def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/").split("/")[0] or "index"
    return PAGES.get(name, missing)(environ, start_response)


def text(start_response, body, status="200 OK", *fields):
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *fields])
    return [body]


def index(environ, start_response):
    return text(start_response, b"hello")


def missing(environ, start_response):
    return text(start_response, b"nothing here", "404 Not Found")


def failing(environ, start_response):
    raise ValueError("on purpose")


def failing_late(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10")])
    yield b"begun"
    raise ValueError("in the middle")


def failing_after_start(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    raise ValueError("before a byte")


def replaced(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        raise ValueError("found late")
    except ValueError:
        start_response("503 Service Unavailable", [("Content-Type", "text/plain"), ("Content-Length", "4")], sys.exc_info())
    return [b"late"]


def never_started(environ, start_response):
    return [b"no start_response"]


def started_twice(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    start_response("200 OK", [("Content-Length", "0")])
    return []


def leaving(environ, start_response):
    sys.exit(7)


def environment(environ, start_response):
    shown = {name: environ[name] for name in SHOWN if name in environ}
    shown.update({name: value for name, value in environ.items() if name.startswith("HTTP_")})
    return text(start_response, json.dumps(shown, sort_keys=True, default=str, indent=1).encode())


def keys(environ, start_response):
    return text(start_response, json.dumps(sorted((name, type(value).__name__) for name, value in environ.items() if isinstance(value, (str, bool, int, tuple))), indent=1).encode())


def process(environ, start_response):
    shown = {"cwd": os.getcwd(), "path0": sys.path[0], "env": {name: os.environ.get(name) for name in ("ONE", "TWO")}, "software": os.environ["SERVER_SOFTWARE"].count("/"), "umask": oct(os.umask(os.umask(0) or 0)), "argv": sys.argv[1:2]}
    return text(start_response, json.dumps(shown, sort_keys=True, indent=1).encode())


def echo(environ, start_response):
    return text(start_response, environ["wsgi.input"].read())


def lines(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"one ", b"two ", b"three"]


def generated(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one "
    yield b""
    yield b"two"


def written(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "7")])
    write(b"wri")
    return [b"tten"]


def empty(environ, start_response):
    start_response("204 No Content", [])
    return []


def not_modified(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"x"')])
    return []


def hop(environ, start_response):
    return text(start_response, b"hop", "200 OK", ("Connection", "keep-alive"), ("Server", "mine"), ("Date", "never"), ("Keep-Alive", "5"))


def cookies(environ, start_response):
    return text(start_response, b"", "200 Fine By Me", ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))


def too_long(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"longer than three"]


def bad_header(environ, start_response):
    return text(start_response, b"", "200 OK", ("X-Bad", "a\r\nb"))


def bad_header_name(environ, start_response):
    return text(start_response, b"", "200 OK", ("X Bad", "a"))


def printing(environ, start_response):
    print("printed by the application", flush=True)
    environ["wsgi.errors"].write("written to wsgi.errors\n")
    return text(start_response, b"printed")


def slow(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"] or "1"))
    return text(start_response, b"slow")


def file(environ, start_response):
    handle = open(__file__, "rb")
    size = os.fstat(handle.fileno()).st_size
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(size))])
    return environ["wsgi.file_wrapper"](handle)


PAGES = {name: value for name, value in list(globals().items()) if callable(value) and name not in ("app", "text", "missing")}
application = app
nothing = None
not_callable = 5


def factory(word="factory", times=1):
    return lambda environ, start_response: text(start_response, (word * times).encode())


class Holder:
    app = staticmethod(app)


holder = Holder()
