"""Gunicorn's application classes."""
