"""Hooks as people write them for Gunicorn, unchanged."""

import re
import signal
from pathlib import Path

import pytest

from blackbox.support.waiting import poll


def served(serve, tmp_path, conf, *args, app=None, **options):
    (tmp_path / "conf.py").write_text(conf)
    if app is not None:
        (tmp_path / "main.py").write_text(app)
        options.setdefault("cwd", tmp_path)
    return serve("main:app" if app else "specs", "-c", tmp_path / "conf.py", *args, **options)


PROMETHEUS_APP = """
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest, multiprocess
REQUESTS = Counter("requests_total", "all", ["path"])
RUNNING = Gauge("running", "alive workers", multiprocess_mode="livesum")
RUNNING.set(1)
def app(environ, start_response):
    REQUESTS.labels(environ["PATH_INFO"]).inc()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    page = generate_latest(registry)
    start_response("200 OK", [("Content-Length", str(len(page)))])
    return [page]
"""


def test_prometheus_cleans_up_in_child_exit(serve, tmp_path):
    (tmp_path / "metrics").mkdir()
    conf = "from prometheus_client import multiprocess\ndef child_exit(server, worker):\n    multiprocess.mark_process_dead(worker.pid)\n"
    server = served(serve, tmp_path, conf, "-w", "2", app=PROMETHEUS_APP, env={"PROMETHEUS_MULTIPROC_DIR": tmp_path / "metrics"})
    poll(lambda: b"running 2.0" in server.get("/metrics").body, 10, lambda: server.get("/metrics").body)
    server.send(signal.SIGTTOU)
    poll(lambda: b"running 1.0" in server.get("/metrics").body, 10, lambda: f"one worker less\n{server.log}")
    assert len(list((tmp_path / "metrics").glob("gauge_live*.db"))) == 1
    counted = re.search(rb'requests_total\{path="/metrics"\} (\d+)', server.get("/metrics").body)
    assert counted and int(counted[1]) >= 3, "counters of dead workers stay"


TELEMETRY = """
import os, threading
STATE = {"pool": f"opened by {os.getpid()}", "exporter": None}

class Exporter(threading.Thread):  # as the batch processors of Sentry and OpenTelemetry: a thread that a fork would lose
    def __init__(self):
        super().__init__(daemon=True)
        self.pid, self.seen = os.getpid(), threading.Event()
    def run(self):
        self.seen.set()

def init():
    STATE["exporter"] = Exporter()
    STATE["exporter"].start()
def app(environ, start_response):
    exporter = STATE["exporter"]
    body = f"{exporter.pid == os.getpid()} {exporter.seen.wait(5)} {STATE['pool'] == f'opened by {os.getpid()}'}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def test_telemetry_and_pools_begin_in_post_fork(serve, tmp_path):
    conf = ("preload_app = True\n"
            "def post_fork(server, worker):\n    import os, main\n    main.init()\n    main.STATE['pool'] = f'opened by {os.getpid()}'\n"
            "    server.log.info('Worker spawned (pid: %s)', worker.pid)\n")
    server = served(serve, tmp_path, conf, app=TELEMETRY)
    assert server.get("/").content == b"True True True"
    server.wait_log(rf"\[{server.workers()[0]}\] \[INFO\] Worker spawned \(pid: {server.workers()[0]}\)")


def test_worker_abort_dumps_all_stacks(serve, tmp_path):
    conf = """
timeout = 1
def worker_abort(worker):
    import faulthandler, sys, threading, traceback
    worker.log.info("worker received SIGABRT signal")
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        worker.log.error("# Thread: %s\\n%s", names.get(ident, ident), "".join(traceback.format_stack(frame)))
"""
    app = "import time\ndef app(environ, start_response):\n    time.sleep(20)\n"
    server = served(serve, tmp_path, conf, app=app)
    assert server.get("/").status == 500
    server.wait_log("worker received SIGABRT signal")
    server.wait_log(r"(?s)# Thread: MainThread\n.*main\.py\", line 3, in app\n    time\.sleep\(20\)")


def test_when_ready_writes_a_file_and_on_exit_removes_it(serve, tmp_path):
    conf = "import os\nREADY = os.path.join(os.path.dirname(__file__), 'app-initialized')\ndef when_ready(server):\n    open(READY, 'w').close()\ndef on_exit(server):\n    os.unlink(READY)\n"
    server = served(serve, tmp_path, conf)
    poll((tmp_path / "app-initialized").exists, 5, "the file")
    assert server.stop() == 0
    assert not (tmp_path / "app-initialized").exists()


@pytest.mark.parametrize("mode", [("-k", "sync"), ("-k", "gthread", "--threads", "3")])
def test_requests_are_timed_between_the_two_hooks(serve, tmp_path, mode):
    conf = """
import time
def pre_request(worker, req):
    req.start_time = time.monotonic()
    worker.log.debug("%s %s", req.method, req.path)
def post_request(worker, req, environ, resp):
    seconds = time.monotonic() - req.start_time
    headers = dict(req.headers)
    worker.log.info("took %.1f s: %s %s %s from %s, %s bytes, agent %s, worker %s", seconds, req.method, req.uri, resp.status, req.peer_addr[0], resp.sent, headers["USER-AGENT"], worker.nr)
"""
    app = "import time\ndef app(environ, start_response):\n    time.sleep(0.3)\n    start_response('201 Created', [('Content-Length', '3')])\n    return [b'abc']\n"
    server = served(serve, tmp_path, conf, *mode, app=app)
    assert server.get("/a?b=c", "User-Agent: me").content == b"abc"
    server.wait_log(r"took 0\.[3-9] s: GET /a\?b=c 201 Created from 127\.0\.0\.1, 3 bytes, agent me, worker 1")


def test_a_pre_fork_that_raises_while_serving_costs_nothing_but_the_worker(serve, tmp_path):
    conf = "import os\nFLAG = os.path.join(os.path.dirname(__file__), 'flag')\ndef pre_fork(server, worker):\n    if os.path.exists(FLAG):\n        raise ValueError('not now')\n"
    server = served(serve, tmp_path, conf)
    assert server.get("/").status == 200
    descriptors = lambda: len(list(Path(f"/proc/{spawner}/fd").iterdir()))
    spawner = server.spawner()
    before = descriptors()
    (tmp_path / "flag").touch()
    server.send(signal.SIGTTIN)
    server.wait_log("(?s)No worker could be forked: .*ValueError: not now", count=1)
    poll(lambda: server.log.count("No worker could be forked") >= 2, 10, lambda: server.log)
    assert descriptors() == before
    assert server.get("/").status == 200
    (tmp_path / "flag").unlink()
    server.wait_log("Booting worker", count=2)


def test_listeners_and_workers_can_be_looked_at(serve, tmp_path):
    conf = """
def when_ready(server):
    server.log.info("sockets %s", [str(listener) for listener in server.LISTENERS])
    server.log.info("address %s %s", server.LISTENERS[0].getsockname(), server.address)
    server.log.info("master %s %s %s", server.master_name, server.num_workers, server.cfg.env)
def post_worker_init(worker):
    worker.log.info("worker %s of %s: %s %s", worker.age, worker.cfg.workers, worker.app.wsgi() is worker.wsgi, worker.tmp.last_update() > 0)
raw_env = ["A=b"]
"""
    server = served(serve, tmp_path, conf)
    server.wait_log(rf"sockets \['http://127\.0\.0\.1:{server.port}'\]")
    server.wait_log(rf"address \('127\.0\.0\.1', {server.port}\) \[\('127\.0\.0\.1', {server.port}\)\]")
    server.wait_log(r"master Master 1 \{'A': 'b'\}")
    server.wait_log("worker 1 of 1: True True")
