"""The representative part of the hangs, for `make test`: no trial that measures CPU runs beside another one."""

import contextlib

import pytest

from blackbox.conftest import beside_others, pytest_collection_modifyitems, pytest_configure  # noqa: F401
from hangs.services import Services


@pytest.fixture(scope="session")
def services():
    """Give the databases of this test run."""
    with contextlib.ExitStack() as stack:
        yield Services(stack)
