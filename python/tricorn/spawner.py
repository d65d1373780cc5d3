"""The spawner: loads the configuration, runs the server's hooks, preloads, forks workers.

It does what the arbiter asks, one request at a time, and starts no thread: fork must stay safe.
Requests and answers are the do_* methods below and src/arbiter/spawner_client.h.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from importlib.util import find_spec

from tricorn import __version__, _core, apps, boot, compat, conf, config, hooks, native_logger, wire

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from typing import Any


class Spawner:
    """State of one generation: what the configuration file defined and what was preloaded."""

    def __init__(self, channel: socket.socket, arbiter_pid: int, application: Any = None) -> None:
        """Begin. application: a program's own, see compat.launch."""
        self.channel = channel
        channel.set_inheritable(False)  # not for the application's children
        self.arbiter_pid = arbiter_pid
        self.names: dict[str, Any] = {}
        self.hooks: dict[str, Any] = {}
        self.settings: dict[str, Any] = {}
        self.listeners: list[tuple[int, str]] = []
        self.app: Any = application
        self.cfg: Any = None
        self.server: hooks.Server | None = None
        self.titles = False
        self.log: Any = hooks.Log(self._write_log)
        # Of the process that logs for the arbiter, with Python's logging. Both ends are kept: what
        # is said when it has died waits for the next one.
        self.log_reader = self.log_channel = -1

    def serve(self) -> None:
        """Do what is asked until the arbiter is gone."""
        while (request := wire.receive(self.channel)) is not None:
            message, fds = request
            try:
                answer = getattr(self, "do_" + message["do"])(message, fds)
            except boot.WorkerDone:
                raise
            except BaseException as problem:
                answer = _failure(problem)
            wire.reply(self.channel, answer)

    # ---- requests; each takes the message and the descriptors that came with it ----

    def do_load(self, message: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
        """Execute the configuration file."""
        if self.app is None:
            sys.argv[:] = _argv_of(message["argv"])
            self.names = conf.load(message["config"], message["explicit"])
        else:
            self.names = self.app.cfg.given()
        self.hooks = conf.hooks_of(self.names)
        return {"ok": True, "values": conf.plain_values(self.names), "hooks": sorted(self.hooks)}

    def do_settle(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Take the resolved settings, and the channel of the arbiter's lines if there is one."""
        self.settings_json = message["settings_json"]
        self.settings = json.loads(self.settings_json)
        os.environ.update(item.partition("=")[::2] for item in self.settings["raw_env"])
        os.environ["SERVER_SOFTWARE"] = f"tricorn/{__version__}"
        os.chdir(self.settings["chdir"])
        apps.extend_path(self.settings["chdir"], self.settings["pythonpath"])
        if isinstance(self.names.get("logconfig_dict"), dict):  # with what JSON cannot carry
            self.settings["logconfig_dict"] = self.names["logconfig_dict"]
        self.cfg = config.Config.that_holds(self.settings, self.hooks)
        if self.app is None:
            self.app = apps.Application(message["app"], self.cfg)
        self.app.cfg = self.cfg
        self.server = hooks.Server(self.arbiter_pid, self.cfg, self.log, self.app)
        if self.settings["statsd_host"] and not fds:
            from tricorn.compat.instrument import statsd

            hooks.Log.metrics = statsd.Metrics(self.cfg)
        self.titles = bool(self.settings["proc_name"]) or find_spec("setproctitle") is not None
        self.show_title("spawner")
        if fds:
            self._log_with_python(*fds)
            return {**self.do_start_logger(message, []), "titles": self.titles}
        native_logger.install(self._write_log, self.settings["loglevel"])
        if self.settings["capture_output"]:
            self._capture_output()
        return {"ok": True, "titles": self.titles}

    def do_start_logger(self, _message: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
        """Fork the process that calls Python's logging for the arbiter; it never returns."""
        from tricorn import logs

        pid = _core.fork_worker()
        if pid != 0:
            return {"ok": True, "pid": pid}
        with open("/proc/self/comm", "w", encoding="ascii") as name:
            name.write("tricorn-logger")
        self.show_title("logger")
        os.close(self.log_channel)
        self.channel.close()
        for fd, _ in self.listeners:
            os.close(fd)
        logs.serve(socket.socket(fileno=self.log_reader), self.log, self.speaker)
        raise boot.WorkerDone(0)

    def do_reopen_logs(self, _message: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
        """Open log files again: logrotate has moved them."""
        if self.log_channel >= 0:
            from tricorn import logs

            self.log.reopen_files()
            logs.ask_to_reopen(self.log_channel)
        elif self.settings.get("capture_output"):
            self._capture_output()
        return {"ok": True}

    def do_listen(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Take the listening sockets."""
        self.listeners = list(zip(fds, message["names"], strict=True))
        if self.server is not None:
            self.server.LISTENERS = [hooks.Listener(*listener) for listener in self.listeners]
        return {"ok": True}

    def do_leave_listeners(self, _message: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
        """Close the listening sockets: the server stops, and a closed port must be closed."""
        for fd, _ in self.listeners:
            os.close(fd)
        self.listeners = []
        if self.server is not None:
            self.server.LISTENERS = []
        return {"ok": True}

    def do_look_up(self, message: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
        """Find the numbers of hosts: the arbiter must not wait for a name server."""
        numbers, reasons = {}, {}
        for host in message["hosts"]:
            try:
                found = sorted(socket.getaddrinfo(host, None), key=lambda a: a[0] != socket.AF_INET)
                numbers[host] = found[0][4][0]
            except OSError as problem:
                reasons[host] = problem.strerror
        return {"ok": True, "values": {"numbers": numbers, "reasons": reasons}}

    def do_preload(self, _message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Import the application here, so that workers share it."""
        for page in fds:  # in which the arbiter reads how to look at this process
            _core.note_layout(page)
            os.close(page)
        self.app.wsgi()
        return {"ok": True}

    def do_hook(self, message: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
        """Run a server hook; those about a worker name it by pid and age."""
        name = message["name"]
        args: list[Any] = [self.server]
        if "pid" in message:
            args.append(self._worker(message["pid"], message.get("age", 0)))
        args.extend(message.get("args", []))
        if name == "nworkers_changed" and self.server is not None:
            self.server.num_workers = message["args"][0]
        if name == "child_exit" and self.server is not None:
            self.server.WORKERS.pop(message["pid"], None)
        if name in self.hooks:
            self.hooks[name](*args)
        return {"ok": True}

    def do_fork(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Fork a worker; it never returns from here."""
        worker = hooks.Worker(message["age"], self.server, self.cfg, self.log)
        if "pre_fork" in self.hooks:
            try:
                self.hooks["pre_fork"](self.server, worker)
            except Exception as problem:
                for fd in fds:
                    os.close(fd)
                return {**_failure(problem), "exit": 255}
        _refuse_threads()
        try:
            pid = _core.fork_worker()
        finally:
            if os.getpid() == _SPAWNER_PID:
                for fd in fds:
                    os.close(fd)
        if pid == 0:
            self.channel.close()
            if self.log_reader >= 0:
                os.close(self.log_reader)
            boot.run(self, worker, fds)
        worker.pid = pid
        if self.server is not None:
            self.server.WORKERS[pid] = worker
        return {"ok": True, "pid": pid}

    # ---- helpers ----

    def show_title(self, role: str) -> None:
        """Name this process in ps as Gunicorn does when setproctitle is installed."""
        if self.titles and self.server is not None:
            _core.set_title(f"tricorn: {role} [{self.server.proc_name}]")

    def _log_with_python(self, read_end: int, write_end: int) -> None:
        from tricorn import logs

        speaker = logs.Speaker(self.arbiter_pid)
        try:
            self.log = logs.make(self.settings, self.names, self.cfg)
        except logs.LogError as problem:
            raise conf.ConfError(str(problem)) from problem
        self.log_reader, self.log_channel = read_end, write_end
        if self.server is not None:
            self.server.log = self.log
        self.speaker = speaker

    def _capture_output(self) -> None:
        """Send what the application prints to the error log, by C code and children too."""
        path = self.settings["errorlog"]
        if path == "-":
            return
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
            os.dup2(fd, stream.fileno())
        os.close(fd)

    def _worker(self, pid: int, age: int) -> hooks.Worker:
        if self.server is not None and pid in self.server.WORKERS:
            return self.server.WORKERS[pid]
        return hooks.Worker(age, self.server, self.cfg, self.log, pid)

    def _write_log(self, level: int, text: str) -> None:
        name = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")[level]
        stamp = time.strftime("%Y-%m-%d %H:%M:%S %z")
        print(f"[{stamp}] [{self.arbiter_pid}] [{name}] {text}", file=sys.stderr, flush=True)


def _argv_of(command: list[str]) -> list[str]:
    """Give sys.argv of a command, `python -m tricorn` being one word of it."""
    by_python = command[1:3] == ["-m", "tricorn"]
    return [command[0], *command[3:]] if by_python else command


def _failure(problem: BaseException) -> dict[str, Any]:
    """Say why a request failed: `text` for the log, `said` for stderr when it ends the start.

    What is said, and the exit status, are what Gunicorn's end by this exception looks like.
    """
    if isinstance(problem, conf.ConfError):
        return {"ok": False, "exit": 1, "text": str(problem).strip(), "said": str(problem)}
    import traceback

    text = "".join(traceback.format_exception(_without_own_frames(problem)))
    status, said = 1, text
    if isinstance(problem, RuntimeError):
        said = f"\nError: {problem}\n\n"
    elif isinstance(problem, SystemExit):
        number = isinstance(problem.code, int)
        status = problem.code & 0xFF if number else int(problem.code is not None)
        said = "" if number or problem.code is None else f"{problem.code}\n"
    return {"ok": False, "exit": status, "text": text.rstrip(), "said": said}


def _without_own_frames(problem: BaseException) -> BaseException:
    """Let the traceback begin where the user's code does."""
    own = os.path.dirname(__file__)
    frame = problem.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename.startswith(own):
        frame = frame.tb_next
    return problem.with_traceback(frame or problem.__traceback__)


def _refuse_threads() -> None:
    """Name the culprit when something preloaded started a thread: a fork would copy its locks."""
    if "threading" not in sys.modules:
        return
    import threading

    others = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    if others:
        print(
            f"Warning: threads started before the fork are lost in workers: {', '.join(others)}",
            file=sys.stderr,
        )


_SPAWNER_PID = os.getpid()


def main(application: Any = None) -> None:
    """Run as the arbiter's child, which tells the channel and its pid by a variable."""
    channel_fd, arbiter_pid = map(int, os.environ.pop("TRICORN_CHANNEL").split())
    for name in ("TRICORN_SPAWNER", "TRICORN_APPLICATION", "TRICORN_ARGUMENTS"):
        os.environ.pop(name, None)  # another server that the application starts is not this one
    _core.become_spawner()
    if os.getppid() != arbiter_pid:
        return  # it died before that
    for ignored in (
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGTERM,
    ):
        signal.signal(ignored, signal.SIG_IGN)  # a signal to the group is the arbiter's to handle
    if application is None:
        sys.path.insert(0, os.getcwd())
    compat.activate()
    try:
        Spawner(socket.socket(fileno=channel_fd), arbiter_pid, application).serve()
    except boot.WorkerDone as done:  # only ever in a forked worker
        sys.exit(done.status)


if __name__ == "__main__":
    main()
