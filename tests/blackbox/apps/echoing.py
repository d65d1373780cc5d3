"""Says back what it got, so that a client knows whether its own request was answered."""

import hashlib
import time


def app(environ, start_response):
    """Answer "METHOD PATH LENGTH SHA1-OF-BODY"; ?SECONDS in the query makes it last."""
    if environ["QUERY_STRING"]:
        time.sleep(float(environ["QUERY_STRING"]))
    body = environ["wsgi.input"].read()
    text = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {len(body)} {hashlib.sha1(body).hexdigest()}".encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]
