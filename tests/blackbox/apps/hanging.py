"""A Flask application with one kind of trouble a path. The line that a report must name ends in `# <- path`.

Peers come by the environment: SILENT, UNREACHABLE (host:port), PG_DSN, REDIS_PORT.
"""

import ctypes
import faulthandler
import hashlib
import mmap
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
import zlib

import flask


def address_of(name):
    host, port = os.environ[name].rsplit(":", 1)
    return host, int(port)


def sleep():
    time.sleep(60)  # <- sleep


def compute():
    n = 0
    while True:
        n += n % 7; n ^= 1; n %= 1_000_003  # <- compute


def compute_deep():
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)  # <- compute_deep

    fibonacci(60)


def regex():
    re.match(r"(a+)+$", "a" * 40 + "b")  # <- regex


def regex_later():
    time.sleep(0.2)
    regex()


def big_sum():
    sum(range(10**12))  # <- big_sum


def key_stretching():
    hashlib.pbkdf2_hmac("sha256", b"password" * 8, b"salt", 10**9)  # <- key_stretching


def compress():
    # Pages that were never written take no memory, and there is enough for minutes.
    zeros = mmap.mmap(-1, 64 << 30, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    zlib.compress(zeros, 9)  # <- compress


def query_postgresql():
    import psycopg2

    with psycopg2.connect(os.environ["PG_DSN"]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(60)")  # <- query_postgresql


def row_lock():
    import psycopg2

    first, second = psycopg2.connect(os.environ["PG_DSN"]), psycopg2.connect(os.environ["PG_DSN"])
    first.cursor().execute("SELECT pg_advisory_lock(7)")
    second.cursor().execute("SELECT pg_advisory_lock(7)")  # <- row_lock


def pop_redis():
    import redis

    redis.Redis(port=int(os.environ["REDIS_PORT"])).blpop("nothing-ever-comes", timeout=60)  # <- pop_redis


def query_mysql():
    import pymysql

    host, port = address_of("SILENT")
    pymysql.connect(host=host, port=port, user="tricorn", read_timeout=60)  # <- query_mysql


def receive():
    with socket.create_connection(address_of("SILENT")) as upstream:
        upstream.recv(1)  # <- receive


def receive_with_timeout():
    with socket.create_connection(address_of("SILENT")) as upstream:
        upstream.settimeout(60)
        upstream.recv(1)  # <- receive_with_timeout


def call_upstream():
    urllib.request.urlopen("http://{}:{}/".format(*address_of("SILENT")), timeout=60)  # <- call_upstream


def connect():
    with socket.socket() as upstream:
        upstream.connect(address_of("UNREACHABLE"))  # <- connect


held = threading.Lock()


def hold():
    with held:
        time.sleep(60)


def lock():
    threading.Thread(target=hold, daemon=True).start()
    while not held.locked():
        time.sleep(0.001)
    held.acquire()  # <- lock


def self_deadlock():
    mine = threading.Lock()
    mine.acquire()
    mine.acquire()  # <- self_deadlock


def delegate():
    subprocess.run(["sleep", "60"], check=True)  # <- delegate


def hoard():
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1 << 16) * 16))
        time.sleep(0.01)  # <- hoard


def stop():
    os.kill(os.getpid(), signal.SIGSTOP)  # <- stop


def kill():
    time.sleep(60)  # <- kill


def segv():
    ctypes.string_at(0)  # <- segv


def segv_later():
    time.sleep(0.5)
    ctypes.string_at(0)  # <- segv_later


def grab():
    return b"x" * (600 << 20)


def segv_dumped():
    faulthandler.enable()
    ctypes.string_at(8)  # <- segv_dumped


def interrupt_itself():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(2)


def abort():
    os.abort()  # <- abort


def leave():
    os._exit(7)  # <- leave


def leave_later():
    time.sleep(0.5)
    os._exit(7)  # <- leave_later


app = flask.Flask(__name__)
for function in (
    sleep, compute, compute_deep, regex, regex_later, big_sum, key_stretching, compress, query_postgresql, row_lock, pop_redis,
    query_mysql, receive, receive_with_timeout, call_upstream, connect, lock, self_deadlock, delegate, hoard, stop, kill,
    grab, segv, segv_later, segv_dumped, interrupt_itself, abort, leave, leave_later,
):
    app.add_url_rule(f"/{function.__name__}", view_func=function)


@app.get("/")
def index():
    return str(os.getpid())


@app.get("/steady")
def steady():
    """Sleep as long as asked: a request that others must not disturb."""
    time.sleep(float(flask.request.query_string))
    return "steady"


def begin_and_sleep(start_response, *fields):
    """Begin a response and never end it; write() is WSGI's alone."""
    write = start_response("200 OK", [("Content-Type", "text/plain"), *fields])
    write(b"hello")
    sleep()


def begun_first(application):
    def with_begun(environ, start_response):
        if environ["PATH_INFO"] == "/half":
            begin_and_sleep(start_response, ("Content-Length", "100"))
        if environ["PATH_INFO"] == "/half_chunked":
            begin_and_sleep(start_response)
        return application(environ, start_response)

    return with_begun


app.wsgi_app = begun_first(app.wsgi_app)
