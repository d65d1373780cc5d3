"""What a forked worker does before it serves and after it has served."""

from __future__ import annotations

import os
import signal
import sys

from tricorn import _core, apps, hooks, native_logger

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from tricorn.spawner import Spawner

BOOT_ERROR = 3  # Gunicorn's exit statuses: the arbiter tells the two apart by them
APP_LOAD_ERROR = 4

_WARNING, _ERROR = 2, 3


class WorkerDone(BaseException):
    """A forked worker is done: unwinds to the top, so that the interpreter ends in its own way."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def run(spawner: Spawner, worker: hooks.Worker, fds: list[int]) -> NoReturn:
    """Be the worker; ends with WorkerDone."""
    status = BOOT_ERROR
    try:
        spawner.show_title("keeper")  # which begins as a copy of this process
        core = _core.Worker(spawner.settings_json, spawner.listeners, *fds, worker.age)
        status = _live(core, spawner, worker) if core.introduce() else 0
    except BaseException:
        import traceback

        traceback.print_exc()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what follows is short, or the arbiter's to see
    raise WorkerDone(status)


def _live(core: Any, spawner: Spawner, worker: hooks.Worker) -> int:
    spawner.show_title("worker")
    worker.pid = os.getpid()
    worker.core = core
    worker.log = hooks.Log(core.log)
    if spawner.log_channel >= 0:
        from tricorn import logs

        spawner.speaker.pid = 0
        worker.log = spawner.log
        logs.attach(core, spawner.log, spawner.log_channel)
    else:
        native_logger.install(core.log, spawner.settings["loglevel"])
    if spawner.server is not None:
        spawner.server.log = worker.log
    worker.log.info("Booting worker with pid: %s", worker.pid)
    _record_hard_exits(core)
    status = _boot_and_serve(core, spawner, worker)
    worker.log.info("Worker exiting (pid: %s)", worker.pid)
    if hook := spawner.hooks.get("worker_exit"):
        _guarded(core, hook, spawner.server, worker)
    return status


def _boot_and_serve(core: Any, spawner: Spawner, worker: hooks.Worker) -> int:
    try:
        if hook := spawner.hooks.get("post_fork"):
            hook(spawner.server, worker)
        _drop_privileges(spawner.settings)
        _install_handlers(core, spawner, worker)
        app = worker.wsgi = _load(core, spawner, worker)
        if hook := spawner.hooks.get("post_worker_init"):
            hook(worker)
        worker.booted = True
    except apps.AppImportError as problem:
        core.note_boot_error(str(problem), "")
        print(problem, file=sys.stderr, flush=True)
        return APP_LOAD_ERROR
    except BaseException as problem:
        if isinstance(problem, KeyboardInterrupt) or not worker.alive:
            return 0  # the server stops
        _note_boot_error(core, problem)
        _log_exception(core, "Exception in worker process", problem)
        print(problem, file=sys.stderr, flush=True)
        return BOOT_ERROR
    request_hooks = {
        "worker": worker,
        "request_type": hooks.Request,
        "response_type": hooks.Response,
    }
    for name in ("pre_request", "post_request"):
        request_hooks[name] = spawner.hooks.get(name)
    try:
        status = core.serve(app, request_hooks)
        worker.alive = False
        return status
    except SystemExit as leaving:  # INT, QUIT or the arbiter's ABRT came between two requests
        return leaving.code if isinstance(leaving.code, int) else 1


def _load(core: Any, spawner: Spawner, worker: hooks.Worker) -> Any:
    """Give the application; with --reload, one that shows why it cannot be loaded."""
    if not spawner.settings["reload"]:
        return spawner.app.wsgi()
    from tricorn import reloader

    return reloader.load(core, spawner, worker)


def _note_boot_error(core: Any, problem: BaseException) -> None:
    """Tell the arbiter what ended the boot, and where: its report is written when we are gone."""
    import traceback

    text = traceback.format_exception_only(type(problem), problem)[-1].strip()
    rows = []
    for frame, line in traceback.walk_tb(problem.__traceback__):
        code = frame.f_code
        name = getattr(code, "co_qualname", code.co_name)  # qualified from 3.11 on
        rows.append(f"{line} {name} {code.co_filename}")
    if isinstance(problem, SyntaxError) and problem.filename:  # its line was never run
        rows.append(f"{problem.lineno or 0} <module> {problem.filename}")
    core.note_boot_error(text, "\n".join(reversed(rows)))


def _install_handlers(core: Any, spawner: Spawner, worker: hooks.Worker) -> None:
    """Python's side of INT, QUIT and ABRT; the C handlers, which come first, trigger these."""

    def on_quick(_signal: int, _frame: Any) -> None:
        worker.alive = False
        if hook := spawner.hooks.get("worker_int"):
            try:
                hook(worker)
            except Exception as problem:
                _log_exception(core, "Exception in worker process", problem)
                print(problem, file=sys.stderr, flush=True)
                raise SystemExit(255) from None
        raise SystemExit(0)

    def on_abort(_signal: int, _frame: Any) -> None:
        worker.alive = False
        worker.aborted = True
        if hook := spawner.hooks.get("worker_abort"):
            hook(worker)
        raise SystemExit(1)

    signal.signal(signal.SIGINT, on_quick)
    signal.signal(signal.SIGABRT, on_abort)
    core.install_handlers()


def _drop_privileges(settings: dict[str, Any]) -> None:
    uid, gid = settings["user"], settings["group"]
    if gid is not None and gid != os.getegid():
        os.setgid(gid)
    if uid is not None and uid != os.geteuid():
        if settings["initgroups"]:
            import grp
            import pwd

            os.initgroups(pwd.getpwuid(uid).pw_name, grp.getgrgid(os.getegid()).gr_gid)
        import traceback  # noqa: F401  the new user may not read the standard library

        os.setuid(uid)
        _core.stay_readable()


def _record_hard_exits(core: Any) -> None:
    """Let os._exit say who called it before it ends the process without a word."""
    from _thread import get_native_id

    real_exit = os._exit
    own_pid = os.getpid()

    def _exit(status: int) -> NoReturn:
        if os.getpid() == own_pid:
            core.note_exit(status, get_native_id())
        real_exit(status)

    os._exit = _exit  # type: ignore[assignment]


def _log_exception(core: Any, line: str, problem: BaseException) -> None:
    import traceback

    text = "".join(traceback.format_exception(problem))
    core.log(_ERROR, f"{line}\n{text.rstrip()}")


def _guarded(core: Any, hook: Any, *args: Any) -> None:
    try:
        hook(*args)
    except BaseException:
        import traceback

        core.log(_WARNING, "Exception during worker exit:\n" + traceback.format_exc())
