"""--request-timeout: one request is ended and its client answered; the worker lives on if its thread comes back."""

import concurrent.futures
import re
import subprocess
import time
from pathlib import Path

import pytest

from blackbox.judge import assert_back, assert_explained, line_of, only_incident, place_of
from blackbox.support.site import GTHREAD, MODES, SYNC, tool
from blackbox.support.waiting import poll

FILE = "ending.py"
LATE = r"\[ERROR\] Request timeout \(pid:(\d+)\) "
GIVEN_UP = r"\[WARNING\] Worker \(pid:(\d+)\) is replaced: the thread of ref (\w+) did not come back within 1\.0 s"


def assert_replaced(site, before):
    """Other workers serve, and none of those before is left."""
    poll(lambda: (now := site.workers()) and not set(now) & set(before), 20, lambda: site.log)
    assert_back(site)


def wait_for_notes(site, notes):
    """What the application noted is soon this: another thread may answer before the late one has cleaned up."""
    poll(lambda: site.get("/notes").content == notes, 5, lambda: site.log)


@pytest.mark.parametrize("mode", MODES)
def test_a_request_that_computes_ends_and_its_worker_lives(serve, mode):
    """The exception reaches it at the next bytecode; the same worker serves on, again and again."""
    site = serve("ending:app", *MODES[mode], "--request-timeout", "1")
    before = poll(site.workers)
    for number in range(1, 4):
        answer = site.get("/spin/60?password=hunter2")
        line = site.wait_log(LATE + r"cpu\.\w+: GET /spin/60 .* at ending\.py:(\d+) in spin; .*ref (\w+)", count=number)
        assert int(line[1]) == before[0]
        assert abs(int(line[2]) - line_of(FILE, "spin")) <= 1
        assert line[3] == answer.reference
        incident = site.incidents(number)[-1]
        assert incident["class"] in ("cpu.python", "cpu.starved")  # on a machine that others use as well
        assert_explained(site, answer, incident, "/spin/60", incident["class"], function="spin")
        assert_back(site)
    assert 0.9 < site.incidents(3)[0]["seconds"] < 3
    assert site.workers() == before
    assert site.log.count("Error handling request GET /spin/60\nTraceback") == 3
    assert "WORKER TIMEOUT" not in site.log
    assert "is replaced" not in site.log


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "cause"), [("sleep", "wait.sleep"), ("lock", "wait.deadlock"), ("receive", "wait.network")])
def test_a_call_into_c_that_lasts_costs_the_worker(serve, silent, kind, cause, mode):
    """No exception reaches it: its client is answered in time, then its worker goes, as after --timeout, and the log says so."""
    site = serve("ending:app", *MODES[mode], "--request-timeout", "1", "--timeout", "60", env={"SILENT": silent})
    before = poll(site.workers)
    answer = site.get(f"/{kind}")
    assert_explained(site, answer, only_incident(site), f"/{kind}", cause, place=place_of(FILE, kind), function=kind)
    given_up = site.wait_log(GIVEN_UP)
    assert (int(given_up[1]), given_up[2]) == (before[0], answer.reference)
    assert_replaced(site, before)


@pytest.mark.parametrize("mode", MODES)
def test_an_application_that_catches_everything_costs_its_worker(serve, mode):
    """`except Exception` lets it pass; who swallows even BaseException does not come back."""
    site = serve("ending:app", *MODES[mode], "--request-timeout", "1", "--timeout", "0")
    before = poll(site.workers)
    assert site.get("/catch_exceptions").status == 500
    assert_back(site)
    assert site.workers() == before
    answer = site.get("/catch_everything")
    assert answer.status == 500
    assert site.wait_log(GIVEN_UP)[2] == answer.reference
    assert_replaced(site, before)


@pytest.mark.parametrize("mode", MODES)
def test_the_application_cleans_up(serve, mode):
    """It can name the exception; `finally` and generators are run; a response that had begun is cut."""
    site = serve("ending:app", *MODES[mode], "--request-timeout", "1", "--access-logfile", "-")
    assert site.get("/clean_up").status == 500
    wait_for_notes(site, b"told cleaned")
    cut = site.get("/stream")
    assert cut.status == 200
    with pytest.raises(AssertionError, match="cut short"):
        cut.content  # noqa: B018, a property that checks
    wait_for_notes(site, b"told cleaned closed")
    assert len(site.incidents(2)) == 2
    poll(lambda: re.search('"GET /stream HTTP/1.1" 200 6 ', site.out), 5, lambda: site.out)
    assert '"GET /clean_up HTTP/1.1" 500 ' in site.out
    assert "is replaced" not in site.log


def test_others_of_the_worker_are_untouched(serve):
    """Three compute too long beside fast ones: only those are ended."""
    site = serve("ending:app", *GTHREAD, "--request-timeout", "2")
    before = poll(site.workers)
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        late = [clients.submit(site.get, "/spin/60") for _ in range(3)]
        fast = [clients.submit(site.get, "/spin/0.01") for _ in range(20)]
        assert {answer.result().status for answer in fast} == {200}
        assert {answer.result().status for answer in late} == {500}
    site.wait_log(LATE, count=3)
    assert_back(site)
    assert site.workers() == before


def test_the_others_of_a_given_up_worker_finish(serve):
    """Its thread does not come back; what runs beside it is answered before the worker goes."""
    site = serve("ending:app", *GTHREAD, "--request-timeout", "3")
    before = poll(site.workers)
    with concurrent.futures.ThreadPoolExecutor(2) as clients:
        stuck = clients.submit(site.get, "/sleep")
        site.wait_log("Request timeout")
        other = clients.submit(site.get, "/spin/2")
        site.wait_log(GIVEN_UP)
        assert not other.done()
        assert other.result().status == 200
        assert stuck.result().status == 500
    assert_replaced(site, before)


def client_connections(pid):
    """Return how many sockets the process has in its descriptor table."""
    links = (descriptor.readlink() for descriptor in Path(f"/proc/{pid}/fd").iterdir())
    return sum(str(link).startswith("socket:") for link in links)


@pytest.mark.parametrize("mode", MODES)
def test_a_late_request_leaves_no_descriptor_behind(serve, mode):
    """Its connection is closed when its thread has come back."""
    site = serve("ending:app", *MODES[mode], "--request-timeout", "1")
    (pid,) = poll(site.workers)
    assert_back(site)
    before = poll(lambda: client_connections(pid))
    for _ in range(3):
        assert site.get("/spin/60").status == 500
    site.wait_log(LATE, count=3)
    poll(lambda: client_connections(pid) <= before, 10, lambda: f"{client_connections(pid)} sockets, {before} before")
    assert_back(site)
    assert site.workers() == [pid]


def test_a_worker_is_not_spared_for_ever(serve):
    """After 100 requests that were ended in it, it is replaced: gracefully, nobody is cut."""
    site = serve("ending:app", "-k", "gthread", "--threads", "50", "--request-timeout", "1")
    (pid,) = poll(site.workers)
    with concurrent.futures.ThreadPoolExecutor(50) as clients:
        assert {answer.status for answer in clients.map(site.get, ["/doze"] * 99)} == {500}
        site.wait_log(LATE, count=99)
        assert_back(site)
        assert site.workers() == [pid]
        beside = clients.submit(site.get, "/doze/0.9")
        assert site.get("/doze").status == 500
        assert beside.result().status == 200
    site.wait_log(rf"\[INFO\] Worker \(pid:{pid}\) is replaced: 100 of its requests were ended")
    assert_replaced(site, [pid])
    assert "did not come back" not in site.log


@pytest.mark.parametrize("mode", MODES)
def test_the_next_request_is_never_hit(serve, mode):
    """Requests that end just as their time is up: each is answered or ended, and the one behind it is not touched."""
    site = serve("ending:app", *MODES[mode], "--request-timeout", "1")
    for extra in range(12):
        late = site.get(f"/spin/{0.98 + extra * 0.005}")
        assert late.status in (200, 500)
        assert site.get("/spin/0.02").status == 200
    ended = len(re.findall(LATE, site.log))
    assert len(site.incidents(ended)) == ended
    assert "is replaced" not in site.log


# For the arbiter: it draws the number of an incident between taking the answer from a worker and giving its own.
SLOW_TO_ANSWER = """
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
ssize_t getrandom(void* into, size_t bytes, unsigned flags) {
  const struct timespec pause = {0, 900000000};
  if (bytes == 4) nanosleep(&pause, 0);
  return syscall(SYS_getrandom, into, bytes, flags);
}
"""


def test_the_answer_goes_to_the_late_client(serve, tmp_path):
    """Its request ends by itself before the answer is given, and its thread is busy with the next client by then."""
    library = tmp_path / "slow.so"
    subprocess.run([tool("cc"), "-shared", "-fPIC", "-o", library, "-xc", "-"], input=SLOW_TO_ANSWER, text=True, check=True)
    site = serve("ending:app", *SYNC, "--request-timeout", "1", env={"LD_PRELOAD": library})
    poll(site.workers)
    with concurrent.futures.ThreadPoolExecutor(2) as clients:
        began = time.monotonic()
        late = clients.submit(site.get, "/doze/1.5")
        time.sleep(0.5)
        behind = clients.submit(site.get, "/doze/0.8")
        assert late.result().status == 500
        assert 1.5 < time.monotonic() - began < 2.5  # while the one behind it was running
        assert behind.result().status == 200
    assert late.result().reference == only_incident(site)["ref"]


def test_the_time_out_that_is_shorter_counts(serve):
    """With --timeout below it, nothing changes."""
    site = serve("ending:app", "--timeout", "1", "--request-timeout", "5")
    assert site.get("/spin/60").status == 500
    site.wait_log(r"\[CRITICAL\] WORKER TIMEOUT")
    assert "Request timeout" not in site.log


def test_it_is_off_by_default(serve):
    """Only --timeout ends a request then."""
    site = serve("ending:app", "--timeout", "3")
    assert site.get("/spin/2").status == 200
    assert "timeout" not in site.log.lower()
