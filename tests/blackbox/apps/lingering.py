"""An application that does not let its process end: LINGER says how."""

import atexit
import os
import threading
import time


def flush():
    time.sleep(60)  # <- atexit


def watch():
    while True:
        time.sleep(60)  # <- thread


if os.environ["LINGER"] == "atexit":
    atexit.register(flush)
else:
    threading.Thread(target=watch).start()


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
