"""Readers of logs that do not read: nobody waits for them, and what is lost is counted."""

import os
import re
import signal
import socket
import threading

import pytest

from blackbox.support.site import GTHREAD, MODES, SYNC
from blackbox.support.waiting import poll

PATH = "/" + "x" * 3000  # a line of these is shorter than PIPE_BUF
REQUESTS = 400  # 1.2 MB of lines: a pipe keeps 64 KiB, we keep 256 KiB
ERROR_LINE = re.compile(rb"\[[^]]+\] \[\d+\] \[[A-Z]+\] .*|\d+ lines? .*")
ACCESS_LINE = re.compile(rb'127\.0\.0\.1 - - \[[^]]+\] "GET /x{3000} HTTP/1\.1" \d+ \d+ "-" "-"')


class Pipe:
    """A pipe that is read when read() is called, and not before."""

    def __init__(self):
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.seen = b""

    def read(self):
        while True:
            try:
                got = os.read(self.reader, 1 << 20)
            except BlockingIOError:
                return self.seen
            if not got:
                return self.seen
            self.seen += got

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for end in (self.reader, self.writer):
            os.close(end)


@pytest.fixture
def pipe():
    with Pipe() as made:
        yield made


def ask_often(site, clients=2):
    """Send the requests from several clients; each must be answered."""
    statuses = []

    def ask():
        for _ in range(REQUESTS // clients):
            statuses.append(site.get(PATH).status)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(statuses) == REQUESTS and set(statuses) == {200}, f"{len(statuses)} answers: {set(statuses)}"


def dropped(text):
    """Sum up what the notes say."""
    return sum(int(n) for n in re.findall(rb"reader too slow: (\d+) lines dropped", text))


@pytest.mark.parametrize("mode", MODES)
def test_error_log_to_a_pipe_nobody_reads(serve, pipe, mode):
    site = serve("logging_app:app", *MODES[mode], "--log-level", "debug", "--workers", "2", err=pipe.writer)
    ask_often(site)
    site.send(signal.SIGUSR1)  # the arbiter logs it, and goes on
    lines = poll(lambda: dropped(pipe.read()) and not pipe.seen.endswith(b"x") and pipe.seen.splitlines(), 20, "the note of what was dropped")
    asked = sum(line.endswith(b" GET " + PATH.encode()) for line in lines)
    poll(lambda: len(re.findall(rb"GET /x{3000}\n", pipe.read())) + dropped(pipe.seen) >= REQUESTS, 20, lambda: f"{asked} lines, {dropped(pipe.seen)} dropped")
    torn = [line[:200] for line in pipe.seen.splitlines() if not re.match(rb"\[[^]]+\] \[\d+\] \[[A-Z]+\] ", line)]
    assert not torn
    assert site.get("/").status == 200
    assert site.stop() == 0


@pytest.mark.parametrize("mode", MODES)
def test_access_log_to_a_pipe_nobody_reads(serve, pipe, mode):
    site = serve("logging_app:app", *MODES[mode], "--access-logfile", "-", "--workers", "2", out=pipe.writer)
    ask_often(site)
    pipe.read()
    note = rb"Access log reader too slow: (\d+) lines dropped"
    poll(lambda: pipe.read() and pipe.seen.count(b"\n") + sum(map(int, re.findall(note.decode(), site.log))) >= REQUESTS, 20,
         lambda: f"{pipe.seen.count(b'x HTTP')} lines\n{site.log}")
    torn = [line[:200] for line in pipe.seen.splitlines() if not ACCESS_LINE.fullmatch(line)]
    assert not torn
    assert re.search(note.decode(), site.log)
    assert site.stop() == 0


def test_both_logs_to_one_pipe_nobody_reads_and_a_time_out(serve, pipe):
    """The arbiter sees, tells and ends a hang although no line of it can be written."""
    site = serve("logging_app:app", *SYNC, "--access-logfile", "-", "--timeout", "1", "--workers", "2", out=pipe.writer, err=pipe.writer)
    while True:  # full to the last byte
        try:
            os.set_blocking(pipe.writer, False)
            os.write(pipe.writer, b"." * 4096)
        except BlockingIOError:
            break
    os.set_blocking(pipe.writer, True)
    assert site.get("/hang").status == 500
    assert "wait.sleep" in [incident["class"] for incident in site.incidents()]
    assert site.get("/").status == 200
    poll(lambda: b"WORKER TIMEOUT" in pipe.read(), 20, "the line, once somebody reads")


def test_stop_with_a_pipe_nobody_reads(serve, pipe):
    site = serve("logging_app:app", *GTHREAD, "--log-level", "debug", err=pipe.writer)
    ask_often(site)
    assert site.stop(seconds=10) == 0


def test_wsgi_errors_wait_for_nobody(serve, pipe):
    site = serve("logging_app:app", *SYNC, err=pipe.writer)
    for _ in range(200):
        assert site.get("/errors").status == 200
    text = poll(lambda: dropped(pipe.read()) and pipe.seen, 20, "the note")
    assert all(line.startswith(b"[") or set(line) == {ord("e")} for line in text.splitlines())


def test_a_reader_that_is_gone_ends_nothing(serve):
    reader, writer = os.pipe()
    site = serve("logging_app:app", *SYNC, "--log-level", "debug", "--access-logfile", "-", out=writer, err=writer)
    os.close(writer)
    os.close(reader)
    assert [site.get("/").status for _ in range(20)] == [200] * 20
    assert site.stop() == 0


def test_a_journal_that_does_not_read(serve):
    """Standard error may be a stream socket, as systemd makes it."""
    theirs, ours = socket.socketpair()
    with theirs, ours:
        site = serve("logging_app:app", *SYNC, "--log-level", "debug", err=ours)
        ask_often(site)
        theirs.setblocking(False)
        seen = b""

        def read():
            nonlocal seen
            try:
                while got := theirs.recv(1 << 20):
                    seen += got
            except BlockingIOError:
                pass
            return dropped(seen)

        poll(read, 20, "the note")
        assert site.stop() == 0
