"""Waiting for what has no event to wait for: files of another process, /proc, a port."""

import time

PAUSE_S = 0.02


def poll(condition, seconds=10, what="the condition"):
    """Return the first true value of condition(); fail when there is none within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what() if callable(what) else what}"
        time.sleep(PAUSE_S)
    return value
