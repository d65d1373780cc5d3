"""One kind of trouble a path. The line a report must name ends in `# <- here`, in the function of the same name."""

import ctypes
import hashlib
import os
import re
import signal
import socket
import subprocess
import threading
import time

taken = threading.Lock()
taken.acquire()
helper = threading.Event()


def peer():
    host, port = os.environ["HANG_PEER"].rsplit(":", 1)
    return host, int(port)


def sleep():
    time.sleep(60)  # <- here


def compute():
    total = 0
    while True: total += 1  # <- here


def regex():
    return re.match(r"(a+)+$", "a" * 40 + "b")  # <- here


def digest():
    return hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 10**9)  # <- here


def lock():
    taken.acquire()  # <- here


def child():
    subprocess.run(["sleep", "60"], check=True)  # <- here


def silent():
    with socket.create_connection(peer()) as upstream:
        upstream.sendall(b"how are you?\n")
        return upstream.recv(1)  # <- here


def connect():
    return socket.create_connection(peer())  # <- here


def postgres():
    import psycopg2

    with psycopg2.connect(os.environ["HANG_POSTGRES"]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(60)")  # <- here


def redis():
    import redis

    client = redis.Redis(*peer())
    return client.blpop("nothing-ever-comes")  # <- here


def stopped():
    os.kill(os.getpid(), signal.SIGSTOP)  # <- here


def killed():
    helper.wait(60)  # <- here


def segv():
    return ctypes.string_at(0)  # <- here


def abort():
    os.abort()  # <- here


def leave():
    os._exit(7)  # <- here


def memory():
    hoard = []
    while True:
        hoard.append(bytearray(b"x") * 2**20)  # <- here
        time.sleep(0.005)


TROUBLE = {f"/{made.__name__}": made for made in (
    sleep, compute, regex, digest, lock, child, silent, connect, postgres, redis, stopped, killed, segv, abort, leave,
    memory)}


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(float(environ["QUERY_STRING"]))
    if path in TROUBLE:
        TROUBLE[path]()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"pid %d" % os.getpid()]
