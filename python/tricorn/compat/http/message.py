"""Requests as hooks see them."""

from __future__ import annotations

from tricorn.hooks import Request

__all__ = ["Message", "Request"]

Message = Request
