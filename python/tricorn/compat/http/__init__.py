"""Gunicorn's classes of requests."""

from __future__ import annotations

from tricorn.hooks import Request

__all__ = ["Request"]
