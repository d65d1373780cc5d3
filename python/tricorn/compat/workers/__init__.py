"""Gunicorn's worker classes, by the names that `worker_class` takes."""

from __future__ import annotations

SUPPORTED_WORKERS = {
    "sync": "gunicorn.workers.sync.SyncWorker",
    "gthread": "gunicorn.workers.gthread.ThreadWorker",
}
