"""tricornctl profile, top and advise: where time goes, live and over the hour."""

import concurrent.futures
import fcntl
import json
import os
import pty
import re
import socket
import struct
import termios
import xml.etree.ElementTree

import pytest

from blackbox.judge import place_of
from blackbox.support.ctl import TRICORNCTL, Ctl
from blackbox.support.site import clean_environment
from blackbox.support.waiting import poll


@pytest.fixture
def controlled(serve, tmp_path):
    """Start a server with a control socket of its own: gives site and tricornctl."""

    def start(*args):
        path = tmp_path / "c.ctl"
        site = serve(*args, "--graceful-timeout", "1", "--control-socket", path)
        site.wait_log("Control socket listening")  # later than the port
        return site, Ctl(path)

    return start


# ---- profile ----


def test_a_profile_says_where_time_goes(controlled):
    """Two requests side by side in one worker: one waits, one computes; each has all of its time."""
    site, ctl = controlled("slow:app", "-k", "gthread", "--threads", "2")
    with concurrent.futures.ThreadPoolExecutor(2) as clients:
        answers = list(map(lambda path: clients.submit(site.get, path), ["/sleep/3", "/spin/3"]))
        poll(lambda: len(ctl.json("requests")) == 2)
        profile = ctl.json("profile", "--seconds", "2")
        assert all(answer.result().status == 200 for answer in answers)
    time_of = {name: sum(ms for stack, ms in profile["stacks"].items() if f"{name} (" in stack) for name in ("rest", "spin")}
    assert 1500 < time_of["rest"] < 2500, profile
    assert 1500 < time_of["spin"] < 2500, profile
    assert profile["samples"] > 20
    assert profile["not_readable"] == []
    assert profile["arbiter_ms"] < 0.25 * 2000


def test_only_who_holds_the_gil(controlled):
    """--gil leaves waiting out."""
    site, ctl = controlled("slow:app", "-k", "gthread", "--threads", "2")
    with concurrent.futures.ThreadPoolExecutor(2) as clients:
        answers = list(map(lambda path: clients.submit(site.get, path), ["/sleep/3", "/spin/3"]))
        poll(lambda: len(ctl.json("requests")) == 2)
        stacks = ctl.json("profile", "--seconds", "1", "--gil")["stacks"]
        assert all(answer.result().status == 200 for answer in answers)
    assert any("spin (" in stack for stack in stacks)
    assert not any("rest (" in stack for stack in stacks)


def test_a_profile_becomes_files(controlled, tmp_path):
    """The form is that of the file's name; each is what it says."""
    site, ctl = controlled("slow:app")
    graph, scope, plain = tmp_path / "p.svg", tmp_path / "p.json", tmp_path / "p.txt"
    with concurrent.futures.ThreadPoolExecutor(1) as client:
        answer = client.submit(site.get, "/spin/6")
        poll(lambda: ctl.json("requests"))
        for file in (graph, scope, plain):
            ctl.text("profile", str(site.workers()[0]), "--seconds", "1", "-o", str(file))
        assert answer.result().status == 200
    titles = [title.text for title in xml.etree.ElementTree.parse(graph).iter("{http://www.w3.org/2000/svg}title")]
    assert any(title.startswith("spin (") for title in titles), titles
    speedscope = json.loads(scope.read_text())
    assert "spin" in [frame["name"] for frame in speedscope["shared"]["frames"]]
    assert sum(speedscope["profiles"][0]["weights"]) == speedscope["profiles"][0]["endValue"]
    assert re.search(r"^worker \d+;.*spin \(.*slow\.py:\d+\) \d+$", plain.read_text(), re.M)


def test_a_profile_delays_no_supervision(controlled):
    """A time-out is found in time while every thread is sampled as often as possible."""
    site, ctl = controlled("slow:app", "-k", "gthread", "--threads", "4", "-w", "2", "-t", "1")
    with concurrent.futures.ThreadPoolExecutor(7) as pool:
        profile = pool.submit(ctl.json, "profile", "--seconds", "3", "--rate", "200")
        answers = list(pool.map(site.get, ["/sleep/30"] * 6))
        assert profile.result()["samples"] > 0
    assert {answer.status for answer in answers} == {500}
    seconds = [entry["seconds"] for entry in site.incidents(1) if entry["request"]]
    assert max(seconds) < 4, seconds  # six at once, one after the other, on a busy machine


def test_wrong_wishes_are_named(controlled):
    """Each with its bounds."""
    _, ctl = controlled("slow:app")
    for words, says in ((["--seconds", "0"], "from 1 to 300"), (["--rate", "201"], "from 1 to 200"), (["--format", "png"], "'png'")):
        code, _, err = ctl.run("profile", *words)
        assert code == 2
        assert says in err
    code, _, err = ctl.run("profile", "1", "--seconds", "1")
    assert code == 1
    assert "no worker has pid 1" in err


def test_one_profile_at_a_time_and_who_leaves_ends_it(controlled):
    """A second one is refused; when the first client goes, its profile goes with it."""
    _, ctl = controlled("slow:app")
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(ctl.path)
        first.sendall(b'{"v":1,"command":"hello"}\n')
        assert first.recv(65536)  # it is among the clients: what it asks next comes before what others ask later
        first.sendall(b'{"v":1,"command":"profile","seconds":60,"rate":100}\n')
        code, _, err = ctl.run("profile", "--seconds", "1")
        assert code == 1
        assert "another profile" in err
    poll(lambda: ctl.run("profile", "--seconds", "1")[0] == 0)


# ---- top ----


def test_top_prints_once_where_there_is_no_terminal(controlled):
    """For scripts, with or without --once."""
    site, ctl = controlled("slow:app")
    with concurrent.futures.ThreadPoolExecutor(1) as client:
        answer = client.submit(site.get, "/sleep/2")
        poll(lambda: ctl.json("requests"))
        text = ctl.text("top")
        assert answer.result().status == 200
    assert "GET /sleep/2" in text
    assert place_of("slow.py", "rest") in text
    assert "\x1b" not in text
    assert "slow:app" in ctl.text("top", "--once")


def test_top_is_live_in_a_terminal(controlled):
    """The alternate screen, redrawn, cut to the window; q gives the terminal back as it was."""
    site, ctl = controlled("slow:app")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(TRICORNCTL, [TRICORNCTL, "-s", ctl.path, "top"], clean_environment())
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 60, 0, 0))
        seen = bytearray()

        def shown(text):
            while text not in seen:
                seen.extend(os.read(terminal, 65536))
            return True

        assert shown(b"\x1b[?1049h")
        assert shown(b"\x1b[H")
        del seen[:]
        with concurrent.futures.ThreadPoolExecutor(1) as client:
            answer = client.submit(site.get, "/sleep/4")
            assert shown(b"1 running")
            assert answer.result().status == 200
        del seen[:]
        assert shown(b"0 running")
        assert all(len(re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", line).strip(b"\r")) <= 60 for line in re.split(rb"\n|\x1b\[H|\x1b\[J", bytes(seen)))
        del seen[:]
        os.write(terminal, b"q")
        assert shown(b"\x1b[?1049l")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        os.close(terminal)


# ---- advise ----


def test_advice_has_its_figures(controlled):
    """Latencies, the slowest paths, the front end's limit."""
    site, ctl = controlled("slow:app", "-t", "300")
    for _ in range(100):
        assert site.get("/sleep/0").status == 200
    assert site.get("/sleep/1.5?password=hunter2").status == 200
    poll(lambda: ctl.json("advise")["figures"]["paths"])
    answer = ctl.json("advise")
    [path] = answer["figures"]["paths"]
    assert path["request"] == "GET /sleep/1.5"
    assert path["longest_s"] == pytest.approx(1.5, abs=0.4)
    assert sum(count for _, count in answer["figures"]["latency"]) == 101
    by_setting = {advice["setting"]: advice for advice in answer["advice"]}
    assert by_setting["--timeout"]["now"] == "300"
    assert by_setting["--timeout"]["proposed"] == "30"
    assert by_setting["front end"]["warning"]
    text = ctl.text("advise", "--frontend-limit", "0")
    assert "front end" not in text
    assert "GET /sleep/1.5" in text
    assert "hunter2" not in text + json.dumps(answer)


def test_advice_on_what_was_cut(controlled):
    """A path that timed out is named."""
    site, ctl = controlled("slow:app", "-t", "1")
    assert site.get("/sleep/30").status == 500
    advice = ctl.json("advise")["advice"][0]
    assert advice["warning"]
    assert "1 of GET /sleep/30 were cut at 1 s" in advice["because"]


# ---- --max-worker-memory ----


def test_a_worker_that_grows_is_replaced_between_requests(controlled):
    """It finishes what it has; the reason is logged and kept; the next worker is fresh."""
    site, ctl = controlled("growing:app", "--max-worker-memory", "120M")
    first = site.get("/").body
    assert site.get("/grow/150").status == 200
    line = site.wait_log(r"\[WARNING\] Worker \(pid:(\d+)\) is replaced when its requests are done: memory\.limit: "
                         r"has (\d+)\.\d MB of memory, \d+\.\d MB when it was new, --max-worker-memory 120\.0 MB; ref (\w{6})\n")
    assert line[1].encode() == first
    assert int(line[2]) > 150
    (incident,) = ctl.json("incidents")
    assert (incident["class"], incident["ref"], incident["pid"]) == ("memory.limit", line[3], int(first))
    assert ctl.json("explain", line[3]) == json.loads(site.report())
    assert ctl.json("explain", line[3])["evidence"]["looks"][0]["rss_bytes"] > 150 << 20
    poll(lambda: site.get("/").body != first)
    assert "CRITICAL" not in site.log


def test_a_limit_below_a_fresh_worker_replaces_nobody(serve):
    """It would never end."""
    site = serve("growing:app", "-w", "2", "--max-worker-memory", "2M")
    site.wait_log(r"\[WARNING\] Worker \(pid:\d+\) has more memory than allowed from its start, and is not replaced")
    workers = site.workers()
    assert site.get("/").status == 200
    assert site.workers() == workers
    assert site.log.count("more memory than allowed") == 1


@pytest.mark.parametrize("size", ["12X", "-1", "M", "1.5G", "9999999999G"])
def test_a_size_that_is_none_is_refused(serve, size):
    """Naming the setting."""
    site = serve("growing:app", "--max-worker-memory", size, bind=False)
    assert site.wait() == 1
    assert "max_worker_memory" in site.log
