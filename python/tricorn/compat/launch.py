"""A program that runs its own application: BaseApplication.run().

The program is run once, as in Gunicorn: it forks its spawner, which serves the arbiter's requests
with the application the program has made, and becomes the arbiter. For a reload, or when the
spawner died, the arbiter runs the same program again.
"""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False  # of typing, whose import takes longer than a fork
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from tricorn.compat.app.base import BaseApplication


def run(application: BaseApplication, takes_arguments: bool) -> NoReturn:
    """Serve the application; does not return.

    takes_arguments: the command line and GUNICORN_CMD_ARGS are settings.
    """
    channel = os.environ.get("TRICORN_CHANNEL", "").split()
    if channel and int(channel[1]) == os.getppid():  # else it is our parent's
        from tricorn import spawner

        spawner.main(application)
        sys.exit(0)
    name = getattr(application, "app_uri", None) or type(application).__name__
    os.environ["TRICORN_APPLICATION"] = name
    os.environ["TRICORN_SPAWNER"] = json.dumps([sys.executable, *sys.orig_argv[1:]])
    if takes_arguments:
        os.environ["TRICORN_ARGUMENTS"] = "1"
    _fork_spawner(application)
    become_arbiter(sys.argv[1:] if takes_arguments else [])


def _fork_spawner(application: BaseApplication) -> None:
    """Fork the spawner of the arbiter that the parent becomes; the child does not return."""
    import socket

    sys.stdout.flush()
    sys.stderr.flush()
    arbiter = os.getpid()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid != 0:
        ours.set_inheritable(True)
        os.environ["TRICORN_FIRST_SPAWNER"] = f"{ours.detach()} {pid}"
        return
    from tricorn import spawner

    ours.close()
    os.environ["TRICORN_CHANNEL"] = f"{theirs.detach()} {arbiter}"
    spawner.main(application)
    sys.exit(0)


def become_arbiter(arguments: list[str]) -> Any:
    """Replace this process by the arbiter."""
    from tricorn import __main__ as program

    sys.stdout.flush()
    sys.stderr.flush()
    program.become("tricorn-arbiter", ["tricorn", *arguments])
