"""A worker as hooks see it; what it does is no Python."""

from __future__ import annotations

from tricorn.hooks import Worker

__all__ = ["Worker"]
