"""--reload: a thread of each worker watches the files its code came from.

When one changes, the worker finishes what it holds and another one loads the new code. Code that
cannot be loaded is not the end: the worker serves a page that says why, until the next change.
"""

from __future__ import annotations

import glob
import os
import sys
import threading

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from tricorn import hooks
    from tricorn.spawner import Spawner

POLL_SECONDS = 1.0  # Gunicorn's
# A program writes a file in several steps: what happens within this time is one change.
SETTLE_SECONDS = 0.05

# Source: inotify(7), <sys/inotify.h>
_IN_CLOEXEC = 0o2000000
_MASK = 0x2 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800  # MODIFY … MOVE_SELF


def load(core: Any, spawner: Spawner, worker: hooks.Worker) -> Callable[..., Any]:
    """Load the application and start to watch; give a page of the traceback when it fails."""
    worker.log.warning("Reloader is on. Use in development only!")
    broken: list[str] = []
    try:
        app = spawner.app.wsgi()
    except Exception as problem:
        import traceback

        from tricorn.compat.util import make_fail_app

        worker.log.exception(problem)
        app = make_fail_app("".join(traceback.format_exception(problem)))
        broken = _files_of(problem)

    def changed(name: str) -> None:
        worker.log.info("Worker reloading: %s modified", name)
        worker.alive = False
        try:
            if hook := spawner.hooks.get("worker_int"):
                hook(worker)
        finally:
            core.leave("reload")

    extra = [*spawner.settings["reload_extra_files"], *broken]
    watcher = Watcher(extra, spawner.settings["reload_engine"], changed)
    worker.reloader = watcher
    watcher.start()
    return app


def _files_of(problem: BaseException) -> list[str]:
    """Give the files a failed import ran through: its module is in no list of Python's."""
    import traceback

    files = [frame.filename for frame in traceback.extract_tb(problem.__traceback__)]
    if isinstance(problem, SyntaxError) and problem.filename:
        files.append(problem.filename)
    return [name for name in files if os.path.exists(name)]


class Watcher(threading.Thread):
    """Watches files until one changes, then calls `changed` with its name, once."""

    def __init__(self, extra: Iterable[str], engine: str, changed: Callable[[str], None]) -> None:
        super().__init__(name="reloader", daemon=True)
        self._extra = list(extra)
        self._engine = engine
        self._changed = changed
        self._seen = {name: _state_of(name) for name in self.files()}

    def files(self) -> list[str]:
        """Give all files that are watched now."""
        return [*self._module_files(), *self._extra_files()]

    def _module_files(self) -> Iterator[str]:
        for module in list(sys.modules.values()):
            if name := getattr(module, "__file__", None):
                yield name[:-1] if name.endswith((".pyc", ".pyo")) else name

    def _extra_files(self) -> Iterator[str]:
        for entry in self._extra:
            if any(c in entry for c in "*?["):
                yield from sorted(glob.glob(entry, recursive=True))
            else:
                yield entry

    def add_extra_file(self, name: str) -> None:
        """Watch one more file."""
        self._extra.append(name)

    def run(self) -> None:
        """Wait for a change and tell it."""
        waits = _polls if self._engine == "poll" else self._wakes
        for _ in waits(self):
            if name := self.find_change():
                self._changed(name)
                return

    def find_change(self) -> str | None:
        """Give a file that is not as it was when it was seen first."""
        for name in self._module_files():  # one that is imported only now is as it should be
            state = _state_of(name)
            if state not in (None, self._seen.setdefault(name, state)):
                return name
        for name in self._extra_files():  # a file that appears is a change
            if _state_of(name) not in (None, self._seen.get(name)):
                return name
        return None

    def _wakes(self, _watcher: Watcher) -> Iterator[None]:
        """Give control when something happened in the folder of a file, or after a second."""
        import select
        import time

        notes = _Inotify()
        while True:
            folders = {os.path.dirname(os.path.realpath(name)) for name in self.files()}
            folders |= {os.path.dirname(os.path.abspath(name)) for name in self.files()}
            notes.watch(folders)
            yield
            if select.select([notes.fd], [], [], POLL_SECONDS)[0]:
                time.sleep(SETTLE_SECONDS)
                notes.drain()


def _polls(_watcher: Watcher) -> Iterator[None]:
    import time

    while True:
        yield
        time.sleep(POLL_SECONDS)


def _state_of(name: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(name)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


class _Inotify:
    """Events of folders; the kernel's limit on watches only makes changes be seen later."""

    def __init__(self) -> None:
        import ctypes

        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._libc.inotify_init1(_IN_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._folders: set[str] = set()

    def watch(self, folders: set[str]) -> None:
        for folder in folders - self._folders:
            self._folders.add(folder)
            self._libc.inotify_add_watch(self.fd, os.fsencode(folder), _MASK)

    def drain(self) -> None:
        import contextlib

        with contextlib.suppress(BlockingIOError):
            while os.read(self.fd, 65536):
                pass
