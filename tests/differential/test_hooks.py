"""Hooks: their order, what they are given, and what becomes of one that raises."""

import signal

import pytest

from blackbox.support.waiting import poll

CONF = '''
import os
def note(name, *shown):
    with open(os.path.join(os.environ["FOLDER"], "notes"), "a") as notes:
        notes.write(" ".join([name, *map(str, shown)]) + "\\n")
def on_starting(server): note("on_starting", server.pid == os.getpid() or "arbiter", server.num_workers, server.cfg.workers, server.master_name, server.proc_name, len(server.LISTENERS))
def on_reload(server): note("on_reload", server.num_workers)
def when_ready(server): note("when_ready", len(server.LISTENERS), server.timeout, len(server.WORKERS), str(server.address))
def pre_fork(server, worker): note("pre_fork", worker.age, worker.pid, worker.booted, worker.alive, worker.aborted, worker.nr, worker.timeout, len(server.WORKERS), type(worker.sockets).__name__, len(worker.sockets))
def post_fork(server, worker): note("post_fork", worker.pid == os.getpid(), worker.ppid == os.getppid(), server.cfg.timeout, worker.booted, str(worker) == "<Worker %d>" % os.getpid())
def post_worker_init(worker): note("post_worker_init", worker.age, worker.booted, callable(worker.wsgi), callable(worker.app.wsgi()), worker.max_requests > 0)
def worker_int(worker): note("worker_int", worker.alive)
def worker_abort(worker): note("worker_abort", worker.alive)
def pre_request(worker, req): note("pre_request", req.method, req.uri, req.path, req.query, req.fragment, req.version, req.headers[:2], req.scheme, req.peer_addr[0], req.remote_addr[0], req.should_close(), req.trailers, worker.nr); req.mark = 5
def post_request(worker, req, environ, resp): note("post_request", req.mark, environ["PATH_INFO"], resp.status, getattr(resp, "status_code", None), resp.sent, resp.response_length, resp.headers_sent, resp.should_close(), resp.chunked, [h for h in resp.headers if h[0] != "Date"], worker.nr)
def worker_exit(server, worker): note("worker_exit", worker.pid == os.getpid(), worker.alive, worker.nr, worker.booted)
def child_exit(server, worker): note("child_exit", worker.age, isinstance(worker.pid, int), worker.pid in server.WORKERS)
def nworkers_changed(server, new, old): note("nworkers_changed", new, old)
def on_exit(server): note("on_exit", len(server.WORKERS), server.LISTENERS)
'''


def served(server, *args, conf=CONF, **options):
    server.start("app:app", *args, conf=conf, **options)
    server.get("/a/b?c=d", "X-One: 1")


def told(server):
    server.stop()
    server.note("hooks", (server.folder / "notes").read_text())


@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_order_and_arguments(both, worker):
    def scenario(server):
        served(server, "-k", worker)
        told(server)
    both(scenario, "hooks-run-beside-the-arbiter")


def test_quick_stop(both):
    def scenario(server):
        served(server)
        server.stop(signal.SIGINT)
        told(server)
    both(scenario, "hooks-run-beside-the-arbiter")


def test_more_and_fewer_workers(both):
    def scenario(server):
        served(server)
        server.send(signal.SIGTTIN)
        server.wait_log("Booting worker", count=2)
        server.send(signal.SIGTTOU)
        server.wait_log("Worker exiting")
        server.stop()
        server.note("hooks", "\n".join(line for line in (server.folder / "notes").read_text().splitlines() if line.startswith("nworkers")))
    both(scenario, "no-false-sigterm")


def test_reload(both):
    def scenario(server):
        served(server)
        server.send(signal.SIGHUP)
        server.wait_log("Booting worker", count=2)
        server.wait_log("Worker exiting")
        server.get("/")
        server.stop()
        server.note("hooks", "\n".join(line for line in (server.folder / "notes").read_text().splitlines() if line.startswith(("on_", "nworkers"))))
        server.err_path.write_text("")
    both(scenario, "hooks-run-beside-the-arbiter")


def test_timeout(both):
    def scenario(server):
        server.start("app:app", "-t", "1", conf=CONF)
        server.get("/slow?20")
        server.wait_log("Booting worker", count=2)
        server.wait_log("Worker exiting|was sent SIGKILL")
        server.stop()
        server.note("hooks", "\n".join(line for line in (server.folder / "notes").read_text().splitlines() if line.startswith(("pre_request", "worker_abort", "post_request"))))
        server.err_path.write_text("")
    both(scenario, "timeout-explained")


@pytest.mark.parametrize("hook", ["on_starting(server)", "when_ready(server)", "pre_fork(server, worker)", "post_fork(server, worker)", "post_worker_init(worker)", "nworkers_changed(server, new, old)"])
def test_a_hook_that_raises_before_serving(both, hook):
    def scenario(server):
        server.start("app:app", conf=f"def {hook}:\n    raise RuntimeError('from the hook')\n")
        server.wait()
    names = {"pre_fork(server, worker)": ["orderly-failure"], "post_fork(server, worker)": ["explained-exit"], "post_worker_init(worker)": ["explained-exit"]}
    both(scenario, *names.get(hook, []))


@pytest.mark.parametrize("hook", ["pre_request(worker, req)", "post_request(worker, req, environ, resp)", "post_request(worker, req)", "worker_exit(server, worker)", "on_exit(server)", "worker_int(worker)"])
def test_a_hook_that_raises_while_serving(both, hook):
    def scenario(server):
        server.start("app:app", conf=f"def {hook}:\n    raise RuntimeError('from the hook')\n")
        server.get("/")
        server.stop(signal.SIGINT if "worker_int" in hook else signal.SIGTERM)
    names = {"pre_request(worker, req)": ["error-pages-have-a-date"], "worker_exit(server, worker)": ["no-context-of-exit"], "worker_int(worker)": ["explained-exit"]}
    both(scenario, *names.get(hook, []))


def test_child_exit_that_raises(both):
    def scenario(server):
        import os
        server.start("app:app", conf="def child_exit(server, worker):\n    raise RuntimeError('from the hook')\n")
        server.get("/")
        os.kill(server.workers()[0], signal.SIGTERM)
        poll(lambda: server.process.poll() is not None or server.log.count("Booting worker") == 2, 20, "a new worker or the end")
        server.stop()
    both(scenario, "hook-does-not-end-the-server")


@pytest.mark.parametrize("code", ["sys.exit(5)", "raise SystemExit", "sys.exit('in words')"])
def test_a_hook_that_exits(both, code):
    both(lambda server: server.run("app:app", "--no-control-socket", bind=True, conf=f"import sys\ndef when_ready(server):\n    {code}\n"))


def test_lines_of_hooks(both):
    conf = """
def when_ready(server): server.log.info("ready with %s", server.num_workers)
def post_fork(server, worker): server.log.warning("forked %d", worker.age); worker.log.debug("hidden")
def post_worker_init(worker): worker.log.error("initialised"); worker.log.critical("%s and %s", "one", 2); worker.log.log(20, "by number")
def pre_request(worker, req): worker.log.debug("%s %s", req.method, req.path)
def on_exit(server):
    try: 1/0
    except ZeroDivisionError: server.log.exception("in on_exit")
"""
    def scenario(server):
        served(server, conf=conf)
    both(scenario, "no-context-of-exit")


def test_hooks_by_name(both):
    def scenario(server):
        server.file("my_hooks.py", "def ready(server): server.log.info('ready by name')\n")
        served(server, conf="when_ready = 'my_hooks.ready'\n", env={"PYTHONPATH": server.folder})
    both(scenario)
