"""Pytest plug-in: pytest-httpbin's `httpbin` is the real application behind a live server, the command in $SERVER."""

import os
import shlex
import socket
import subprocess
import sys
import time
from urllib.parse import urljoin

from pytest_httpbin import serve


class LiveServer:
    """Stands in for pytest_httpbin.serve.Server."""

    def __init__(self, application):
        del application  # the server imports it
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def __enter__(self):
        self.process = subprocess.Popen(shlex.split(os.environ["SERVER"].format(port=self.port)))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                time.sleep(0.05)
        sys.exit("the server did not start")

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(20) == 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def __add__(self, other):
        return self.url + other

    def join(self, url, allow_fragments=True):
        return urljoin(self.url, url, allow_fragments)


serve.Server = LiveServer
