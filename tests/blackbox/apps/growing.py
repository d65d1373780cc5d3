"""A WSGI application that keeps what it is told to: /grow/MEGABYTES. Every answer is the worker's pid."""

import os

KEPT = []


def app(environ, start_response):
    _, kind, *numbers = environ["PATH_INFO"].split("/")
    if kind == "grow":
        KEPT.append(os.urandom(1 << 20) * int(numbers[0]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
