"""The application of soak.py: a few Flask views that say who answered which request."""

import os
import time

from flask import Flask, Response, request

app = Flask(__name__)


@app.after_request
def sign(response: Response) -> Response:
    response.headers["X-Pid"] = str(os.getpid())
    response.headers["X-Request"] = request.headers.get("X-Request", "")
    return response


@app.route("/")
def hello() -> str:
    return "Hello, World!"


@app.route("/echo", methods=["POST"])
def echo() -> str:
    return str(len(request.get_data()))


@app.route("/stream")
def stream() -> Response:
    return Response((b"%04d\n" % i for i in range(100)), content_type="text/plain")


@app.route("/sleep/<float:seconds>")
def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


@app.route("/compute/<float:seconds>")
def compute(seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(i * i for i in range(1000))
    return "computed"
