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

from tricorn import _core, apps, boot, conf, hooks, wire

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from typing import Any


class Spawner:
    """State of one generation: what the configuration file defined and what was preloaded."""

    def __init__(self, channel: socket.socket, arbiter_pid: int) -> None:
        self.channel = channel
        channel.set_inheritable(False)  # not for the application's children
        self.arbiter_pid = arbiter_pid
        self.names: dict[str, Any] = {}
        self.hooks: dict[str, Any] = {}
        self.settings: dict[str, Any] = {}
        self.listeners: list[tuple[int, str]] = []
        self.app: Any = None
        self.server: hooks.Server | None = None
        self.log = hooks.Log(self._write_log)

    def serve(self) -> None:
        """Do what is asked until the arbiter is gone."""
        while (request := wire.receive(self.channel)) is not None:
            message, fds = request
            try:
                answer = getattr(self, "do_" + message["do"])(message, fds)
            except boot.WorkerDone:
                raise
            except conf.ConfError as problem:
                answer = {"ok": False, "exit": 1, "text": str(problem)}
            except SystemExit as leaving:
                answer = {
                    "ok": False,
                    "exit": 1,
                    "text": f"{message['do']} called exit({leaving.code})",
                }
            except BaseException:
                import traceback

                answer = {"ok": False, "exit": 1, "text": traceback.format_exc().rstrip()}
            wire.reply(self.channel, answer)

    # ---- requests; each takes the message and the descriptors that came with it ----

    def do_load(self, message: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
        """Execute the configuration file."""
        self.names = conf.load(message["config"], message["explicit"])
        self.hooks = conf.hooks_of(self.names)
        return {"ok": True, "values": conf.plain_values(self.names), "hooks": sorted(self.hooks)}

    def do_settle(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Take the resolved settings and the listening sockets."""
        self.settings_json = message["settings_json"]
        self.settings = json.loads(self.settings_json)
        self.listeners = list(zip(fds, message["names"], strict=True))
        os.environ.update(item.partition("=")[::2] for item in self.settings["raw_env"])
        os.environ["SERVER_SOFTWARE"] = "tricorn"
        os.chdir(self.settings["chdir"])
        apps.extend_path(self.settings["chdir"], self.settings["pythonpath"])
        self.server = hooks.Server(self.arbiter_pid, hooks.Config(self.settings), self.log)
        self.server.LISTENERS = list(message["names"])
        return {"ok": True}

    def do_preload(self, message: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
        """Import the application here, so that workers share it."""
        self.app = apps.load(message["app"])
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
        if name in self.hooks:
            self.hooks[name](*args)
        if name == "child_exit" and self.server is not None:
            self.server.WORKERS.pop(message["pid"], None)
        return {"ok": True}

    def do_fork(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Fork a worker; it never returns from here."""
        worker = hooks.Worker(message["age"], hooks.Config(self.settings), self.log)
        if "pre_fork" in self.hooks:
            self.hooks["pre_fork"](self.server, worker)
        _refuse_threads()
        try:
            pid = _core.fork_worker()
        finally:
            if os.getpid() == _SPAWNER_PID:
                for fd in fds:
                    os.close(fd)
        if pid == 0:
            self.channel.close()
            boot.run(self, worker, message["app"], fds)
        worker.pid = pid
        if self.server is not None:
            self.server.WORKERS[pid] = worker
        return {"ok": True, "pid": pid}

    # ---- helpers ----

    def _worker(self, pid: int, age: int) -> hooks.Worker:
        if self.server is not None and pid in self.server.WORKERS:
            return self.server.WORKERS[pid]
        return hooks.Worker(age, hooks.Config(self.settings), self.log, pid)

    def _write_log(self, level: int, text: str) -> None:
        name = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")[level]
        stamp = time.strftime("%Y-%m-%d %H:%M:%S %z")
        print(f"[{stamp}] [{self.arbiter_pid}] [{name}] {text}", file=sys.stderr, flush=True)


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


def main() -> None:
    """Run as the arbiter's child: `python -m tricorn.spawner CHANNEL_FD ARBITER_PID`."""
    channel_fd, arbiter_pid = map(int, sys.argv[1:])
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
    sys.path.insert(0, os.getcwd())
    try:
        Spawner(socket.socket(fileno=channel_fd), arbiter_pid).serve()
    except boot.WorkerDone as done:  # only ever in a forked worker
        sys.exit(done.status)


if __name__ == "__main__":
    main()
