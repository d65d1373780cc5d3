"""A shop with slow corners: each route below keeps its worker busy in another way."""

import hashlib
import re
import socket
import threading
import time

from flask import Flask

app = Flask(__name__)

# A peer that accepts and never answers, as an overloaded service behind a load balancer does.
_silent = socket.create_server(("127.0.0.1", 0))
_stock = threading.Lock()
_stock.acquire()


@app.route("/")
def index() -> str:
    return "Hello, World!\n"


@app.route("/sleep")
def sleep() -> str:
    time.sleep(60)
    return "slept\n"


@app.route("/compute")
def compute() -> str:
    total = 0
    while True:
        total += 1


@app.route("/regex")
def regex() -> str:
    return str(re.match(r"(a+)+$", "a" * 40 + "b"))


@app.route("/hash")
def hash_password() -> str:
    return hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 10**9).hex()


@app.route("/wait")
def wait_for_upstream() -> bytes:
    with socket.create_connection(_silent.getsockname()) as upstream:
        upstream.sendall(b"stock?\n")
        return upstream.recv(100)


@app.route("/lock")
def lock() -> str:
    with _stock:
        return "locked\n"
