"""Processes that the application forks: those that come back from it end, all others are left alone."""

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from blackbox.support.site import MODES
from blackbox.support.waiting import poll


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("path", "body"), [("twin", rb"(\d+) (?!0)\d+"), ("raising", rb"(\d+)"), ("stream", rb"(part\n){3}"), ("chunks", b"part")])
def test_a_forked_copy_that_comes_back_ends_and_its_parent_answers(serve, mode, path, body):
    server = serve("forking:app", *MODES[mode])
    worker = int(server.get("/").body)
    for _ in range(3):
        answer = server.get(f"/{path}")
        assert answer.status == 200 and re.fullmatch(body, answer.content), (answer, server.log)
    line = rf"\[(\d+)\] \[WARNING\] Process \1, forked in GET /{path} of worker {worker}, came back from the application and ends here"
    server.wait_log(line, count=3)
    assert [server.get("/", timeout=5).body for _ in range(50)] == [str(worker).encode()] * 50, server.log
    assert ("LookupError: of the child" in server.log) == (path == "raising")
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("mode", MODES)
def test_children_that_do_not_come_back_are_left_alone(serve, mode):
    server = serve("forking:app", *MODES[mode])
    worker = server.get("/").body
    for _ in range(3):
        assert server.get("/workers").body == b"True 0 said 3 6", server.log
    assert server.get("/").body == worker
    assert "WARNING" not in server.log and "ERROR" not in server.log, server.log


@pytest.mark.parametrize("mode", MODES)
def test_a_child_that_lasts_has_a_name_of_its_own_and_not_the_servers_port(serve, mode):
    server = serve("forking:app", *MODES[mode])
    worker, child = (int(number) for number in server.get("/lasting").body.split())
    try:
        process = Path(f"/proc/{child}")
        poll(lambda: (process / "comm").read_text() == "tricorn-child\n", 5, "the child's name")
        assert (process / "cmdline").read_bytes().rstrip(b"\0").decode() == f"tricorn: child of worker {worker}"
        assert (Path(f"/proc/{worker}") / "comm").read_text() == "tricorn-worker\n"
        assert server.get("/").body == str(worker).encode()
        began = time.monotonic()
        server.send(signal.SIGTERM)
        assert server.process.wait(10) == 0
        assert time.monotonic() - began < 5, server.log
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # only a listening socket is in its way
            again.bind(("127.0.0.1", server.port))
            again.listen()
    finally:
        os.kill(child, signal.SIGKILL)
