"""Responses as hooks see them."""

from __future__ import annotations

from tricorn.hooks import Response

__all__ = ["Response"]
