"""Gives the scenarios both servers."""

import re
import subprocess

import pytest

from differential.pair import COMMANDS, describe, observe, unexplained

GUNICORN_VERSION = "27.0.1"


@pytest.fixture(scope="session")
def right_gunicorn():
    """Compare with no other version."""
    shown = subprocess.run([COMMANDS["gunicorn"], "--version"], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"version {re.escape(GUNICORN_VERSION)}\b", shown), f"{shown}: `make differential-gunicorn` installs {GUNICORN_VERSION}"


@pytest.fixture
def both(tmp_path, right_gunicorn):
    """Hold both servers to looking the same in a scenario, the named differences aside: both(scenario, "name", …)."""

    def compare(scenario, *names):
        gunicorn, tricorn = observe(scenario, tmp_path)
        rest, unused = unexplained(gunicorn, tricorn, names)
        assert not rest, "\n" + describe(rest)
        assert not unused, f"these differences are not there any more: {unused}"

    return compare
