"""A memory control group with a limit, v1 or v2, for a server to be killed in by the kernel."""

import contextlib
import itertools
import os
import sys
from pathlib import Path

import pytest

from blackbox.support.waiting import poll

V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")
NUMBERS = itertools.count()  # several at a time in one process


def _make_v1(name, bytes_max):
    group = V1 / name
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(bytes_max))
    with contextlib.suppress(OSError):  # there only where the kernel accounts for swap
        (group / "memory.memsw.limit_in_bytes").write_text(str(bytes_max))
    return group


def _make_v2(name, bytes_max):
    with contextlib.suppress(OSError):
        (V2 / "cgroup.subtree_control").write_text("+memory")
    group = V2 / name
    group.mkdir()
    (group / "memory.max").write_text(str(bytes_max))
    with contextlib.suppress(OSError):
        (group / "memory.swap.max").write_text("0")
    return group


def remove(group):
    """Remove a control group once its last process has gone; one that is still used after 5 s stays, and is named."""
    try:
        poll(lambda: _removed(group), 5, f"the end of the processes in {group}")
    except AssertionError as why:
        print(f"WARNING: {why}", file=sys.stderr)


def _removed(group):
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


@contextlib.contextmanager
def memory_group(bytes_max):
    """Give the folder of a control group that may hold `bytes_max` of memory."""
    name = f"tricorn-test-{os.getpid()}-{next(NUMBERS)}"
    make = _make_v1 if (V1 / "memory.limit_in_bytes").exists() else _make_v2
    try:
        group = make(name, bytes_max)
    except OSError as why:
        pytest.skip(f"SKIPPED LOUDLY: no memory control group can be made here ({why}); root is needed")
    try:
        yield group
    finally:
        remove(group)


def oom_kills(group):
    """Return how many processes the kernel has killed in the group for memory."""
    for name in ("memory.oom_control", "memory.events"):
        with contextlib.suppress(FileNotFoundError):
            fields = dict(line.split() for line in (group / name).read_text().splitlines())
            return int(fields["oom_kill"])
    raise AssertionError("no counter of OOM kills")
