"""Two servers at once during an upgrade: which is which."""

import contextlib
import os
from pathlib import Path


def pid_in(path):
    """Return the pid in a file, None without one."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(path.read_text())


def workers_of(arbiter):
    """Give the pids of the processes named tricorn-worker that are children of an arbiter."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            head, tail = Path("/proc", entry, "stat").read_text().rsplit(")", 1)
        except OSError:
            continue
        if head.endswith("(tricorn-worker") and tail.split()[1] == str(arbiter) and tail.split()[0] not in "ZX":
            found.append(int(entry))
    return found
