"""Workers that serve a request in each of several threads."""

from __future__ import annotations

from tricorn.hooks import Worker


class ThreadWorker(Worker):
    """worker_class = ThreadWorker means gthread."""
