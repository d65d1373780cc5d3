"""Views that fork, as applications do: some children come back, most must not be touched."""

import itertools
import multiprocessing
import os
import subprocess
import sys
import time


def app(environ, start_response):
    """Serve one kind of fork a path."""
    view = globals()[environ["PATH_INFO"].strip("/") or "index"]
    return view(start_response)


def _ok(start_response, text):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{text}".encode()]


def index(start_response):
    """Fork nothing."""
    return _ok(start_response, os.getpid())


def twin(start_response):
    """Fork, and forget to leave in the child."""
    pid = os.fork()
    return _ok(start_response, f"{os.getpid()} {pid}")


def raising(start_response):
    """Fork; the child fails."""
    if os.fork() == 0:
        raise LookupError("of the child")
    return _ok(start_response, os.getpid())


def stream(start_response):
    """Fork in the middle of a response of known length."""
    start_response("200 OK", [("Content-Length", "15")])
    for number in itertools.count():
        if number == 1:
            os.fork()
        if number == 3:
            return
        yield b"part\n"


def chunks(start_response):
    """Fork at the very end of a response whose length nobody knows."""
    start_response("200 OK", [])
    yield b"part"
    os.fork()


def lasting(start_response):
    """Fork a child that outlives the server."""
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    return _ok(start_response, f"{os.getpid()} {pid}")


def _work(queue):
    time.sleep(0.1)
    queue.put(os.getpid())


def workers(start_response):
    """Use children that know where they end."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_work, args=(queue,))
    child.start()
    other = queue.get(timeout=10)
    child.join(10)
    said = subprocess.run([sys.executable, "-c", "print('said')"], capture_output=True, text=True, check=True).stdout.strip()
    plain = os.fork()
    if plain == 0:
        os._exit(3)
    aborted = os.fork()
    if aborted == 0:
        os.abort()
    codes = os.waitpid(plain, 0)[1] >> 8, os.waitpid(aborted, 0)[1] & 0x7F
    return _ok(start_response, f"{other == child.pid} {child.exitcode} {said} {codes[0]} {codes[1]}")
