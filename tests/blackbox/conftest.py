"""What black-box tests need: a server under test, a database, a Redis, and peers that never answer."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from blackbox.support.peers import full_backlog, silent_peer
from blackbox.support.services import PostgreSQL, Redis
from blackbox.support.site import Site
from hangs.surroundings import Missing, frozen_disk


def pytest_configure(config):
    """Declare the marks."""
    config.addinivalue_line("markers", "alone: measures CPU or time, so no other test runs beside it under pytest-xdist")
    config.addinivalue_line("markers", "rule(number, ...): holds these of the HTTP and WSGI rules; test_rules.py counts them")


def pytest_collection_modifyitems(items):
    """Put tests that run alone last, so that they hold up nobody."""
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


@pytest.fixture(autouse=True)
def beside_others(request):
    """Share the machine with the other processes of pytest-xdist, or keep them off it for an `alone` test."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        yield
        return
    mode = fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH
    with (Path(tempfile.gettempdir()) / f"tricorn-tests-{run}.lock").open("w") as lock:
        fcntl.flock(lock, mode)
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Let fixtures know how the test ended."""
    outcome = yield
    setattr(item, f"report_{call.when}", outcome.get_result())


@pytest.fixture
def serve(tmp_path, request):
    """Start servers: serve("module:app", "--timeout", "2", …). Afterwards each must stop and leave no process behind."""
    sites = []

    def start(*args, **options):
        folder = tmp_path / f"site-{len(sites)}"
        folder.mkdir()
        sites.append(Site(folder, *args, **options))
        return sites[-1].wait_listening() if options.get("bind", True) else sites[-1]

    yield start
    call = getattr(request.node, "report_call", None)
    try:
        if call is not None and call.passed:
            for site in sites:
                site.stop()
    finally:
        for site in sites:
            site.kill()
    if call is not None and call.failed:
        for site in sites:
            print(f"--- log of {' '.join(site.command)}\n{site.log}\n--- report\n{site.report()}")


@pytest.fixture
def frozen():
    """Give a file of a frozen file system: who writes to it sleeps so that no signal wakes it."""
    try:
        with frozen_disk() as around:
            yield around.env["FROZEN"]
    except Missing as why:
        pytest.skip(str(why))


@pytest.fixture(scope="session")
def postgresql():
    """Give a PostgreSQL server of this test run's own."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server():
    """Give a Redis server of this test run's own."""
    with Redis() as server:
        yield server


@pytest.fixture
def silent():
    """Give the address of a TCP peer that takes connections and never says a word."""
    with silent_peer() as address:
        yield address


@pytest.fixture
def unreachable():
    """Give a TCP address whose SYNs are never answered: a listener with a full backlog."""
    with full_backlog() as address:
        yield address
