"""One kind of trouble a path; the line to be named ends in `# <- path`."""

import ctypes
import hashlib
import os
import re
import signal
import socket
import subprocess
import threading
import time

silent = socket.create_server(("127.0.0.1", 0))
taken = threading.Lock()
taken.acquire()


def slept():
    time.sleep(60)  # <- sleep


def computed():
    n = 0
    while True:
        n += 1  # <- compute


def matched():
    re.match(r"(a+)+$", "a" * 40 + "b")  # <- regex


def hashed():
    hashlib.pbkdf2_hmac("sha256", b"p" * 64, b"salt", 10**9)  # <- hash


def locked():
    taken.acquire()  # <- lock


def waited():
    with socket.create_connection(silent.getsockname()) as upstream:
        upstream.recv(1)  # <- network


def delegated():
    subprocess.run(["sleep", "60"])  # <- subprocess


def crashed():
    ctypes.string_at(0)  # <- segv


def aborted():
    os.abort()  # <- abort


def exited():
    os._exit(7)  # <- exit


def stopped():
    os.kill(os.getpid(), signal.SIGSTOP)  # <- stop


def killed():
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)  # <- kill


TROUBLE = {
    "/sleep": slept, "/compute": computed, "/regex": matched, "/hash": hashed, "/lock": locked, "/network": waited,
    "/subprocess": delegated, "/segv": crashed, "/abort": aborted, "/exit": exited, "/stop": stopped, "/kill": killed,
}


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/half":
        write = start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
        write(b"hello")
        time.sleep(60)
    if path == "/second":
        time.sleep(float(environ["QUERY_STRING"] or 0))
    if path in TROUBLE:
        TROUBLE[path]()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"fine"]
