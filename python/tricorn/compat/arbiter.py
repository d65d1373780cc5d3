"""The arbiter as hooks see it; the real one is no Python."""

from __future__ import annotations

from tricorn.hooks import Server as Arbiter

__all__ = ["Arbiter"]
