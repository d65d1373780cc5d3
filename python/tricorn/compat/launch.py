"""A program that runs its own application: BaseApplication.run().

The program becomes the arbiter, which starts the same program again as its spawner; there run()
serves the arbiter's requests with the application the program has made.
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
    become_arbiter(sys.argv[1:] if takes_arguments else [])


def become_arbiter(arguments: list[str]) -> Any:
    """Replace this process by the arbiter."""
    from tricorn import __main__ as program

    sys.stdout.flush()
    sys.stderr.flush()
    program.become("tricorn-arbiter", ["tricorn", *arguments])
