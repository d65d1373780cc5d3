"""Tricorn: a Python application server that says why a worker timed out."""

__version__ = "0.1.0"


def __getattr__(name):
    # The exception that --request-timeout raises in a request; loaded when it is asked for, so
    # that whoever imports the package for its version needs no compiled module.
    if name == "RequestTimeout":
        from tricorn._core import RequestTimeout

        return RequestTimeout
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
