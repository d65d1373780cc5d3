"""Gunicorn's Python names for configuration files, loggers and programs that import `gunicorn`.

They stand in for the real package where it is not installed: activate().
Source: Gunicorn 27.0.1's public names, as observed.
"""

from __future__ import annotations

from tricorn.compat.finder import activate

version_info = (27, 0, 1)  # the version these names are those of
__version__ = ".".join(map(str, version_info))
SERVER = "tricorn"
SERVER_SOFTWARE = "tricorn"

__all__ = ["SERVER", "SERVER_SOFTWARE", "__version__", "activate", "version_info"]
