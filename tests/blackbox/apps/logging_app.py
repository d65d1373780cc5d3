"""Says little to the client and what is asked for to the logs."""

import sys
import time


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/errors":
        environ["wsgi.errors"].write("e" * 2000 + "\n")
    elif path == "/print":
        print("printed to stdout")
        print("printed to stderr", file=sys.stderr)
    elif path == "/raise":
        raise ValueError("a fault of the application")
    elif path == "/slow":
        time.sleep(0.25)
    elif path == "/hang":
        time.sleep(60)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3"), ("X-Answer", 'the "answer"')])
    return [b"ok\n"]
