"""Each kind of trouble with a real server: the right cause, line, request and peer, an answer, and service again."""

import contextlib
import os
import re
import signal
import socket
import threading
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness import APPS, Answer, poll

SYNC = ("-k", "sync")
GTHREAD = ("-k", "gthread", "--threads", "4")
MODES = pytest.mark.parametrize("mode", [pytest.param(SYNC, id="sync"), pytest.param(GTHREAD, id="gthread")])
TIMEOUT = ("--timeout", "2")
BACK_WITHIN_S = 3


def place_of(function, module="hangs"):
    """`hangs.py:17`: the first marked line after the function's head."""
    lines = (APPS / f"{module}.py").read_text().splitlines()
    first = lines.index(f"def {function}():") if function else 0
    return next(f"{module}.py:{number + 1}" for number in range(first, len(lines)) if lines[number].endswith("# <- here"))


def in_background(ask, *args):
    """Starts the call in a thread; `.result()` waits for it."""
    box = SimpleNamespace()

    def run():
        try:
            box.answer = ask(*args)
        except Exception as fault:
            box.fault = fault

    box.thread = threading.Thread(target=run, daemon=True)
    box.thread.start()

    def result(seconds=25):
        box.thread.join(seconds)
        assert not box.thread.is_alive(), "no answer at all"
        if hasattr(box, "fault"):
            raise box.fault
        return box.answer

    box.result = result
    return box


def reference_of(answer, status=500):
    """The client's side: a 500 with one reference in header and body."""
    assert answer.status == status, answer
    ref = answer.header("X-Reference-Id")
    assert ref and re.fullmatch("[0-9a-f]{6}", ref), answer
    assert f"Reference: {ref}" in answer.text, answer
    return ref


def check(server, answer, function, cause, peer=None, place=True):
    """Client, log and report tell the same story, and the service is back."""
    began = time.monotonic()
    ref = reference_of(answer)
    back = server.get("/", timeout=BACK_WITHIN_S + 5)
    took = time.monotonic() - began
    assert back.status == 200 and took < BACK_WITHIN_S, (took, back, server.log)
    incident = next((each for each in server.incidents() if each["ref"] == ref), None)
    assert incident, server.report()
    line = next((each for each in server.log.splitlines() if f"ref {ref}" in each), None)
    assert line, server.log
    told = f"{line}\n{incident}"
    assert incident["class"] == cause, told
    assert incident["request"] == f"GET /{function}", told
    assert f"GET /{function}" in line, told
    assert incident["peer"] == peer, told
    if place:
        assert incident["place"] == place_of(function), told
        assert incident["function"] == function, told
        assert incident["place"] in line, told
    if peer:
        for word in peer.removeprefix("pid ").split():
            assert word in line, told
    said = (server.log + server.report()).lower()
    assert "secret" not in said
    if cause != "memory.oom_kill":
        assert "out of memory" not in said, server.log
    return incident, line


def check_time_out(server, answer, function, cause, peer=None, **more):
    incident, line = check(server, answer, function, cause, peer, **more)
    assert re.search(rf"\[CRITICAL\] WORKER TIMEOUT \(pid:{incident['pid']}\) {re.escape(cause)}: GET /{function} ", line), line
    assert 1.9 < incident["seconds"] < 4, incident
    return incident


def ask_with_neighbour(server, mode, function, neighbour_lives):
    """Asks for trouble; with threads, another request of the same worker runs across the time-out."""
    neighbour = None
    late = in_background(server.get, f"/{function}?secret=1")
    if mode == GTHREAD:
        wait_until_in_flight(server)
        neighbour = in_background(server.get, "/slow?1.7")
    answer = late.result()
    if neighbour:
        other = neighbour.result()
        if neighbour_lives:
            assert other.status == 200, (other, server.log)
            assert other.text == f"pid {server.incidents()[0]['pid']}", (other.text, server.log)
        elif other.status == 503:  # the application never saw it: it may be sent again
            reference_of(other, 503)
            assert other.header("Retry-After"), other
        else:
            reference_of(other)
    return answer


def wait_until_in_flight(server):
    """The trouble has begun; 1 s, so that the neighbour's 1.7 s end well behind the time-out of 2 s."""
    time.sleep(1)


@contextlib.contextmanager
def silent_peer():
    """Accepts by the kernel's hand, reads nothing, says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield "{}:{}".format(*listener.getsockname())


@contextlib.contextmanager
def full_listener():
    """A listener whose backlog is full: the next SYN has no answer."""
    with socket.socket() as listener, contextlib.ExitStack() as clients:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        pending = 0
        while pending < 3:
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(listener.getsockname())
            time.sleep(0.05)
            pending += client.connect_ex(listener.getsockname()) not in (0, 106)
        yield "{}:{}".format(*listener.getsockname())


@MODES
@pytest.mark.parametrize(("function", "cause", "neighbour_lives"), [
    ("sleep", "wait.sleep", True),
    ("compute", "cpu.python", True),
    ("regex", "cpu.native_gil", False),
    ("digest", "cpu.native_nogil", True),
])
def test_a_request_that_does_not_end(server, mode, function, cause, neighbour_lives):
    running = server("hangs:app", *TIMEOUT, *mode)
    answer = ask_with_neighbour(running, mode, function, neighbour_lives)
    check_time_out(running, answer, function, cause)


@MODES
def test_a_lock_that_is_never_released(server, mode):
    running = server("hangs:app", *TIMEOUT, *mode)
    answer = ask_with_neighbour(running, mode, "lock", True)
    # With a neighbour in application code, somebody is left who might let the lock go.
    check_time_out(running, answer, "lock", "wait.lock" if mode == GTHREAD else "wait.deadlock")


@MODES
def test_a_child_process_is_waited_for(server, mode):
    running = server("hangs:app", *TIMEOUT, *mode)
    asked = in_background(ask_with_neighbour, running, mode, "child", True)
    pid = poll(lambda: next((pid for pid, name in running.processes().items() if name.startswith("sleep 60")), None), 2)
    try:
        check_time_out(running, asked.result(), "child", "wait.subprocess", f"pid {pid} (sleep)")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # the application's child is nobody else's to end


@MODES
def test_a_peer_says_nothing(server, mode):
    with silent_peer() as peer:
        running = server("hangs:app", *TIMEOUT, *mode, env={"HANG_PEER": peer})
        answer = ask_with_neighbour(running, mode, "silent", True)
        check_time_out(running, answer, "silent", "wait.network", peer)


@MODES
def test_a_peer_does_not_accept(server, mode):
    with full_listener() as peer:
        running = server("hangs:app", *TIMEOUT, *mode, env={"HANG_PEER": peer})
        answer = ask_with_neighbour(running, mode, "connect", True)
        check_time_out(running, answer, "connect", "wait.connect", peer)


@MODES
def test_a_query_of_postgresql_lasts(server, mode, postgres):
    words = " ".join(f"{name}={value}" for name, value in postgres.items())
    running = server("hangs:app", *TIMEOUT, *mode, env={"HANG_POSTGRES": words})
    answer = ask_with_neighbour(running, mode, "postgres", True)
    check_time_out(running, answer, "postgres", "wait.database", f"127.0.0.1:{postgres['port']} (PostgreSQL)")


@MODES
def test_a_redis_list_stays_empty(server, mode, redis_port):
    running = server("hangs:app", *TIMEOUT, *mode, env={"HANG_PEER": f"127.0.0.1:{redis_port}"})
    answer = ask_with_neighbour(running, mode, "redis", True)
    check_time_out(running, answer, "redis", "wait.database", f"127.0.0.1:{redis_port} (Redis)")


@MODES
def test_a_stopped_worker(server, mode):
    running = server("hangs:app", *TIMEOUT, *mode)
    [worker] = running.workers()
    stopped = in_background(running.get, "/stopped?secret=1")
    wait_until_in_flight(running)
    other = in_background(running.get, "/slow?0.1")  # nobody takes it before the replacement is there
    check_time_out(running, stopped.result(), "stopped", "signal.stopped")
    assert other.result().status == 200
    assert other.result().text != f"pid {worker}"


@MODES
def test_a_worker_killed_from_outside(server, mode):
    running = server("hangs:app", "--timeout", "30", *mode)
    asked = in_background(running.get, "/killed?secret=1")
    time.sleep(0.5)  # the report names the oldest request
    other = in_background(running.get, "/slow?20") if mode == GTHREAD else None
    time.sleep(1)
    [worker] = running.workers()
    os.kill(worker, signal.SIGKILL)
    incident, line = check(running, asked.result(3), "killed", "signal.external_kill")
    assert f"Worker (pid:{worker}) was sent SIGKILL!" in line
    assert incident["pid"] == worker
    if other:
        reference_of(other.result(3))


@MODES
def test_what_dies_early_was_seen_before(server, mode):
    """A request is looked at from 0.1 s on, so half a second is enough to know its line."""
    running = server("hangs:app", "--timeout", "30", *mode)
    asked = in_background(running.get, "/killed?secret=1")
    time.sleep(0.6)
    os.kill(running.workers()[0], signal.SIGKILL)
    check(running, asked.result(3), "killed", "signal.external_kill")


def test_a_stop_does_not_wait_for_a_request_that_had_its_answer(server):
    running = server("hangs:app", *TIMEOUT, *GTHREAD)
    late = in_background(running.get, "/sleep?secret=1")
    wait_until_in_flight(running)
    neighbour = in_background(running.get, "/slow?1.7")
    reference_of(late.result())
    began = time.monotonic()
    running.send(signal.SIGTERM)
    assert neighbour.result().status == 200
    assert running.wait(10) == 0
    assert time.monotonic() - began < 5


@MODES
@pytest.mark.parametrize(("function", "cause", "words"), [
    ("segv", "crash.segv", "was sent SIGSEGV!"),
    ("abort", "crash.abort", "was sent SIGABRT!"),
    ("leave", "exit.code", "exited with code 7"),
])
def test_a_worker_dies_by_itself(server, mode, function, cause, words):
    running = server("hangs:app", "--timeout", "30", *mode)
    other = in_background(running.get, "/slow?20") if mode == GTHREAD else None
    if other:
        time.sleep(0.3)
    incident, line = check(running, running.get(f"/{function}?secret=1"), function, cause)
    assert f"Worker (pid:{incident['pid']}) {words}" in line, line
    if other:
        reference_of(other.result(3))


class MemoryGroup:
    """A memory control group of 150 MiB, version 1 or 2, for the server and all its children."""

    LIMIT = 150 * 2**20

    def __init__(self):
        name = f"tricorn-test-{uuid.uuid4().hex[:8]}"
        root = Path("/sys/fs/cgroup")
        if (root / "memory/memory.limit_in_bytes").exists():
            own = next(line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in line)
            self.folders = [root / "memory" / own.lstrip("/") / name, root / "memory" / name]
            self.limit = "memory.limit_in_bytes"
        else:
            self.folders = [root / name]
            self.limit = "memory.max"

    def __enter__(self):
        if os.geteuid() != 0:
            pytest.skip("a memory control group needs root")
        fault = None
        for folder in self.folders:
            self.folder = folder
            try:
                self.folder.mkdir()
                (self.folder / self.limit).write_text(str(self.LIMIT))
                return self
            except OSError as error:
                fault = error
                with contextlib.suppress(OSError):
                    self.folder.rmdir()
        pytest.skip(f"no memory control group can be made here: {fault}")

    def join(self):
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def __exit__(self, *_):
        poll(self._removed, 5, "the control group is empty")

    def _removed(self):
        with contextlib.suppress(OSError):
            self.folder.rmdir()
        return not self.folder.exists()


@pytest.fixture
def memory_group(request):
    with MemoryGroup() as group:
        yield group


@MODES
def test_the_kernel_kills_for_memory(memory_group, server, mode):
    running = server("hangs:app", "--timeout", "30", *mode, prepare=memory_group.join)
    incident, line = check(running, running.get("/memory?secret=1"), "memory", "memory.oom_kill")
    assert f"Worker (pid:{incident['pid']}) was sent SIGKILL!" in line
    assert "out of memory" in line.lower()
    assert incident["confidence"] == "certain"
    before, after = incident["evidence"]["oom_kill"]
    assert after > before


@MODES
def test_an_import_error_is_said_and_ends_the_server(server, mode):
    running = server("no_import:app", *mode, ready=False)
    assert running.wait() == 3
    assert "ModuleNotFoundError: No module named 'a_module_that_is_not_there'" in running.log
    assert "Reason: Worker failed to boot." in running.log
    incident = running.incidents()[0]
    assert incident["class"] == "boot.failure"
    assert incident["place"] == place_of(None, "no_import"), incident
    assert incident["request"] is None
    assert "out of memory" not in running.log.lower()


@MODES
@pytest.mark.parametrize(("setting", "level", "words"), [
    ("--timeout", "WARNING", "Worker (pid:{}) boots slowly: boot.slow: "),
    ("--boot-timeout", "CRITICAL", "WORKER TIMEOUT (pid:{}) boot.slow: "),
])
def test_an_import_that_lasts_is_said(server, mode, setting, level, words):
    running = server("slow_import:app", setting, "2", "--graceful-timeout", "1", *mode, ready=False)
    incident = running.incidents(seconds=10)[0]
    assert incident["class"] == "boot.slow", incident
    assert incident["place"] == place_of(None, "slow_import"), incident
    assert incident["request"] is None
    line = next(line for line in running.log.splitlines() if f"ref {incident['ref']}" in line)
    assert f"[{level}] " + words.format(incident["pid"]) in line
    assert incident["place"] in line and "no request" not in line, line
    assert "out of memory" not in running.log.lower()


@MODES
def test_a_healthy_server_reports_nothing(server, mode):
    running = server("hangs:app", *TIMEOUT, *mode)
    [worker] = running.workers()
    slow = in_background(running.get, "/slow?1.5")
    assert slow.result().text == f"pid {worker}"
    with running.connect() as idle:
        time.sleep(1.2)
        idle.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        assert Answer(idle.recv(65536)).status == 200
    assert running.report() == ""
    assert running.stop() == 0
    assert "WARNING" not in running.log and "CRITICAL" not in running.log and "Traceback" not in running.log
