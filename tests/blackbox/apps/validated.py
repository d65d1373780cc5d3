"""An application between wsgiref's validator and the server: each breach of PEP 3333 is an AssertionError."""

import io
from wsgiref.validate import validator


@validator
def app(environ, start_response):
    stream = environ["wsgi.input"]
    body = stream.read(3) + stream.readline() + b"".join(stream)
    environ["wsgi.errors"].write("checked\n")
    environ["wsgi.errors"].flush()
    write = start_response("200 OK", [("Content-Type", "text/plain"), ("X-Method", environ["REQUEST_METHOD"])])
    if environ["PATH_INFO"] == "/write":
        write(b"written ")
    if environ["PATH_INFO"] == "/file":
        return environ["wsgi.file_wrapper"](io.BytesIO(body + b"!"), 4)
    return [body, b"!"]
