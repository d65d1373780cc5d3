"""tricornctl, asked about one server under test."""

import json
import os
import subprocess
from pathlib import Path

from blackbox.support.site import TRICORN, clean_environment

TRICORNCTL = os.environ.get("TRICORNCTL_UNDER_TEST") or str(Path(TRICORN).parent / "tricornctl")


class Ctl:
    """Runs tricornctl for the server whose control socket is at `path`."""

    def __init__(self, path):
        self.path = str(path)

    def run(self, *words, timeout=30):
        """Give exit code, stdout, stderr."""
        return tricornctl("-s", self.path, *words, timeout=timeout)

    def text(self, *words, **options):
        """Give what it prints; it must succeed."""
        code, out, err = self.run(*words, **options)
        assert code == 0, (words, code, out, err)
        return out

    def json(self, *words, **options):
        """Give the answer as Python has it."""
        return json.loads(self.text(*words, "--json", **options))


def tricornctl(*words, env=None, timeout=30, **options):
    """Run it to its end; give exit code, stdout, stderr."""
    done = subprocess.run(
        [TRICORNCTL, *map(str, words)], env=clean_environment(env), timeout=timeout, capture_output=True, text=True, check=False, **options)
    return done.returncode, done.stdout, done.stderr
