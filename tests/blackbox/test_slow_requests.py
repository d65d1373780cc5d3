"""A request that takes long is told of while it runs, and where its time went when it ends; nobody's log is filled."""

import concurrent.futures
import os
import re
import signal

import pytest

from blackbox.judge import place_of
from blackbox.support.ctl import Ctl
from blackbox.support.site import MODES
from blackbox.support.waiting import poll

FILE = "slow.py"
WARNING = r"\[WARNING\] Slow request \(pid:(\d+)\) "


@pytest.mark.parametrize("mode", MODES)
def test_it_is_told_while_it_runs_and_when_it_ends(serve, mode):
    """One WARNING with cause, place and reference; one INFO with where the time went; one report entry."""
    site = serve("slow:app", *MODES[mode], "--slow-request", "0.5")
    with concurrent.futures.ThreadPoolExecutor(1) as client:
        waiting = client.submit(site.get, "/two/1/0.5?password=hunter2")
        line = site.wait_log(WARNING + r"(\S+): GET /two/1/0.5 running 0\.[5-9] s, slept .* at (\S+) in rest; not memory, CPU \d+%; ref (\w+)")
        assert not waiting.done()
        pid, cause, place, ref = line.groups()
        assert (int(pid), cause, place) == (site.workers()[0], "wait.sleep", place_of(FILE, "rest"))
        assert waiting.result().status == 200
    end = site.wait_log(rf"\[INFO\] Slow request \(pid:{pid}\) ended: GET /two/1/0.5 took (1\.[5-9]) s, (\d+)% at {place} in rest, (\d+)% at "
                        rf"{place_of(FILE, 'rest_elsewhere')} in rest_elsewhere; ref {ref}")
    assert 55 <= int(end[2]) <= 80, end[0]
    assert 20 <= int(end[3]) <= 45, end[0]
    [entry] = site.incidents()
    assert (entry["event"], entry["class"], entry["ref"], entry["ended"]) == ("slow_request", "wait.sleep", ref, "answered")
    assert entry["request"] == "GET /two/1/0.5"
    assert entry["where"][0]["place"] == place
    assert sum(entry["stacks"].values()) == pytest.approx(entry["seconds"] * 1000, rel=0.25)
    assert any("rest (" in stack for stack in entry["stacks"])
    assert "hunter2" not in site.log + site.report()
    assert site.log.count("Slow request") == 2


def test_a_busy_one_is_told_too(serve):
    """The cause is what it does, not that it is late."""
    site = serve("slow:app", "--slow-request", "0.5")
    assert site.get("/spin/1.2").status == 200
    site.wait_log(WARNING + rf"cpu\.(?:python|starved): GET /spin/1\.2 running .* at {FILE}:\d+ in spin;")
    site.wait_log(r"ended: GET /spin/1\.2 took .* in spin")


def test_fast_requests_are_not_told(serve):
    """Neither is anything by default below five seconds."""
    site = serve("slow:app", "-t", "2")
    assert site.get("/sleep/1.2").status == 200
    assert site.get("/sleep/0").status == 200
    site.stop()
    assert "Slow request" not in site.log
    assert site.report() == ""


def test_one_path_does_not_fill_the_log(serve):
    """Twelve slow requests of a path: one line; another path has a line of its own."""
    site = serve("slow:app", "-k", "gthread", "--threads", "6", "--slow-request", "0.3")
    with concurrent.futures.ThreadPoolExecutor(6) as clients:
        assert all(answer.status == 200 for answer in clients.map(site.get, ["/sleep/0.6"] * 12))
    assert site.get("/sleep/0.7").status == 200
    site.wait_log(r"ended: GET /sleep/0\.7")
    assert len(re.findall(WARNING, site.log)) == 2
    assert len(re.findall("ended: GET", site.log)) == 2


def test_it_says_where_all_threads_are(serve):
    """Overload: the slots, and those that wait."""
    site = serve("slow:app", "-k", "gthread", "--threads", "3", "--slow-request", "0.8")
    with concurrent.futures.ThreadPoolExecutor(4) as clients:
        list(clients.map(site.get, ["/sleep/1.5"] * 4))
    site.wait_log(rf"; 3 of 3 threads busy: 3 x {place_of(FILE, 'rest')} in rest[^;]*; ref ")


def test_a_time_out_keeps_the_reference(serve, tmp_path):
    """One request, one reference: in the warning, in the time-out, in the client's answer, in both report entries."""
    path = tmp_path / "c.ctl"
    site = serve("slow:app", "-t", "2", "--slow-request", "0.5", "--control-socket", path)
    answer = site.get("/sleep/30")
    ref = site.wait_log(WARNING + r".*; ref (\w+)")[2]
    assert answer.reference == ref
    entries = {entry.get("event", "incident"): entry for entry in site.incidents(2) if entry["class"] == "wait.sleep"}
    assert entries["slow_request"]["ended"] == "timed out"
    assert entries["slow_request"]["ref"] == entries["incident"]["ref"] == ref
    assert "ended: GET" not in site.log
    assert Ctl(path).json("explain", ref)["class"] == "wait.sleep"


def test_a_death_keeps_the_reference(serve):
    """Killed while it was slow."""
    site = serve("slow:app", "--slow-request", "0.5")
    with concurrent.futures.ThreadPoolExecutor(1) as client:
        waiting = client.submit(site.get, "/sleep/30")
        ref = site.wait_log(WARNING + r".*; ref (\w+)")[2]
        os.kill(site.workers()[0], signal.SIGKILL)
        assert waiting.result().reference == ref
    entries = site.incidents(2)
    assert {entry["ref"] for entry in entries} == {ref}
    assert [entry.get("ended") for entry in entries] == ["worker died", None]


def test_it_can_be_asked_for_while_it_runs(serve, tmp_path):
    """`explain` knows it at once, `incidents` lists it as slow."""
    path = tmp_path / "c.ctl"
    site = serve("slow:app", "--slow-request", "0.3", "--control-socket", path)
    ctl = Ctl(path)
    with concurrent.futures.ThreadPoolExecutor(1) as client:
        waiting = client.submit(site.get, "/sleep/1.5")
        ref = site.wait_log(WARNING + r".*; ref (\w+)")[2]
        assert ctl.json("explain", ref)["ended"] is None
        assert "slow: wait.sleep" in ctl.text("incidents")
        assert waiting.result().status == 200
    poll(lambda: ctl.json("explain", ref)["ended"] == "answered")
    assert [entry["ref"] for entry in ctl.json("incidents")] == [ref]
    assert ctl.json("status")["incidents"]["total"] == 0


def test_a_value_that_cannot_act_is_told(serve):
    """Above the time-out nothing would ever be told."""
    site = serve("slow:app", "-t", "1", "--slow-request", "5")
    site.wait_log(r"\[WARNING\] slow_request 5 is not below the time-out")


@pytest.mark.parametrize(("format_", "beginning"), [("collapsed", ""), ("speedscope", '{"$schema"'), ("svg", "<svg ")])
def test_where_its_time_went_can_be_taken_out(serve, tmp_path, format_, beginning):
    """From the running server and from the report file, in the forms that other tools read."""
    path = tmp_path / "c.ctl"
    site = serve("slow:app", "--slow-request", "0.3", "--control-socket", path)
    assert site.get("/two/0.6/0.6").status == 200
    ref = site.wait_log(r"ended: GET .*; ref (\w+)")[1]
    out = Ctl(path).text("explain", ref, "--format", format_)
    assert out.startswith(beginning)
    assert "rest_elsewhere" in out
    assert "slow.py" in out
    assert Ctl(path).text("explain", ref, "--format", format_, "--report", site.report_path) == out
    text = Ctl(path).text("explain", ref)
    assert re.search(rf"^time +\d+% at {place_of(FILE, 'rest')} in rest$", text, re.M), text
