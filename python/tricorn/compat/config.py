"""Gunicorn's configuration objects."""

from __future__ import annotations

import os

from tricorn.config import Config, Setting, make_settings

__all__ = ["Config", "Setting", "get_default_config_file", "make_settings"]


def get_default_config_file() -> str | None:
    """Give the configuration file of the working directory, None without one."""
    path = os.path.join(os.path.abspath(os.getcwd()), "gunicorn.conf.py")
    return path if os.path.exists(path) else None
