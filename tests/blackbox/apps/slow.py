"""A WSGI application whose requests take the time their path says: /sleep/SECONDS, /two/SECONDS/SECONDS, /spin/SECONDS."""

import time


def rest(seconds):
    time.sleep(seconds)  # <- rest


def rest_elsewhere(seconds):
    time.sleep(seconds)  # <- rest_elsewhere


def spin(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass  # <- spin


def app(environ, start_response):
    _, kind, *numbers = environ["PATH_INFO"].split("/")
    seconds = [float(number) for number in numbers]
    if kind == "sleep":
        rest(seconds[0])
    elif kind == "two":
        rest(seconds[0])
        rest_elsewhere(seconds[1])
    elif kind == "spin":
        spin(seconds[0])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done\n"]
