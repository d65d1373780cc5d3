"""The logger `gunicorn.error` where the built-in writer is the sink.

Applications share its handlers and level: `app.logger.handlers =
logging.getLogger("gunicorn.error").handlers`. Nothing happens before somebody imports `logging`.
"""

from __future__ import annotations

import importlib.machinery
import sys

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_write: Callable[[int, str], None] | None = None


def install(write: Callable[[int, str], None], loglevel: str) -> None:
    """Send the logger's lines to `write(level, text)`, now or once `logging` is imported."""
    global _write
    first = _write is None
    _write = write
    if not first:
        return
    if "logging" in sys.modules:
        _configure(sys.modules["logging"], loglevel)
    else:
        sys.meta_path.insert(0, _WhenImported(loglevel))  # type: ignore[arg-type]


class _WhenImported:
    """Finds `logging` as everybody else does, and configures it when it has been loaded."""

    def __init__(self, loglevel: str) -> None:
        self._loglevel = loglevel

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "logging":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            _configure(module, self._loglevel)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _configure(logging: Any, loglevel: str) -> None:
    class ErrorLog(logging.Handler):
        def emit(self, record: Any) -> None:
            try:
                if _write is not None:
                    _write(min(max(record.levelno // 10 - 1, 0), 4), self.format(record))
            except Exception:
                self.handleError(record)

    logger = logging.getLogger("gunicorn.error")
    logger.propagate = False
    level = getattr(logging, str(loglevel).upper(), logging.INFO)
    logger.setLevel(level if isinstance(level, int) else logging.INFO)
    logger.addHandler(ErrorLog())
