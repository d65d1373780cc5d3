"""Gunicorn's `gunicorn.instrument`."""
