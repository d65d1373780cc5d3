"""Tricorn: a Python application server that says why a worker timed out."""

__version__ = "0.1.0"
