"""Workers that serve one request at a time."""

from __future__ import annotations

from tricorn.hooks import Worker


class SyncWorker(Worker):
    """worker_class = SyncWorker means sync."""
